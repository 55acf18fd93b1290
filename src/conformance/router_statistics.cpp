#include "kernels/router_statistics.h"

#include "conformance/case_context.h"
#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/router_reference.h"

#include <algorithm>
#include <cmath>

namespace vkmoe::conformance {
namespace {

/// Adds batches of n_tokens each to sums that were begun at `begin`.
void check_batches(CaseContext& c, const KernelKey& cell, RouterScore score, uint32_t n_tokens,
                   uint32_t n_experts, uint32_t n_batches, Numbers numbers = Numbers::kPlain, float begin = 0,
                   const std::vector<uint32_t>& broken = {}) {
    std::vector<Expected> expected(n_experts, Expected{begin, begin});
    auto sums = c.output<float>(size_t{n_experts} * 2);
    std::vector<float> first(size_t{n_experts} * 2, 0.0f);
    for (size_t e = 0; e < n_experts; ++e) first[2 * e] = begin;
    sums.fill(first);
    std::vector<Dispatch> dispatches;
    for (uint32_t batch = 0; batch < n_batches; ++batch) {
        std::vector<float> logits = random_numbers(c.random(), numbers, n_tokens, n_experts);
        for (float& logit : logits) logit = std::clamp(logit, -80.0f, 80.0f);
        // Tokens that must add nothing: no logit, or no total, to go by.
        for (const uint32_t token : broken) {
            const auto row = logits.begin() + static_cast<std::ptrdiff_t>(token) * n_experts;
            if (token % 4 == 0) std::fill_n(row, n_experts, -kInfinity);
            row[random_below(c.random(), n_experts)] = token % 3 == 0 ? kInfinity : kNan;
        }
        RouterStatisticsArgs args;
        args.logits = c.upload(logits).address;
        args.sums = sums.address();
        args.n_tokens = n_tokens;
        args.n_experts = n_experts;
        args.score = score;
        args.path = cell.path;
        dispatches.push_back(router_statistics(c.kernels(), args));
        for (size_t t = 0; t < n_tokens; ++t) {
            if (std::ranges::find(broken, t) != broken.end()) continue;
            double total = 0;
            for (size_t e = 0; e < n_experts; ++e) total += plain_score(score, logits[t * n_experts + e]);
            for (size_t e = 0; e < n_experts; ++e) {
                const double logit = logits[t * n_experts + e];
                const double share = plain_score(score, logit) / total;
                expected[e].value += share;
                expected[e].magnitude += share * (2 + std::abs(logit) / 4);
                expected[e].floor += 1e-30;
            }
        }
    }
    c.run(dispatches);
    const std::vector<float> parts = sums.read();
    std::vector<float> whole(n_experts);
    for (size_t e = 0; e < n_experts; ++e) {
        // The first part alone may lack what a float has no room for.
        const double sum = double{parts[2 * e]} + parts[2 * e + 1];
        whole[e] = static_cast<float>(sum - begin);
        expected[e].value -= begin;
        expected[e].magnitude -= begin;
    }
    check_numbers(fmt::format("{} times {} tokens, {} experts, score {}", n_batches, n_tokens, n_experts,
                              static_cast<int>(score)),
                  expected, whole, {.relative = 2e-6, .nmse = 1e-10});
}

void every_score(CaseContext& c, const KernelKey& cell) {
    for (RouterScore score : {RouterScore::kSoftmax, RouterScore::kSoftmaxOfChosen, RouterScore::kSigmoid,
                              RouterScore::kSqrtSoftplus, RouterScore::kSparseMixer}) {
        check_batches(c, cell, score, 1, 128, 3);
        check_batches(c, cell, score, 37, 60, 2);
    }
}

void every_shape(CaseContext& c, const KernelKey& cell) {
    for (uint32_t n_tokens : {1u, 7u, 8u, 65u})
        for (uint32_t n_experts : {1u, 5u, 64u, 257u, 512u})
            check_batches(c, cell, RouterScore::kSoftmax, n_tokens, n_experts, 1);
}

}  // namespace

std::vector<Case> router_statistics_cases(const KernelKey& cell, Depth depth) {
    const auto plain = [cell](uint32_t n_tokens, uint32_t n_experts, Numbers numbers) {
        return [=](CaseContext& c) {
            check_batches(c, cell, RouterScore::kSoftmax, n_tokens, n_experts, 1, numbers);
        };
    };
    std::vector<Case> cases = {
        {"every score", [=](CaseContext& c) { every_score(c, cell); }},
        {"ragged and tiny shapes", [=](CaseContext& c) { every_shape(c, cell); }},
        {"large logits", plain(20, 40, Numbers::kLarge)},
        {"subnormal logits", plain(20, 40, Numbers::kSubnormal)},
        {"tokens with a NaN or an infinity add nothing",
         [=](CaseContext& c) {
             for (RouterScore score :
                  {RouterScore::kSoftmax, RouterScore::kSigmoid, RouterScore::kSqrtSoftplus})
                 check_batches(c, cell, score, 30, 40, 3, Numbers::kPlain, 0, {0, 6, 7, 9, 29});
             check_batches(c, cell, RouterScore::kSoftmax, 1, 128, 2, Numbers::kPlain, 3, {0});
         }},
        // Sums to which a float's next probability would add nothing.
        {"long sums lose nothing",
         [=](CaseContext& c) {
             check_batches(c, cell, RouterScore::kSoftmax, 100, 64, 5, Numbers::kPlain, 0x1p26f);
         }},
    };
    if (depth == Depth::kFull) cases.push_back({"many tokens", plain(20000, 128, Numbers::kPlain)});
    return cases;
}

}  // namespace vkmoe::conformance
