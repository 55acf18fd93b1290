#include "kernels/weigh_rows.h"

#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/rows.h"
#include "kernels/activation.h"

#include <algorithm>
#include <cmath>

namespace vkmoe::conformance {
namespace {

enum class Outputs { kFloats, kPacked, kBoth };

struct Rows {
    uint32_t n_tokens = 1;
    uint32_t n_slots = 1;
    uint32_t n_columns = 0;
    uint32_t stride = 0;
    Outputs outputs = Outputs::kBoth;
    Numbers numbers = Numbers::kPlain;
    RowTuning tuning = {};
};

void check_rows(CaseContext& c, const KernelKey& cell, const Rows& rows) {
    const size_t n = rows.n_columns;
    const size_t stride = rows.stride != 0 ? rows.stride : n;
    const size_t n_rows = size_t{rows.n_tokens} * rows.n_slots;
    const std::vector<float> input =
        random_numbers(c.random(), rows.numbers, rows.n_tokens, static_cast<uint32_t>(stride));
    const std::vector<float> weights = random_row_values(c.random(), n_rows);
    TypedOutput<float> floats;
    TypedOutput<std::byte> packed;
    WeighRowsArgs args;
    args.input = c.upload(input).address;
    args.weights = c.upload(weights).address;
    if (rows.outputs != Outputs::kPacked) args.output = (floats = c.output<float>(n_rows * n)).address();
    if (rows.outputs != Outputs::kFloats)
        args.output_q8 = (packed = c.output<std::byte>(n_rows * q8_row_bytes(n))).address();
    args.n_tokens = rows.n_tokens;
    args.n_slots = rows.n_slots;
    args.n_columns = rows.n_columns;
    args.input_stride = rows.stride;
    args.path = cell.path;
    args.tuning = rows.tuning;
    c.run({weigh_rows(c.kernels(), args)});

    std::vector<Expected> expected;
    for (size_t row = 0; row < n_rows; ++row) {
        for (size_t i = 0; i < n; ++i) {
            const double y = double{weights[row]} * input[row / rows.n_slots * stride + i];
            expected.push_back({y, std::abs(y), kLeastNormal * (1 + std::abs(weights[row]))});
        }
    }
    const std::string what = fmt::format("{} tokens, {} slots, {} columns {} apart, lanes {}", rows.n_tokens,
                                         rows.n_slots, n, stride, rows.tuning.lanes_per_block);
    if (args.output != 0) check_numbers(what, expected, floats.read(), {.relative = 1e-6, .nmse = 1e-12});
    if (args.output_q8 != 0)
        check_packed_rows(what + ", packed", expected, packed.read(), rows.n_columns, 1e-6);
}

void every_layout(CaseContext& c, const KernelKey& cell) {
    const DevicePlan& plan = c.plan();
    for (uint32_t lanes = 1; lanes <= std::min(plan.subgroup_size, 8u); lanes *= 2)
        check_rows(c, cell,
                   {.n_tokens = 5, .n_slots = 3, .n_columns = 224, .tuning = {plan.workgroup_size, lanes}});
}

}  // namespace

std::vector<Case> weigh_rows_cases(const KernelKey& cell, Depth) {
    const auto rows = each_of(cell, check_rows);
    const auto special = [&](Numbers numbers) {
        return rows({{.n_tokens = 3, .n_slots = 2, .n_columns = 96, .numbers = numbers}});
    };
    std::vector<Case> cases = {
        {"ragged and tiny shapes", rows({{1, 1, 4, 0, Outputs::kFloats},
                                         {70, 1, 36, 44, Outputs::kFloats},
                                         {3, 8, 2048, 0, Outputs::kPacked},
                                         {9, 5, 288, 300, Outputs::kBoth}})},
        {"subnormal numbers", special(Numbers::kSubnormal)},
        {"large numbers", special(Numbers::kLarge)},
        {"a NaN stays in its token", special(Numbers::kNan)},
        {"infinities stay in their token", special(Numbers::kInfinities)},
    };
    if (cell.path != Path::kScalar)
        cases.push_back({"every layout of lanes", [=](CaseContext& c) { every_layout(c, cell); }});
    return cases;
}

}  // namespace vkmoe::conformance
