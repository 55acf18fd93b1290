#include "kernels/swiglu.h"

#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/rows.h"
#include "kernels/activation.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace vkmoe::conformance {
namespace {

constexpr Tolerance kTolerance{.relative = 2e-6, .nmse = 1e-11};

/// Where gate and up lie.
enum class Lie {
    kPacked,       // all gates, then all ups, without gaps
    kInterleaved,  // gate and up of a row behind one another, 12 floats between rows
    kUpApart,      // gates without gaps, 8 floats between the rows of up
};

enum class Outputs { kFloats, kPacked, kBoth, kOverGate, kOverUp };

struct Rows {
    uint32_t n_rows = 1;
    uint32_t n_columns = 0;
    Lie lie = Lie::kPacked;
    Outputs outputs = Outputs::kFloats;
    Numbers numbers = Numbers::kPlain;
    uint64_t lead = 0;  // bytes by which the input's address misses a larger alignment
    RowTuning tuning = {};

    bool floats() const { return outputs != Outputs::kPacked; }
    bool packed() const { return outputs == Outputs::kPacked || outputs == Outputs::kBoth; }
};

/// The language promises 3 + 2 |x| units in the last place for exp(x), and nothing for a quotient by more
/// than 2^126.
Expected expected_product(float gate, float up) {
    const double x = gate;
    const double y = x / (1 + std::exp(-x)) * up;
    const double steep = x < -80 ? std::abs(x) * std::exp(-80.0) * std::abs(up) : 0;
    return {y, std::abs(y) * (1 + std::abs(x) / 8), kLeastNormal * (2 + std::abs(up) + std::abs(x)) + steep};
}

void check_swiglu(CaseContext& c, const KernelKey& cell, const Rows& rows) {
    const uint32_t n = rows.n_columns;
    const uint32_t gate_stride = rows.lie == Lie::kInterleaved ? 2 * n + 12 : n;
    const uint32_t up_stride = rows.lie == Lie::kUpApart ? n + 8 : gate_stride;
    const size_t up_at = rows.lie == Lie::kInterleaved ? n : size_t{rows.n_rows} * n;
    std::vector<float> input = random_numbers(c.random(), rows.numbers, 1,
                                              static_cast<uint32_t>(up_at + size_t{rows.n_rows} * up_stride));

    SwigluArgs args;
    args.n_rows = rows.n_rows;
    args.n_columns = n;
    args.gate_stride = gate_stride == n ? 0 : gate_stride;
    args.up_stride = up_stride == n ? 0 : up_stride;
    args.path = cell.path;
    args.tuning = rows.tuning;
    const size_t count = size_t{rows.n_rows} * n;
    TypedOutput<float> floats;
    TypedOutput<std::byte> packed;
    args.gate = upload_shifted(c, input, rows.lead);
    args.up = args.gate + up_at * sizeof(float);
    if (rows.floats()) args.output = (floats = c.output<float>(count)).address();
    if (rows.packed())
        args.output_q8 = (packed = c.output<std::byte>(rows.n_rows * q8_row_bytes(n))).address();
    if (rows.outputs == Outputs::kOverGate || rows.outputs == Outputs::kOverUp) {
        const bool over_gate = rows.outputs == Outputs::kOverGate;
        const auto from = input.begin() + static_cast<std::ptrdiff_t>(over_gate ? 0 : up_at);
        floats.fill(std::vector<float>(from, from + static_cast<std::ptrdiff_t>(count)));
        (over_gate ? args.gate : args.up) = args.output;
    }
    c.run({swiglu(c.kernels(), args)});

    std::vector<Expected> expected;
    for (size_t row = 0; row < rows.n_rows; ++row)
        for (size_t i = 0; i < n; ++i)
            expected.push_back(
                expected_product(input[row * gate_stride + i], input[up_at + row * up_stride + i]));
    const std::string what =
        fmt::format("{} rows of {}, gates {} and ups {} apart, lanes {} {}", rows.n_rows, n, gate_stride,
                    up_stride, rows.tuning.workgroup_size, rows.tuning.lanes_per_block);
    if (rows.floats()) check_numbers(what, expected, floats.read(), kTolerance);
    if (rows.packed()) check_packed_rows(what + ", packed", expected, packed.read(), n, kTolerance.relative);
}

void left_out_rows(CaseContext& c, const KernelKey& cell, const RowTuning& tuning) {
    constexpr uint32_t kRows = 37;
    constexpr uint32_t kColumns = 96;
    const std::vector<float> input = random_numbers(c.random(), Numbers::kPlain, 2 * kRows, kColumns);
    const uint64_t gate = c.upload(input).address;
    const std::array<uint64_t, 2> row_bytes = {kColumns * sizeof(float), q8_row_bytes(kColumns)};
    check_row_choice(c, "some rows", kRows, row_bytes,
                     [&](std::span<const uint64_t> outputs, const RowChoice& rows) {
                         return swiglu(c.kernels(), {.gate = gate,
                                                     .up = gate + kRows * row_bytes[0],
                                                     .output = outputs[0],
                                                     .output_q8 = outputs[1],
                                                     .n_rows = kRows,
                                                     .n_columns = kColumns,
                                                     .rows = rows,
                                                     .path = cell.path,
                                                     .tuning = tuning});
                     });
}

void shared_blocks(CaseContext& c, const KernelKey& cell, const RowTuning& tuning) {
    check_swiglu(c, cell, {.n_rows = 11, .n_columns = 224, .outputs = Outputs::kBoth, .tuning = tuning});
    left_out_rows(c, cell, tuning);
}

void large_gates(CaseContext& c, const KernelKey& cell) {
    const std::vector<float> gate = {-1e30f, -1000, -100,  -88, -20, 0,    20,        88,
                                     100,    1000,  1e30f, 1,   1,   kNan, kInfinity, -0.0f};
    std::vector<float> up(gate.size(), 2);
    up[11] = kNan;
    up[12] = -kInfinity;
    auto floats = c.output<float>(gate.size());
    SwigluArgs args;
    args.gate = c.upload(gate).address;
    args.up = c.upload(up).address;
    args.output = floats.address();
    args.n_rows = 1;
    args.n_columns = static_cast<uint32_t>(gate.size());
    args.path = cell.path;
    c.run({swiglu(c.kernels(), args)});
    std::vector<Expected> expected;
    for (size_t i = 0; i < gate.size(); ++i) expected.push_back(expected_product(gate[i], up[i]));
    check_numbers("gates of -1e30 to infinity", expected, floats.read(), kTolerance);
}

void special_numbers(CaseContext& c, const KernelKey& cell, Numbers numbers) {
    check_swiglu(c, cell, {.n_rows = 5, .n_columns = 100, .numbers = numbers});
    check_swiglu(c, cell, {.n_rows = 3, .n_columns = 288, .outputs = Outputs::kBoth, .numbers = numbers});
}

}  // namespace

std::vector<Case> swiglu_cases(const KernelKey& cell, Depth depth) {
    const auto rows = each_of(cell, check_swiglu);
    std::vector<Case> cases = {
        {"ragged and tiny rows", rows({{.n_rows = 1, .n_columns = 4},
                                       {.n_rows = 5, .n_columns = 36, .lie = Lie::kInterleaved},
                                       {.n_rows = 67, .n_columns = 100, .lie = Lie::kUpApart}})},
        {"float32 and packed rows",
         rows({{.n_rows = 1, .n_columns = 768},
               {.n_rows = 8, .n_columns = 768, .outputs = Outputs::kPacked},
               {.n_rows = 70, .n_columns = 32, .lie = Lie::kUpApart, .outputs = Outputs::kBoth},
               {.n_rows = 3, .n_columns = 8192, .lie = Lie::kInterleaved, .outputs = Outputs::kBoth}})},
        {"addresses aligned to 16 bytes only",
         rows({{.n_rows = 3, .n_columns = 96, .outputs = Outputs::kBoth, .lead = 16}})},
        {"in place", rows({{.n_rows = 3, .n_columns = 132, .outputs = Outputs::kOverGate},
                           {.n_rows = 3, .n_columns = 132, .outputs = Outputs::kOverUp}})},
        {"skipped rows", [=](CaseContext& c) { left_out_rows(c, cell, {}); }},
        {"large gates neither overflow nor vanish", [=](CaseContext& c) { large_gates(c, cell); }},
        {"subnormal numbers", [=](CaseContext& c) { special_numbers(c, cell, Numbers::kSubnormal); }},
        {"a NaN stays in its element", [=](CaseContext& c) { special_numbers(c, cell, Numbers::kNan); }},
        {"infinities stay in their elements",
         [=](CaseContext& c) { special_numbers(c, cell, Numbers::kInfinities); }},
    };
    add_shared_block_cases(cases, cell, depth, shared_blocks);
    if (depth == Depth::kQuick) return cases;
    cases.push_back({"more groups than a grid is wide", [=](CaseContext& c) {
                         // Groups as small as can be; an invocation takes four numbers.
                         const uint32_t size = cell.path == Path::kScalar ? 1 : c.plan().subgroup_size;
                         check_swiglu(c, cell, {.n_rows = 65537, .n_columns = size * 4, .tuning = {size, 0}});
                     }});
    return cases;
}

}  // namespace vkmoe::conformance
