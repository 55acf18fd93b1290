#include "kernels/quantize_q8.h"

#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/rows.h"
#include "kernels/activation.h"

#include <algorithm>
#include <cmath>

namespace vkmoe::conformance {
namespace {

struct Rows {
    uint32_t n_rows = 1;
    uint32_t n_columns = 32;
    uint32_t stride = 0;  // 0: rows follow one another
    Numbers numbers = Numbers::kPlain;
    uint64_t lead = 0;  // bytes by which the input's address misses a larger alignment
    RowTuning tuning = {};
};

std::vector<std::byte> pack(CaseContext& c, const KernelKey& cell, const Rows& rows,
                            const std::vector<float>& input) {
    auto packed = c.output<std::byte>(rows.n_rows * q8_row_bytes(rows.n_columns));
    QuantizeQ8Args args;
    args.input = upload_shifted(c, input, rows.lead);
    args.output = packed.address();
    args.n_rows = rows.n_rows;
    args.n_columns = rows.n_columns;
    args.input_stride = rows.stride;
    args.path = cell.path;
    args.tuning = rows.tuning;
    c.run({quantize_q8(c.kernels(), args)});
    return packed.read();
}

void check_rows(CaseContext& c, const KernelKey& cell, const Rows& rows) {
    const uint32_t stride = rows.stride != 0 ? rows.stride : rows.n_columns;
    std::vector<float> input = random_numbers(c.random(), rows.numbers, rows.n_rows, stride);
    std::fill_n(input.begin(), 32, 0.0f);
    std::vector<Expected> expected;
    for (uint32_t row = 0; row < rows.n_rows; ++row)
        for (uint32_t i = 0; i < rows.n_columns; ++i) expected.push_back({input[size_t{row} * stride + i]});
    check_packed_rows(fmt::format("{} rows of {}, stride {}, lanes {} {}", rows.n_rows, rows.n_columns,
                                  stride, rows.tuning.workgroup_size, rows.tuning.lanes_per_block),
                      expected, pack(c, cell, rows, input), rows.n_columns, 0);
}

void shared_blocks(CaseContext& c, const KernelKey& cell, const RowTuning& tuning) {
    check_rows(c, cell, {.n_rows = 13, .n_columns = 160, .tuning = tuning});
}

void ties(CaseContext& c, const KernelKey& cell) {
    std::vector<float> input(32, 0.0f);
    const std::vector<float> numbers = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f, -127, 3};
    const std::vector<int> expected = {127, 0, 2, 2, 0, -2, -2, 126, -127, 3};
    std::copy(numbers.begin(), numbers.end(), input.begin());
    const std::vector<std::byte> packed = pack(c, cell, {}, input);
    std::vector<int> quants;
    for (size_t i = 0; i < expected.size(); ++i) quants.push_back(static_cast<int8_t>(packed[i]));
    require_equal<int>("quants of numbers halfway between two integers", expected, quants);
}

/// Blocks from where their scale has no inverse in float32 to the largest numbers there are.
void tiny_and_huge_blocks(CaseContext& c, const KernelKey& cell) {
    const std::vector<float> largest = {0x1p-149f, 0x1p-126f, 0x1p-119f,
                                        0x1p-118f, 0x1p-117f, std::numeric_limits<float>::max()};
    std::vector<float> input(largest.size() * 32, 0.0f);
    std::vector<Expected> expected;
    for (size_t block = 0; block < largest.size(); ++block) {
        input[block * 32 + 7] = largest[block];
        input[block * 32 + 8] = -largest[block];
    }
    for (float value : input) expected.push_back({value});
    const uint32_t n_columns = static_cast<uint32_t>(input.size());
    check_packed_rows("blocks of 2^-149 to 2^128", expected,
                      pack(c, cell, {.n_rows = 1, .n_columns = n_columns}, input), n_columns, 0);
}

/// The scale tells NaN from infinity: products with the block then do so too.
void not_finite(CaseContext& c, const KernelKey& cell) {
    const std::vector<float> specials = {kNan, -kNan, kInfinity, -kInfinity};
    const uint32_t n_rows = static_cast<uint32_t>(specials.size());
    std::vector<float> input = random_row_values(c.random(), size_t{n_rows} * 64);
    for (uint32_t row = 0; row < n_rows; ++row)
        input[row * 64 + row % 2 * 32 + random_below(c.random(), 32)] = specials[row];
    std::vector<Expected> expected;
    for (float value : input) expected.push_back({value});
    const std::vector<std::byte> packed = pack(c, cell, {.n_rows = n_rows, .n_columns = 64}, input);
    check_packed_rows("rows with a NaN or an infinity each", expected, packed, 64, 0);
    for (uint32_t row = 0; row < n_rows; ++row) {
        float scale;
        const std::byte* block = packed.data() + row * q8_row_bytes(64);
        std::memcpy(&scale, block + 64 + row % 2 * 8, sizeof scale);
        require(std::isnan(scale) == std::isnan(specials[row]), "the scale of a block with {} is {}",
                specials[row], scale);
        for (uint32_t i = 0; i < 32; ++i) {
            require(block[row % 2 * 32 + i] == std::byte{0}, "a quant of a block with {} is {}, not 0",
                    specials[row], static_cast<int8_t>(block[row % 2 * 32 + i]));
        }
    }
}

}  // namespace

std::vector<Case> quantize_q8_cases(const KernelKey& cell, Depth depth) {
    const auto rows = each_of(cell, check_rows);
    std::vector<Case> cases = {
        {"rows of every length", rows({{.n_rows = 1, .n_columns = 32},
                                       {.n_rows = 1, .n_columns = 2048},
                                       {.n_rows = 70, .n_columns = 96},
                                       {.n_rows = 3, .n_columns = 8192}})},
        {"rows apart", rows({{.n_rows = 9, .n_columns = 288, .stride = 300}})},
        {"addresses aligned to 16 bytes only", rows({{.n_rows = 3, .n_columns = 160, .lead = 16}})},
        {"ties go to even", [=](CaseContext& c) { ties(c, cell); }},
        {"tiny and huge blocks", [=](CaseContext& c) { tiny_and_huge_blocks(c, cell); }},
        {"subnormal numbers", rows({{.n_rows = 5, .n_columns = 320, .numbers = Numbers::kSubnormal}})},
        {"large numbers", rows({{.n_rows = 5, .n_columns = 320, .numbers = Numbers::kLarge}})},
        {"no NaN or infinity becomes finite", [=](CaseContext& c) { not_finite(c, cell); }},
    };
    add_shared_block_cases(cases, cell, depth, shared_blocks);
    if (depth == Depth::kQuick) return cases;
    cases.push_back(
        {"more groups than a grid is wide", [=](CaseContext& c) {
             // Groups as small as can be.
             const bool scalar = cell.path == Path::kScalar;
             const uint32_t size = scalar ? 1 : c.plan().subgroup_size;
             const uint32_t lanes = scalar ? 1 : std::min(size, 8u);
             check_rows(c, cell, {.n_rows = 65537, .n_columns = size / lanes * 32, .tuning = {size, lanes}});
         }});
    return cases;
}

}  // namespace vkmoe::conformance
