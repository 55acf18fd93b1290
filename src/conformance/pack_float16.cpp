#include "kernels/pack_float16.h"

#include "conformance/activations.h"
#include "conformance/op_cases.h"
#include "conformance/rows.h"
#include "formats/half.h"
#include "kernels/activation.h"

#include <array>
#include <cmath>

namespace vkmoe::conformance {
namespace {

struct Rows {
    uint32_t n_rows = 1;
    uint32_t n_columns = 32;
    uint32_t stride = 0;  // 0: rows follow one another
    Numbers numbers = Numbers::kPlain;
    uint64_t lead = 0;  // bytes by which the input's address misses a larger alignment
};

/// Every number to within what float16 can tell apart, after its row's exponent; exponents exactly, but for
/// rows of numbers that the device may take for zeros.
void check_rows(CaseContext& c, const KernelKey& cell, const Rows& rows, const std::vector<float>& input) {
    const uint32_t stride = rows.stride != 0 ? rows.stride : rows.n_columns;
    const uint64_t row_bytes = float16_row_bytes(rows.n_columns);
    auto output = c.output<std::byte>(rows.n_rows * row_bytes);
    c.run({pack_float16(c.kernels(), {.input = upload_shifted(c, input, rows.lead),
                                      .output = output.address(),
                                      .n_rows = rows.n_rows,
                                      .n_columns = rows.n_columns,
                                      .input_stride = rows.stride,
                                      .path = cell.path})});
    const std::vector<std::byte> packed = output.read();
    std::vector<Expected> expected;
    std::vector<float> got;
    for (uint32_t row = 0; row < rows.n_rows; ++row) {
        const std::span x = std::span(input).subspan(size_t{row} * stride, rows.n_columns);
        const std::byte* stored = packed.data() + row * row_bytes;
        int32_t exponent = 0;
        std::memcpy(&exponent, stored + rows.n_columns * sizeof(uint16_t), sizeof exponent);
        const int32_t right = float16_row_exponent(x);
        require(exponent == right, "the exponent of row {} is {}, not {}", row, exponent, right);
        for (uint32_t i = 0; i < rows.n_columns; ++i) {
            uint16_t half = 0;
            std::memcpy(&half, stored + i * sizeof half, sizeof half);
            got.push_back(std::ldexp(half_to_float(half), exponent));
            expected.push_back({x[i], std::abs(x[i]), std::ldexp(0x1p-24, exponent) + kLeastNormal});
            require(std::isnan(got.back()) == std::isnan(x[i]), "number {} of row {} is {}, not {}", i, row,
                    got.back(), x[i]);
        }
    }
    // The bits after an exponent are left as they were.
    check_numbers(fmt::format("{} rows of {}, stride {}", rows.n_rows, rows.n_columns, stride), expected, got,
                  {.relative = 0x1p-10, .nmse = 1e-6});
}

void random_rows(CaseContext& c, const KernelKey& cell, const Rows& rows) {
    const uint32_t stride = rows.stride != 0 ? rows.stride : rows.n_columns;
    check_rows(c, cell, rows, random_numbers(c.random(), rows.numbers, rows.n_rows, stride));
}

/// Rows whose largest numbers are at the ends of float32, of zeros, and of numbers far apart.
void tiny_and_huge_rows(CaseContext& c, const KernelKey& cell) {
    const std::vector<float> largest = {0, 0x1p-126f, 0x1p-113f, 0x1p-112f, 1, 0x1p126f, 0x1.fffffep127f};
    const uint32_t n_rows = static_cast<uint32_t>(largest.size());
    std::vector<float> input(size_t{n_rows} * 64, 0.0f);
    for (uint32_t row = 0; row < n_rows; ++row) {
        input[row * 64 + 40] = -largest[row];
        input[row * 64 + 7] = largest[row] * 0x1.554p-20f;
    }
    check_rows(c, cell, {.n_rows = n_rows, .n_columns = 64}, input);
}

void left_out_rows(CaseContext& c, const KernelKey& cell) {
    constexpr uint32_t kRows = 37;
    constexpr uint32_t kColumns = 96;
    const uint64_t input = c.upload(random_numbers(c.random(), Numbers::kPlain, kRows, kColumns)).address;
    const std::array<uint64_t, 1> row_bytes = {float16_row_bytes(kColumns)};
    check_row_choice(c, "some rows", kRows, row_bytes,
                     [&](std::span<const uint64_t> outputs, const RowChoice& rows) {
                         return pack_float16(c.kernels(), {.input = input,
                                                           .output = outputs[0],
                                                           .n_rows = kRows,
                                                           .n_columns = kColumns,
                                                           .rows = rows,
                                                           .path = cell.path});
                     });
}

}  // namespace

std::vector<Case> pack_float16_cases(const KernelKey& cell, Depth depth) {
    const auto rows = each_of(cell, random_rows);
    std::vector<Case> cases = {
        {"rows of every length", rows({{.n_rows = 1, .n_columns = 32},
                                       {.n_rows = 1, .n_columns = 2048},
                                       {.n_rows = 70, .n_columns = 96},
                                       {.n_rows = 3, .n_columns = 8192}})},
        {"rows apart", rows({{.n_rows = 9, .n_columns = 288, .stride = 300}})},
        {"addresses aligned to 16 bytes only", rows({{.n_rows = 3, .n_columns = 160, .lead = 16}})},
        {"skipped rows", [=](CaseContext& c) { left_out_rows(c, cell); }},
        {"tiny and huge rows", [=](CaseContext& c) { tiny_and_huge_rows(c, cell); }},
        {"large numbers", rows({{.n_rows = 5, .n_columns = 320, .numbers = Numbers::kLarge}})},
        {"a NaN stays a NaN", rows({{.n_rows = 5, .n_columns = 320, .numbers = Numbers::kNan}})},
        {"infinities stay infinite",
         rows({{.n_rows = 5, .n_columns = 320, .numbers = Numbers::kInfinities}})},
    };
    if (depth == Depth::kQuick) return cases;
    cases.push_back({"more rows than a grid is wide", rows({{.n_rows = 65537, .n_columns = 32}})});
    return cases;
}

}  // namespace vkmoe::conformance
