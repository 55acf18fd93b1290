#include "kernels/combine.h"

#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/rows.h"

#include <cmath>

namespace vkmoe::conformance {
namespace {

enum class Shared { kNone, kPlain, kGated };

struct Sum {
    uint32_t n_tokens = 1;
    uint32_t n_slots = 1;
    uint32_t n_columns = 4;
    Residual residual = Residual::kNone;
    Shared shared = Shared::kNone;
    bool weighted = true;
    Numbers numbers = Numbers::kPlain;
    bool has_gaps = false;  // slots of no expert, whose rows nobody wrote
};

void add(Expected& sum, double term, double error = 0) {
    sum.value += term;
    sum.magnitude += std::abs(term) * (1 + error);
    sum.floor += kLeastNormal;
}

void check_sum(CaseContext& c, const KernelKey& cell, const Sum& sum) {
    const size_t n = sum.n_columns;
    const auto rows = [&](size_t n_rows, size_t n_columns) -> std::vector<float> {
        if (n_rows == 0) return {};
        return random_numbers(c.random(), sum.numbers, static_cast<uint32_t>(n_rows),
                              static_cast<uint32_t>(n_columns));
    };
    constexpr uint32_t kExperts = 60;
    const size_t n_pairs = size_t{sum.n_tokens} * sum.n_slots;
    std::vector<float> experts = rows(n_pairs, n);
    std::vector<float> weights = random_row_values(c.random(), n_pairs);
    std::vector<uint32_t> ids(n_pairs);
    for (size_t pair = 0; pair < n_pairs; ++pair) {
        ids[pair] = random_below(c.random(), kExperts);
        if (!sum.has_gaps || random_below(c.random(), 3) != 0) continue;
        ids[pair] = pick(c.random(), std::vector<uint32_t>{kExperts, kExperts + 7, UINT32_MAX});
        weights[pair] = 0;
        std::fill_n(experts.begin() + static_cast<std::ptrdiff_t>(pair * n), n,
                    pick(c.random(), std::vector<float>{kNan, kInfinity, 1e30f}));
    }
    const std::vector<float> residual = rows(sum.n_tokens, n);
    const std::vector<float> shared = rows(sum.n_tokens, n);
    std::vector<float> gates = random_row_values(c.random(), sum.n_tokens);
    for (size_t t = 0; t < gates.size(); t += 3) gates[t] *= 100;

    auto combined = c.output<float>(sum.n_tokens * n);
    CombineArgs args;
    args.n_tokens = sum.n_tokens;
    args.n_slots = sum.n_slots;
    args.n_columns = sum.n_columns;
    args.output = combined.address();
    if (sum.n_slots != 0) args.expert_output = c.upload(experts).address;
    if (sum.weighted && sum.n_slots != 0) args.weights = c.upload(weights).address;
    if (sum.has_gaps) args.rows = {c.upload(ids).address, kExperts};
    if (sum.shared != Shared::kNone) args.shared_output = c.upload(shared).address;
    if (sum.shared == Shared::kGated) args.shared_gate = c.upload(gates).address;
    args.residual = place_residual(c, sum.residual, residual, combined);
    args.path = cell.path;
    c.run({combine(c.kernels(), args)});

    std::vector<Expected> expected(sum.n_tokens * n);
    for (size_t t = 0; t < sum.n_tokens; ++t) {
        for (size_t d = 0; d < n; ++d) {
            Expected& element = expected[t * n + d];
            if (sum.residual != Residual::kNone) add(element, residual[t * n + d]);
            for (size_t s = 0; s < sum.n_slots; ++s) {
                const size_t pair = t * sum.n_slots + s;
                if (ids[pair] >= kExperts) continue;
                const double weight = sum.weighted ? weights[pair] : 1;
                const double expert = experts[pair * n + d];
                add(element, weight * expert);
                // Either may be flushed before they are multiplied.
                element.floor += kLeastNormal * (std::abs(weight) + std::abs(expert));
            }
            const double gate = sum.shared == Shared::kGated ? 1 / (1 + std::exp(-double{gates[t]})) : 1;
            const double steep = sum.shared == Shared::kGated ? std::abs(gates[t]) / 8 : 0;
            if (sum.shared != Shared::kNone) {
                add(element, gate * shared[t * n + d], steep);
                element.floor += kLeastNormal * std::abs(shared[t * n + d]);
            }
        }
    }
    check_numbers(fmt::format("{} tokens, {} slots, {} columns, residual {}, shared {}, weighted {}",
                              sum.n_tokens, sum.n_slots, sum.n_columns, static_cast<int>(sum.residual),
                              static_cast<int>(sum.shared), sum.weighted),
                  expected, combined.read(), {.relative = 2e-6, .nmse = 1e-11});
}

/// Every way to have or not to have each operand, in random shapes.
void every_operand(CaseContext& c, const KernelKey& cell) {
    for (Residual residual : {Residual::kNone, Residual::kApart, Residual::kInPlace}) {
        for (Shared shared : {Shared::kNone, Shared::kPlain, Shared::kGated}) {
            for (bool weighted : {false, true}) {
                const uint32_t n_slots = random_below(c.random(), 10) + (shared == Shared::kNone ? 1 : 0);
                const uint32_t n_columns = 4 * (1 + random_below(c.random(), 40));
                check_sum(c, cell,
                          {1 + random_below(c.random(), 30), n_slots, n_columns, residual, shared, weighted});
            }
            if (shared != Shared::kNone) check_sum(c, cell, {5, 0, 100, residual, shared});
        }
    }
}

}  // namespace

std::vector<Case> combine_cases(const KernelKey& cell, Depth) {
    const auto sums = each_of(cell, check_sum);
    const auto special = [&](Numbers numbers) {
        return sums({{5, 3, 100, Residual::kApart, Shared::kGated, true, numbers},
                     {1, 0, 36, Residual::kInPlace, Shared::kGated, true, numbers}});
    };
    return {
        {"ragged and tiny shapes", sums({{1, 8, 2048, Residual::kApart},
                                         {1, 2, 8192, Residual::kNone},
                                         {70, 3, 36, Residual::kInPlace},
                                         {17, 1, 4, Residual::kApart},
                                         {33, 32, 416, Residual::kInPlace}})},
        {"every operand present and absent", [=](CaseContext& c) { every_operand(c, cell); }},
        {"slots without an expert add nothing",
         sums({{33, 8, 100, Residual::kInPlace, Shared::kGated, true, Numbers::kPlain, true},
               {9, 2, 36, Residual::kNone, Shared::kNone, false, Numbers::kPlain, true}})},
        {"subnormal numbers", special(Numbers::kSubnormal)},
        {"large numbers", special(Numbers::kLarge)},
        {"a NaN stays in its element", special(Numbers::kNan)},
        {"infinities stay in their elements", special(Numbers::kInfinities)},
    };
}

}  // namespace vkmoe::conformance
