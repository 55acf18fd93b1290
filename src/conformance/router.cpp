#include "kernels/router.h"

#include "conformance/case_context.h"
#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/published_routers.h"
#include "conformance/router_reference.h"

#include <algorithm>
#include <numeric>

namespace vkmoe::conformance {
namespace {

std::string describe(const RouterArgs& args) {
    return fmt::format(
        "{} tokens, {} of {} experts, score {}, {} of {} groups, renormalize {} by {} {}, scale {}",
        args.n_tokens, args.n_slots, args.n_experts, static_cast<int>(args.score), args.n_groups_used,
        args.n_groups, args.renormalize, args.sum_offset, args.floor, args.scale);
}

/// Runs the routing as it is and judges choice, weights and counts.
void check_routing(CaseContext& c, const KernelKey& cell, const RouterCase& routing) {
    RouterArgs args = routing.args;
    const size_t n_routes = size_t{args.n_tokens} * args.n_slots;
    auto ids = c.output<uint32_t>(n_routes);
    auto weights = c.output<float>(n_routes);
    auto counts = c.output<uint32_t>(args.n_experts);
    std::vector<uint32_t> expected_counts(args.n_experts);
    std::iota(expected_counts.begin(), expected_counts.end(), 1000u);  // it adds to what is there
    counts.fill(expected_counts);
    args.logits = c.upload(routing.logits).address;
    args.ids = ids.address();
    args.weights = weights.address();
    args.counts = counts.address();
    if (!routing.bias.empty()) args.selection_bias = c.upload(routing.bias).address;
    if (!routing.expert_scales.empty()) args.expert_scales = c.upload(routing.expert_scales).address;
    if (!routing.table.empty()) {
        args.table = c.upload(routing.table).address;
        args.tokens = c.upload(routing.tokens).address;
    }
    args.path = cell.path;
    c.run({router(c.kernels(), args)});

    const std::vector<uint32_t> all_ids = ids.read();
    std::vector<Expected> expected;
    for (uint32_t token = 0; token < args.n_tokens; ++token) {
        const RouterReference reference(routing, token);
        const std::span own = std::span(all_ids).subspan(size_t{token} * args.n_slots, args.n_slots);
        try {
            reference.check_choice(own);
        } catch (const CheckFailure& failure) {
            fail_check("{}: {}", describe(args), failure.what());
        }
        const std::vector<Expected> row = reference.weights(own);
        expected.insert(expected.end(), row.begin(), row.end());
        for (uint32_t id : own)
            if (id < args.n_experts) ++expected_counts[id];
    }
    // An expert at the edge of what the sparse mixer counts makes a range of its weight: each number is in
    // its own.
    const bool mixer = args.score == RouterScore::kSparseMixer;
    check_numbers(describe(args), expected, weights.read(),
                  {.relative = 2e-6, .nmse = mixer ? std::numeric_limits<double>::infinity() : 1e-9});
    require_equal<uint32_t>(describe(args) + ", counts", expected_counts, counts.read());
}

RouterCase random_routing(std::mt19937& random, const Gating& gating, uint32_t n_tokens) {
    RouterCase routing{.args = gating.args};
    RouterArgs& args = routing.args;
    args.n_tokens = n_tokens;
    routing.logits = normal_numbers(random, size_t{n_tokens} * args.n_experts, 2);
    // Biases are as large as differences between scores.
    if (gating.biased) routing.bias = normal_numbers(random, args.n_experts, 0.2f);
    if (gating.scaled_by_expert) routing.expert_scales = normal_numbers(random, args.n_experts, 1);
    if (gating.by_table) {
        args.n_table_rows = 1 + random_below(random, 50);
        for (size_t i = 0; i < size_t{args.n_table_rows} * args.n_slots; ++i)
            routing.table.push_back(random_below(random, args.n_experts + 1));  // sometimes none
        for (size_t i = 0; i < n_tokens; ++i)
            routing.tokens.push_back(random_below(random, args.n_table_rows + 1));  // sometimes beyond
    }
    return routing;
}

/// Any options that may go together, for shapes up to the largest.
Gating random_gating(std::mt19937& random) {
    Gating gating;
    RouterArgs& args = gating.args;
    const uint32_t group_size = pick<uint32_t>(random, {1, 2, 3, 4, 7, 16, 32, 60, 256});
    args.n_groups = 1 + random_below(random, std::min(kMaxRouterGroups, kMaxRouterExperts / group_size));
    args.n_experts = group_size * args.n_groups;
    args.score = static_cast<RouterScore>(random_below(random, 5));
    gating.scaled_by_expert = random_below(random, 4) == 0;
    const bool mixer = args.score == RouterScore::kSparseMixer;
    gating.by_table = !mixer && random_below(random, 5) == 0;
    if (mixer || gating.by_table || random_bool(random)) {
        args.n_groups = 1;
    } else {
        args.n_groups_used = 1 + random_below(random, args.n_groups);
        args.group_score =
            group_size >= 2 && random_bool(random) ? GroupScore::kTopTwoSum : GroupScore::kBest;
    }
    gating.biased = !mixer && !gating.by_table && random_bool(random);
    const uint32_t most = args.n_experts / args.n_groups * args.n_groups_used;
    args.n_slots = 1 + random_below(random, std::min(kMaxRouterSlots, most));
    args.jitter = pick<float>(random, {0, 0.01f, 0.3f});
    args.renormalize = random_bool(random);
    args.sum_offset = pick<float>(random, {0, 1e-20f, 0.25f});
    args.floor = pick<float>(random, {0, 1e-12f, 0.9f});
    args.scale = pick<float>(random, {1, 2.5f, -3});
    return gating;
}

void random_gatings(CaseContext& c, const KernelKey& cell, int count) {
    for (int i = 0; i < count; ++i) {
        const uint32_t n_tokens = pick<uint32_t>(c.random(), {1, 2, 3, 7, 33, 65, 130});
        check_routing(c, cell, random_routing(c.random(), random_gating(c.random()), n_tokens));
    }
}

/// The gatings whose scores and choices differ most; shapes that leave lanes without an expert.
std::vector<Gating> hard_gatings() {
    using enum RouterScore;
    return {
        {{.n_experts = 100, .n_slots = 12, .renormalize = true}},
        {{.n_experts = 100, .n_slots = 12, .score = kSoftmaxOfChosen}},
        {{.n_experts = 36,
          .n_slots = 5,
          .score = kSigmoid,
          .n_groups = 6,
          .n_groups_used = 2,
          .renormalize = true},
         true},
        {{.n_experts = 60, .n_slots = 7, .score = kSqrtSoftplus}, true},
        {{.n_experts = 44,
          .n_slots = 6,
          .n_groups = 4,
          .n_groups_used = 3,
          .group_score = GroupScore::kBest}},
        {{.n_experts = 20, .n_slots = 4, .score = kSparseMixer, .jitter = 0.1f}},
    };
}

/// All of them, with logits that fill() changes.
template <typename Fill>
void hard_cases(CaseContext& c, const KernelKey& cell, Fill fill) {
    for (const Gating& gating : hard_gatings()) {
        RouterCase routing = random_routing(c.random(), gating, 9);
        fill(routing);
        check_routing(c, cell, routing);
    }
}

void ties(CaseContext& c, const KernelKey& cell) {
    hard_cases(c, cell, [&](RouterCase& routing) {
        for (float& logit : routing.logits) logit = static_cast<float>(random_below(c.random(), 3)) - 1;
        for (float& bias : routing.bias) bias = 0.25f;
        // A token whose experts are all the same, but for the sign of 0.
        for (uint32_t e = 0; e < routing.args.n_experts; ++e) routing.logits[e] = e % 3 == 0 ? -0.0f : 0.0f;
    });
}

/// Replaces one in `every` logits by a special one.
void special_logits(CaseContext& c, const KernelKey& cell, uint32_t every,
                    const std::vector<float>& special) {
    hard_cases(c, cell, [&](RouterCase& routing) {
        for (float& logit : routing.logits)
            if (random_below(c.random(), every) == 0) logit = pick(c.random(), special);
    });
}

void all_nan(CaseContext& c, const KernelKey& cell) {
    hard_cases(c, cell, [&](RouterCase& routing) {
        std::fill_n(routing.logits.begin() + routing.args.n_experts, routing.args.n_experts, kNan);
    });
}

void nan_bias(CaseContext& c, const KernelKey& cell) {
    hard_cases(c, cell, [&](RouterCase& routing) {
        for (size_t e = 0; e < routing.bias.size(); e += 3) routing.bias[e] = e % 2 == 0 ? kNan : kInfinity;
    });
}

void large_logits(CaseContext& c, const KernelKey& cell) {
    hard_cases(c, cell, [&](RouterCase& routing) {
        for (float& logit : routing.logits) logit *= pick<float>(c.random(), {1, 30, 1e4f, 1e37f});
    });
}

void extreme_shapes(CaseContext& c, const KernelKey& cell) {
    const std::vector<Gating> gatings = {
        {{.n_experts = 1, .n_slots = 1}},
        {{.n_experts = 5, .n_slots = 5, .renormalize = true}},
        {{.n_experts = 512,
          .n_slots = 32,
          .score = RouterScore::kSigmoid,
          .n_groups = 32,
          .n_groups_used = 2},
         true},
        {{.n_experts = 32,
          .n_slots = 3,
          .n_groups = 32,
          .n_groups_used = 3,
          .group_score = GroupScore::kBest}},
    };
    for (const Gating& gating : gatings) check_routing(c, cell, random_routing(c.random(), gating, 67));
}

}  // namespace

std::vector<Case> router_cases(const KernelKey& cell, Depth depth) {
    std::vector<Case> cases;
    for (const PublishedRouter& one : published_routers()) {
        cases.push_back({one.name, [=](CaseContext& c) {
                             for (uint32_t n_tokens : {1u, 70u})
                                 check_routing(c, cell, random_routing(c.random(), one.gating, n_tokens));
                         }});
    }
    const bool quick = depth == Depth::kQuick;
    cases.insert(
        cases.end(),
        {{"one expert, all experts, 32 groups", [=](CaseContext& c) { extreme_shapes(c, cell); }},
         {"any options together", [=](CaseContext& c) { random_gatings(c, cell, quick ? 4 : 300); }},
         {"ties go to the lower index", [=](CaseContext& c) { ties(c, cell); }},
         {"large logits", [=](CaseContext& c) { large_logits(c, cell); }},
         {"subnormal logits",
          [=](CaseContext& c) {
              special_logits(c, cell, 2, {1e-39f, -1e-39f, 1e-45f, -1e-45f});
          }},
         {"infinite logits",
          [=](CaseContext& c) {
              special_logits(c, cell, 20, {kInfinity, -kInfinity});
          }},
         {"logits of minus infinity", [=](CaseContext& c) { special_logits(c, cell, 3, {-kInfinity}); }},
         {"NaN logits",
          [=](CaseContext& c) {
              special_logits(c, cell, 20, {kNan, -kNan});
          }},
         {"tokens with only NaN logits", [=](CaseContext& c) { all_nan(c, cell); }},
         {"NaN and infinite biases", [=](CaseContext& c) { nan_bias(c, cell); }}});
    return cases;
}

}  // namespace vkmoe::conformance
