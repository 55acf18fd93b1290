#include "kernels/page_resolve.h"

#include "conformance/check.h"
#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/paged_experts.h"
#include "pager/policy.h"

#include <algorithm>
#include <limits>
#include <set>

namespace vkmoe::conformance {
namespace {

constexpr uint32_t kCopyGroups = 5;
constexpr std::array<uint32_t, 3> kMissGroups{7, 6, 2};

/// A step of one layer.
struct Step {
    uint32_t layer = 0;
    std::vector<uint32_t> ids;
    std::vector<uint32_t> predicted;
    std::vector<float> probabilities;
};

struct Outcome {
    std::vector<uint32_t> hit_ids;
    std::vector<uint32_t> miss_ids;
    std::vector<PageCopy> copies;
    std::vector<uint32_t> arguments;
};

/// What one may take of a layer's slots, the first victim last.
struct Candidate {
    uint32_t key = 0;
    uint32_t slot = 0;
    bool operator<(const Candidate& other) const {
        return key != other.key ? key < other.key : slot > other.slot;
    }
};

class Reference {
  public:
    Reference(PagedExperts& paged, const Step& step) : paged_(paged), step_(step) {
        for (uint32_t id : step.ids)
            if (id < paged.n_experts) used_.insert(paged.number(step.layer, id));
        if (step.layer + 1 < paged.n_layers()) {
            for (uint32_t id : step.predicted)
                if (id < paged.n_experts) wanted_.push_back(paged.number(step.layer + 1, id));
        }
    }

    Outcome run() {
        outcome_.copies.assign(step_.ids.size() + step_.predicted.size(), untouched_copy());
        for (uint32_t id : step_.ids) {
            const bool is_expert = id < paged_.n_experts;
            const bool is_hit = is_expert && paged_.is_resident(paged_.number(step_.layer, id));
            outcome_.hit_ids.push_back(is_hit ? id : kNowhere);
            outcome_.miss_ids.push_back(is_expert && !is_hit ? id : kNowhere);
        }
        std::vector<uint32_t> missing;
        uint32_t n_used_ahead = 0;
        uint32_t n_repeats = 0;
        for (uint32_t e = 0; e < paged_.n_experts; ++e) {
            const uint32_t number = paged_.number(step_.layer, e);
            PageExpert& expert = paged_.experts[number];
            if (used_.count(number) != 0) n_repeats += was_used(expert.score);
            expert.score = updated_score(expert.score, used_.count(number) != 0 ? 1 : 0);
            if (used_.count(number) == 0) continue;
            if (!paged_.is_resident(number)) {
                missing.push_back(number);
                continue;
            }
            add_to(paged_.header.n_hits, 1);
            if ((paged_.slots[expert.slot] & kPrefetchedBit) != 0) ++n_used_ahead;
            paged_.slots[expert.slot] = number;
        }
        add_to(paged_.header.n_misses, missing.size());

        std::vector<Candidate> victims = candidates(step_.layer);
        for (size_t i = 0; i < missing.size(); ++i) {
            outcome_.copies[i] = assign(missing[i], 0, victims.back().slot, step_.layer);
            victims.pop_back();
        }
        const uint32_t n_misses = static_cast<uint32_t>(missing.size());
        const uint32_t n_ahead = step_.layer + 1 < paged_.n_layers() ? fetch_ahead(n_misses) : 0;
        add_to(paged_.header.n_prefetched_used, n_used_ahead);
        paged_.header.prefetch_threshold =
            updated_threshold(paged_.header.prefetch_threshold, n_ahead, n_used_ahead);
        paged_.header.reuse =
            updated_reuse(paged_.header.reuse, static_cast<uint32_t>(used_.size()), n_repeats);
        outcome_.arguments = {kCopyGroups,
                              n_misses,
                              1,
                              n_misses != 0 ? kMissGroups[0] : 0,
                              n_misses != 0 ? kMissGroups[1] : 0,
                              n_misses != 0 ? kMissGroups[2] : 0,
                              kCopyGroups,
                              n_ahead,
                              1};
        return outcome_;
    }

  private:
    bool is_wanted(uint32_t number) const {
        return std::find(wanted_.begin(), wanted_.end(), number) != wanted_.end();
    }

    std::vector<Candidate> candidates(uint32_t layer) const {
        std::vector<Candidate> result;
        for (uint32_t slot = paged_.layers[layer].first_slot; slot < paged_.layers[layer].end_slot; ++slot) {
            const uint32_t owner = paged_.owner(slot);
            if (paged_.slots[slot] == kNowhere) {
                result.push_back({kEmptyKey, slot});
            } else if (used_.count(owner) == 0) {
                const uint32_t owner_layer = owner / paged_.n_experts;
                uint32_t steps = steps_until(owner_layer, step_.layer, paged_.n_layers());
                if (!step_.predicted.empty() && owner_layer == step_.layer + 1) steps += paged_.n_layers();
                result.push_back({is_wanted(owner)
                                      ? kWantedKey
                                      : eviction_key(paged_.experts[owner].score, steps, paged_.header.reuse),
                                  slot});
            }
        }
        std::sort(result.begin(), result.end());
        return result;
    }

    PageCopy assign(uint32_t number, uint32_t flag, uint32_t slot, uint32_t layer) {
        paged_.evict(slot);
        paged_.put(number, slot, flag);
        return paged_.place_record(number, slot, paged_.layers[layer].record_units);
    }

    uint32_t fetch_ahead(uint32_t n_misses) {
        uint32_t budget = paged_.header.link_records;
        budget -= std::min(budget, n_misses);
        std::vector<Candidate> victims = candidates(step_.layer + 1);
        uint32_t n = 0;
        for (size_t i = 0; i < step_.predicted.size() && n < budget && !victims.empty(); ++i) {
            if (step_.predicted[i] >= paged_.n_experts) continue;
            const uint32_t number = paged_.number(step_.layer + 1, step_.predicted[i]);
            if (paged_.is_resident(number)) continue;
            const float share = step_.probabilities[i] * static_cast<float>(kScoreOne);
            const uint32_t probability = share >= static_cast<float>(kScoreOne) ? kScoreOne
                                         : share > 0                            ? static_cast<uint32_t>(share)
                                                                                : 0;
            const uint32_t key = prefetch_key(probability, paged_.header.prefetch_threshold,
                                              paged_.experts[number].score, paged_.header.reuse);
            if (victims.back().key <= key || victims.back().key == kWantedKey) continue;
            outcome_.copies[step_.ids.size() + n++] =
                assign(number, kPrefetchedBit, victims.back().slot, step_.layer + 1);
            add_to(paged_.header.n_prefetched, 1);
            victims.pop_back();
        }
        return n;
    }

    PagedExperts& paged_;
    const Step& step_;
    std::set<uint32_t> used_;
    std::vector<uint32_t> wanted_;
    Outcome outcome_;
};

/// How steps come about.
struct Steps {
    PagedShape shape;
    uint32_t n_steps = 1;
    uint32_t n_pairs = 1;
    uint32_t n_predicted = 0;
    uint32_t percent_resident = 50;  ///< of the ids; the others are any expert's
    uint32_t percent_invalid = 0;    ///< of the ids and the predicted
    uint32_t workgroup_size = 0;
};

/// Any expert of a layer, or one that is in a slot where there is any.
uint32_t random_id(std::mt19937& random, const PagedExperts& paged, uint32_t layer, const Steps& steps) {
    const std::vector<uint32_t> invalid = {paged.n_experts, paged.n_experts + 1, kPrefetchedBit, kNowhere};
    if (random_below(random, 100) < steps.percent_invalid) return pick(random, invalid);
    if (random_below(random, 100) < steps.percent_resident) {
        std::vector<uint32_t> resident;
        for (uint32_t e = 0; e < paged.n_experts; ++e)
            if (paged.is_resident(paged.number(layer, e))) resident.push_back(e);
        if (!resident.empty()) return pick(random, resident);
    }
    return random_below(random, paged.n_experts);
}

float random_probability(std::mt19937& random) {
    using Limits = std::numeric_limits<float>;
    const std::vector<float> special = {0.0f,
                                        1.0f,
                                        -0.5f,
                                        1e30f,
                                        -1e30f,
                                        1e-40f,
                                        Limits::quiet_NaN(),
                                        Limits::infinity(),
                                        -Limits::infinity()};
    if (random_below(random, 4) == 0) return pick(random, special);
    return std::uniform_real_distribution<float>(0, 1)(random) /
           static_cast<float>(1u << random_below(random, 8));
}

Step random_step(std::mt19937& random, const PagedExperts& paged, uint32_t layer, const Steps& steps) {
    Step step;
    step.layer = layer;
    const uint32_t n_slots = paged.layers[layer].end_slot - paged.layers[layer].first_slot;
    std::set<uint32_t> distinct;
    while (step.ids.size() < steps.n_pairs) {
        const uint32_t id = random_id(random, paged, layer, steps);
        if (id < paged.n_experts && distinct.count(id) == 0 && distinct.size() == n_slots) {
            step.ids.push_back(pick(random, std::vector<uint32_t>(distinct.begin(), distinct.end())));
            continue;
        }
        if (id < paged.n_experts) distinct.insert(id);
        step.ids.push_back(id);
    }
    const uint32_t next = std::min(layer + 1, paged.n_layers() - 1);
    for (uint32_t i = 0; i < steps.n_predicted; ++i) {
        step.predicted.push_back(random_id(random, paged, next, steps));
        step.probabilities.push_back(random_probability(random));
    }
    return step;
}

/// Lets the kernel take a step, and the reference. paged: what the tables hold, before and after it.
void check_step(CaseContext& c, const KernelKey& cell, const std::string& what, const Step& step,
                uint32_t workgroup_size, PagedExperts& paged, StoredPagedExperts& stored) {
    const uint32_t n_pairs = static_cast<uint32_t>(step.ids.size());
    const uint32_t n_predicted = static_cast<uint32_t>(step.predicted.size());
    paged.header.link_records = random_below(c.random(), 2 * n_pairs + n_predicted + 1);
    stored.header.fill(std::vector{paged.header});
    auto hit_ids = c.output<uint32_t>(n_pairs);
    auto miss_ids = c.output<uint32_t>(n_pairs);
    auto copies = c.output<PageCopy>(size_t{n_pairs} + n_predicted);
    auto arguments = c.output<uint32_t>(9);
    PageResolveArgs args;
    args.tables = stored.tables;
    args.ids = c.upload(step.ids).address;
    if (!step.predicted.empty()) {
        args.predicted = c.upload(step.predicted).address;
        args.probabilities = c.upload(step.probabilities).address;
    }
    args.hit_ids = hit_ids.address();
    args.miss_ids = miss_ids.address();
    args.copies = copies.address();
    args.arguments = arguments.address();
    args.layer = step.layer;
    args.n_pairs = n_pairs;
    args.n_predicted = n_predicted;
    args.copy_groups = kCopyGroups;
    args.miss_groups = kMissGroups;
    args.path = cell.path;
    args.workgroup_size = workgroup_size;
    c.run({page_resolve(c.kernels(), args)});

    const Outcome expected = Reference(paged, step).run();
    require_equal<uint32_t>(what + ": hit_ids", expected.hit_ids, hit_ids.read());
    require_equal<uint32_t>(what + ": miss_ids", expected.miss_ids, miss_ids.read());
    require_equal<uint32_t>(what + ": arguments", expected.arguments, arguments.read());
    check_paged_experts(what, paged, stored);
    require_equal<uint32_t>(what + ": copies", words_of(expected.copies), words_of(copies.read()));
}

void check_steps(CaseContext& c, const KernelKey& cell, const Steps& steps) {
    PagedExperts paged = random_paged_experts(c.random(), steps.shape);
    StoredPagedExperts stored = upload_paged_experts(c, paged);
    for (uint32_t i = 0; i < steps.n_steps; ++i) {
        const uint32_t first_layer = i == 0 ? random_below(c.random(), paged.n_layers()) : i;
        const Step step = random_step(c.random(), paged, first_layer % paged.n_layers(), steps);
        check_step(c, cell,
                   fmt::format("{}, step {} of {} pairs, {} predicted, of layer {}", steps.shape.describe(),
                               i, steps.n_pairs, steps.n_predicted, step.layer),
                   step, steps.workgroup_size, paged, stored);
    }
}

/// All slots hold what the step itself uses or what the look-ahead wants, the first what the step uses: only
/// what is wanted may leave.
void only_wanted_experts_leave(CaseContext& c, const KernelKey& cell, uint32_t n_slots) {
    const PagedShape shape = {
        .n_layers = 2, .n_experts = 2 * n_slots, .n_slots = n_slots, .percent_empty = 100};
    PagedExperts paged = random_paged_experts(c.random(), shape);
    Step step;
    for (uint32_t slot = 0; slot < n_slots; ++slot) {
        const bool is_used = slot == 0 || (slot + 1 < n_slots && random_bool(c.random()));
        paged.put(paged.number(is_used ? 0 : 1, slot), slot, random_bool(c.random()) ? kPrefetchedBit : 0u);
        (is_used ? step.ids : step.predicted).push_back(slot);
    }
    const uint32_t n_wanted = static_cast<uint32_t>(step.predicted.size());
    const uint32_t n_misses = 1 + random_below(c.random(), n_wanted);
    for (uint32_t i = 0; i < n_misses; ++i) step.ids.push_back(n_slots + i);
    for (uint32_t i = 0; i < n_wanted; ++i) step.probabilities.push_back(random_probability(c.random()));
    StoredPagedExperts stored = upload_paged_experts(c, paged);
    check_step(
        c, cell,
        fmt::format("{} slots in use, {} of them wanted ahead, {} misses", n_slots, n_wanted, n_misses), step,
        0, paged, stored);
}

/// Workgroups of one subgroup, of several, and as wide as they can be.
std::vector<uint32_t> workgroup_sizes(const DevicePlan& plan) {
    const uint32_t most = std::min(1024u, plan.max_workgroup_invocations);
    return {plan.subgroup_size, std::min(4 * plan.subgroup_size, most), most};
}

}  // namespace

std::vector<Case> page_resolve_cases(const KernelKey& cell, Depth depth) {
    const auto steps = each_of(cell, check_steps);
    std::vector<Case> cases = {
        {"everything is resident", steps({{{3, 64, 192}, 6, 8, 0, 100}})},
        {"everything is resident, with a look-ahead", steps({{{3, 64, 192}, 6, 8, 8, 100}})},
        {"misses and hits", steps({{{4, 64, 100}, 8, 8, 0}})},
        {"look-ahead", steps({{{4, 64, 100}, 8, 8, 12}})},
        {"look-ahead beyond the last layer", steps({{{1, 40, 20}, 3, 8, 12}})},
        {"as many slots as a step needs", steps({{{3, 64, 8}, 9, 8, 8, 20}})},
        {"one slot", steps({{{2, 5, 1}, 4, 3, 3}})},
        {"empty slots", steps({{{3, 32, 60, 0, 1, 40}, 6, 8, 8}})},
        {"no slot is in use", steps({{{2, 32, 50, 0, 1, 100}, 4, 8, 8}})},
        {"equal scores", steps({{{4, 64, 128, 0, 1, 20, true}, 8, 8, 16, 30}})},
        {"records of two sizes", steps({{{5, 48, 120, 0, 2, 10}, 10, 8, 16, 30}})},
        {"ids that name no expert", steps({{{3, 30, 40}, 6, 12, 12, 50, 40}})},
        {"no id names an expert", steps({{{3, 30, 40}, 3, 8, 8, 50, 100}})},
        {"one expert", steps({{{2, 1, 1}, 4, 1, 1}})},
        {"256 pairs of 512 experts", steps({{{2, 512, 600}, 4, 256, 32, 20}})},
        {"thousands of slots", steps({{{48, 128, 5000, 0, 2}, 4, 8, 16, 20}})},
        {"workgroups of every size",
         [cell](CaseContext& c) {
             for (uint32_t size : workgroup_sizes(c.plan())) {
                 check_steps(c, cell, {{4, 64, 100}, 4, 8, 12, 50, 0, size});
                 check_steps(c, cell, {{2, 300, 350, 0, 1, 0, true}, 4, 256, 32, 10, 0, size});
             }
         }},
        {"only predicted experts can be evicted",
         [cell](CaseContext& c) {
             for (uint32_t n_slots : {2u, 5u, 9u, 33u}) only_wanted_experts_leave(c, cell, n_slots);
         }},
    };
    if (depth == Depth::kQuick) return cases;
    cases.push_back({"many steps", steps({{{12, 128, 400, 0, 2, 30}, 200, 8, 12, 70, 5}})});
    cases.push_back({"32768 slots", steps({{{80, 512, 32768, 0, 1, 5}, 4, 256, 32, 20}})});
    return cases;
}

}  // namespace vkmoe::conformance
