#include "kernels/rms_norm.h"

#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/rows.h"
#include "kernels/activation.h"

#include <algorithm>
#include <cmath>

namespace vkmoe::conformance {
namespace {

constexpr float kEpsilon = 1e-5f;
constexpr Tolerance kTolerance{.relative = 3e-6, .nmse = 1e-11};

enum class Outputs { kFloats, kPacked, kBoth, kInPlace };

struct Norm {
    uint32_t n_rows = 1;
    uint32_t n_columns = 0;
    Outputs outputs = Outputs::kFloats;
    uint32_t stride = 0;  // 0: rows follow one another
    bool weighted = true;
    Numbers numbers = Numbers::kPlain;
    float factor = 1;   // of the input
    uint64_t lead = 0;  // bytes by which addresses miss a larger alignment
    RowTuning tuning = {};

    bool floats() const { return outputs != Outputs::kPacked; }
    bool packed() const { return outputs == Outputs::kPacked || outputs == Outputs::kBoth; }
};

/// A device may take subnormal inputs for zeros, and make such outputs so.
std::vector<Expected> reference(const Norm& norm, std::span<const float> input,
                                std::span<const float> weight) {
    const uint32_t stride = norm.stride != 0 ? norm.stride : norm.n_columns;
    std::vector<Expected> expected;
    for (uint32_t row = 0; row < norm.n_rows; ++row) {
        const std::span<const float> x = input.subspan(size_t{row} * stride, norm.n_columns);
        double squares = 0;
        for (float value : x) squares += double{value} * value;
        const double scale = 1 / std::sqrt(squares / norm.n_columns + double{kEpsilon});
        for (uint32_t i = 0; i < norm.n_columns; ++i) {
            const double w = norm.weighted ? weight[i] : 1.0;
            const double y = x[i] * scale * w;
            expected.push_back({y, std::abs(y), kLeastNormal * (1 + (1 + scale) * std::abs(w))});
        }
    }
    return expected;
}

void check_norm(CaseContext& c, const KernelKey& cell, const Norm& norm) {
    const uint32_t stride = norm.stride != 0 ? norm.stride : norm.n_columns;
    std::vector<float> input = random_numbers(c.random(), norm.numbers, norm.n_rows, stride);
    if (norm.factor != 1)
        for (float& value : input) value *= norm.factor;
    const std::vector<float> weight = random_row_values(c.random(), norm.n_columns);
    const size_t count = size_t{norm.n_rows} * norm.n_columns;

    RmsNormArgs args;
    args.n_rows = norm.n_rows;
    args.n_columns = norm.n_columns;
    args.input_stride = norm.stride;
    args.epsilon = kEpsilon;
    args.path = cell.path;
    args.tuning = norm.tuning;
    TypedOutput<float> floats;
    TypedOutput<std::byte> packed;
    if (norm.floats()) args.output = (floats = c.output<float>(count)).address();
    if (norm.packed()) {
        packed = c.output<std::byte>(norm.n_rows * q8_row_bytes(norm.n_columns));
        args.output_q8 = packed.address();
    }
    if (norm.outputs == Outputs::kInPlace) {
        floats.fill(input);
        args.input = args.output;
    } else {
        args.input = upload_shifted(c, input, norm.lead);
    }
    if (norm.weighted) args.weight = upload_shifted(c, weight, norm.lead);
    c.run({rms_norm(c.kernels(), args)});

    const std::vector<Expected> expected = reference(norm, input, weight);
    const std::string what = fmt::format("{} rows of {}, stride {}, {}, lanes {} {}", norm.n_rows,
                                         norm.n_columns, stride, norm.weighted ? "weighted" : "not weighted",
                                         norm.tuning.workgroup_size, norm.tuning.lanes_per_block);
    if (norm.floats()) check_numbers(what, expected, floats.read(), kTolerance);
    if (norm.packed())
        check_packed_rows(what + ", packed", expected, packed.read(), norm.n_columns, kTolerance.relative);
}

void shared_blocks(CaseContext& c, const KernelKey& cell, const RowTuning& tuning) {
    check_norm(c, cell, {.n_rows = 6, .n_columns = 416, .outputs = Outputs::kBoth, .tuning = tuning});
}

void groups_of_every_size(CaseContext& c, const KernelKey& cell) {
    const uint32_t subgroup = c.plan().subgroup_size;
    for (const uint32_t size : {subgroup, 2 * subgroup, 128u})
        check_norm(c, cell, {.n_rows = 3, .n_columns = 1056, .outputs = Outputs::kBoth, .tuning = {size, 0}});
}

void special_numbers(CaseContext& c, const KernelKey& cell, Numbers numbers) {
    check_norm(c, cell, {.n_rows = 5, .n_columns = 100, .numbers = numbers});
    check_norm(c, cell, {.n_rows = 3, .n_columns = 288, .outputs = Outputs::kBoth, .numbers = numbers});
}

}  // namespace

std::vector<Case> rms_norm_cases(const KernelKey& cell, Depth depth) {
    const auto norms = each_of(cell, check_norm);
    std::vector<Case> cases = {
        {"ragged and tiny rows", norms({{.n_rows = 1, .n_columns = 4},
                                        {.n_rows = 7, .n_columns = 100},
                                        {.n_rows = 1, .n_columns = 1028, .weighted = false},
                                        {.n_rows = 70, .n_columns = 36}})},
        {"float32 and packed rows",
         norms({{.n_rows = 1, .n_columns = 2048},
                {.n_rows = 1, .n_columns = 8192, .outputs = Outputs::kPacked},
                {.n_rows = 70, .n_columns = 32, .outputs = Outputs::kBoth},
                {.n_rows = 5, .n_columns = 2880, .outputs = Outputs::kBoth, .weighted = false}})},
        {"rows apart", norms({{.n_rows = 9, .n_columns = 64, .outputs = Outputs::kBoth, .stride = 96},
                              {.n_rows = 4, .n_columns = 128, .stride = 132, .weighted = false}})},
        {"addresses aligned to 16 bytes only",
         norms({{.n_rows = 3, .n_columns = 68, .lead = 16},
                {.n_rows = 3, .n_columns = 96, .outputs = Outputs::kBoth, .lead = 48}})},
        {"in place", norms({{.n_rows = 3, .n_columns = 260, .outputs = Outputs::kInPlace}})},
        {"subnormal numbers", [=](CaseContext& c) { special_numbers(c, cell, Numbers::kSubnormal); }},
        {"numbers whose squares almost overflow",
         norms({{.n_rows = 3, .n_columns = 416, .outputs = Outputs::kBoth, .factor = 0x1p50f}})},
        {"a NaN stays in its row", [=](CaseContext& c) { special_numbers(c, cell, Numbers::kNan); }},
        {"infinities stay in their row",
         [=](CaseContext& c) { special_numbers(c, cell, Numbers::kInfinities); }},
    };
    add_shared_block_cases(cases, cell, depth, shared_blocks);
    if (depth == Depth::kQuick) return cases;
    cases.push_back({"groups of every size", [=](CaseContext& c) { groups_of_every_size(c, cell); }});
    cases.push_back({"more rows than a grid is wide", norms({{.n_rows = 65537, .n_columns = 4}})});
    cases.push_back({"a long row", norms({{.n_rows = 2, .n_columns = 1u << 16, .outputs = Outputs::kBoth}})});
    return cases;
}

}  // namespace vkmoe::conformance
