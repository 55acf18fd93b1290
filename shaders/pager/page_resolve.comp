// A step of one layer with experts: which of those that the router chose are in slots, which slots the others get and,
// where the link has time left, the likeliest of the next layer; and what must be copied. src/experts/residency.h says by
// which rules, and decides alike.
//
// Victims are taken in the order of their keys, and keys do not change within a step: so each invocation keeps the best of
// the slots that it looks at, and a round of comparisons takes the best of those for each expert that needs a slot.
// Nobody looks at slots where nothing is missing.
// Launch: one workgroup; on narrow devices one subgroup, which needs no barriers.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "common/invocation.glsl"
#include "pager/params.h"
#include "pager/policy.h"
#include "pager/tables.glsl"

#ifndef VKMOE_PATH_SCALAR
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kOneSubgroup = 0;  // 1: the workgroup is no more than that
layout(constant_id = 2) const uint kBatch = 4;        // slots that an invocation loads at once, up to 4
layout(push_constant) uniform Push { PageResolveParams params; };

const uint kKept = 4u;  // victims that an invocation remembers

/// A slot in the order of victims, the first being the largest: its key, and kFirstRank less its number.
const uint kFirstRank = 0xFFFFFFFEu;
#define Victim uvec2
const Victim kBeforeAll = Victim(~0u);
const Victim kNone = Victim(0u);

shared uint wanted[kSetWords];  // experts of the next layer that the look-ahead names
shared uint candidates;         // a bit for each entry of predicted: its expert is in no slot
shared uint n_used_ahead;       // experts that were fetched ahead and are used for the first time
shared uint n_repeats;          // experts that the step before of this layer used too
shared uint victim_keys[kMaxResolvedPairs];
shared uint victim_slots[kMaxResolvedPairs];
shared uint ahead_experts[kMaxPredictedExperts];
shared uint ahead_keys[kMaxPredictedExperts];
shared uint ahead_victims[kMaxPredictedExperts];  // indices of victims, or kNowhere
shared Victim partial[2][gl_WorkGroupSize.x];
// What has been done, counted by the first invocation; in registers it would lie beside the search of slots, for which
// Skylake has too few: 10 spills by Mesa 26.2.6.
shared uint n_fetched;
shared uint n_evicted;
shared uint fetched_units;  // of a record
shared uint n_ahead;
shared uint ahead_units;  // of a record

/// What the workgroup has written, in shared memory and in tables, is there for all of it.
void synchronize() {
#ifndef VKMOE_PATH_SCALAR
    if (kOneSubgroup == 1u) {
        subgroupBarrier();
        return;
    }
#endif
    groupMemoryBarrier();
    barrier();
}

bool is_before(Victim a, Victim b) { return a.x > b.x || (a.x == b.x && a.y > b.y); }

/// The first victim of the workgroup's. turn: 0 and 1 alternately.
Victim first_victim(Victim own, uint turn) {
#ifdef VKMOE_PATH_SCALAR
    partial[turn][invocation()] = own;
    synchronize();
    Victim first = partial[turn][0];
    [[dont_unroll]] for (uint i = 1u; i < gl_WorkGroupSize.x; ++i) {
        if (is_before(partial[turn][i], first)) first = partial[turn][i];
    }
    return first;
#else
    uint key = subgroupMax(own.x);
    Victim first = Victim(key, subgroupMax(own.x == key ? own.y : 0u));
    if (kOneSubgroup == 1u) return first;
    if (subgroupElect()) partial[turn][gl_SubgroupID] = first;
    synchronize();
    own = kNone;
    // Drivers that know the number of subgroups would unroll this loop, which spills 40 on Skylake.
    [[dont_unroll]] for (uint i = gl_SubgroupInvocationID; i < gl_NumSubgroups; i += gl_SubgroupSize) {
        if (is_before(partial[turn][i], own)) own = partial[turn][i];
    }
    key = subgroupMax(own.x);
    return Victim(key, subgroupMax(own.x == key ? own.y : 0u));
#endif
}

uint reuse;  // of the header, when the step began

bool looks_ahead(PageTables tables) { return params.n_predicted != 0u && params.layer + 1u < tables.n_layers; }

/// A slot as a victim, by its owner and the owner's score; kNone where it is live.
Victim victim_of(PageTables tables, uint slot, uint owner, uint score) {
    uint rank = kFirstRank - slot;
    if (owner == kNowhere) return Victim(kEmptyKey, rank);
    uint number = owner & ~kPrefetchedBit;
    uint layer = number / tables.n_experts;
    uint expert = number - layer * tables.n_experts;
    if (layer == params.layer && contains(used[expert / 32u], expert)) return kNone;
    if (layer == params.layer + 1u && contains(wanted[expert / 32u], expert)) return Victim(kWantedKey, rank);
    uint steps = steps_until(layer, params.layer, tables.n_layers);
    // What the look-ahead does not name will hardly be used at this turn of its layer.
    if (looks_ahead(tables) && layer == params.layer + 1u) steps += tables.n_layers;
    return Victim(eviction_key(score, steps, reuse), rank);
}

/// The first kKept victims after `bound`, of every gl_WorkGroupSize.x-th slot from the invocation's own on.
void keep_victims(PageTables tables, PageLayer layer, Victim bound, out Victim kept[kKept]) {
    [[unroll]] for (uint i = 0; i < kKept; ++i) kept[i] = kNone;
    [[dont_unroll]]
    for (uint first = layer.first_slot + invocation(); first < layer.end_slot; first += kBatch * gl_WorkGroupSize.x) {
        // Only the loads are unrolled: copies of the rest hide no latency, and take drivers seconds to compile.
        uvec4 owners;
        uvec4 scores;
        [[unroll]] for (uint b = 0; b < kBatch; ++b) {
            owners[b] = Owners(tables.slots).at[min(first + b * gl_WorkGroupSize.x, layer.end_slot - 1u)];
        }
        [[unroll]] for (uint b = 0; b < kBatch; ++b) {
            uint owner = owners[b] == kNowhere ? 0u : owners[b] & ~kPrefetchedBit;
            scores[b] = Experts(tables.experts).at[owner].score;
        }
        [[dont_unroll]] for (uint b = 0; b < kBatch; ++b) {
            uint slot = first + b * gl_WorkGroupSize.x;
            if (slot >= layer.end_slot) break;
            Victim next = victim_of(tables, slot, owners[b], scores[b]);
            if (!is_before(bound, next) || !is_before(next, kept[kKept - 1u])) continue;
            [[unroll]] for (uint i = 0; i < kKept; ++i) {
                if (is_before(next, kept[i])) {
                    Victim later = kept[i];
                    kept[i] = next;
                    next = later;
                }
            }
        }
    }
}

/// The first n victims among a layer's slots, into victim_keys and victim_slots; fewer where there are not so many.
/// n_empty: those of them that are empty, which are the first.
uint find_victims(PageTables tables, PageLayer layer, uint n, out uint n_empty) {
    n_empty = 0u;
    Victim kept[kKept];
    uint n_kept = 0u;
    bool has_more = true;
    Victim last = kBeforeAll;
    [[dont_unroll]] for (uint i = 0u; i < n; ++i) {
        if (n_kept == 0u && has_more) {
            keep_victims(tables, layer, last, kept);
            [[unroll]] for (uint k = 0; k < kKept; ++k) n_kept += kept[k].y != 0u ? 1u : 0u;
            has_more = n_kept == kKept;
        }
        last = first_victim(n_kept != 0u ? kept[0] : kNone, i & 1u);
        if (last.y == 0u) return i;
        if (n_kept != 0u && kept[0] == last) {
            [[unroll]] for (uint k = 1; k < kKept; ++k) kept[k - 1u] = kept[k];
            --n_kept;
        }
        if (last.x == kEmptyKey) ++n_empty;
        if (invocation() == 0u) {
            victim_keys[i] = last.x;
            victim_slots[i] = kFirstRank - last.y;
        }
    }
    return n;
}

/// Puts an expert into a slot.
void assign(PageTables tables, uint expert, uint flag, uint slot, uint units, uint copy) {
    uint owner = Owners(tables.slots).at[slot];
    if (owner != kNowhere) Experts(tables.experts).at[owner & ~kPrefetchedBit].slot = kNowhere;
    Owners(tables.slots).at[slot] = expert | flag;
    Experts(tables.experts).at[expert].slot = slot;
    place_record(tables, expert, slot, units, params.copies, copy);
}

/// Fills `used` and `missing`, and splits the ids into those of hits and of misses. Experts that were fetched ahead and
/// are used now are so no more.
void sort_pairs(PageTables tables) {
    for (uint p = invocation(); p < params.n_pairs; p += gl_WorkGroupSize.x) {
        uint id = Words(params.ids).at[p];
        bool is_expert = id < tables.n_experts;
        PageExpert expert = PageExpert(kNowhere, 0u);
        if (is_expert) expert = Experts(tables.experts).at[params.layer * tables.n_experts + id];
        bool is_here = expert.slot != kNowhere;
        WordsOut(params.hit_ids).at[p] = is_here ? id : kNowhere;
        WordsOut(params.miss_ids).at[p] = is_here ? kNowhere : is_expert ? id : kNowhere;
        if (!is_expert) continue;
        bool is_first = !contains(atomicOr(used[id / 32u], bit_of(id)), id);
        if (is_first && was_used(expert.score) != 0u) atomicAdd(n_repeats, 1u);
        if (!is_here) {
            atomicOr(missing[id / 32u], bit_of(id));
        } else if ((atomicAnd(Owners(tables.slots).at[expert.slot], ~kPrefetchedBit) & kPrefetchedBit) != 0u) {
            atomicAdd(n_used_ahead, 1u);
        }
    }
}

/// Fills `wanted` and `candidates`.
void sort_predicted(PageTables tables) {
    for (uint i = invocation(); i < params.n_predicted; i += gl_WorkGroupSize.x) {
        uint id = Words(params.predicted).at[i];
        if (id >= tables.n_experts) continue;
        atomicOr(wanted[id / 32u], bit_of(id));
        uint expert = (params.layer + 1u) * tables.n_experts + id;
        if (Experts(tables.experts).at[expert].slot == kNowhere) atomicOr(candidates, 1u << i);
    }
}

/// Scores of all experts of the layer.
void update_scores(PageTables tables) {
    for (uint e = invocation(); e < tables.n_experts; e += gl_WorkGroupSize.x) {
        uint expert = params.layer * tables.n_experts + e;
        uint score = Experts(tables.experts).at[expert].score;
        Experts(tables.experts).at[expert].score = updated_score(score, contains(used[e / 32u], e) ? 1u : 0u);
    }
}

/// Gives the missing experts the first victims, in ascending order.
void fetch_missing(PageTables tables, uint units, uint n_victims) {
    for (uint e = invocation(); e < tables.n_experts; e += gl_WorkGroupSize.x) {
        if (!contains(missing[e / 32u], e)) continue;
        uint rank = missing_before(e);
        if (rank < n_victims)
            assign(tables, params.layer * tables.n_experts + e, 0u, victim_slots[rank], units, rank);
    }
}

/// Numbers of the experts that may be fetched ahead, and the keys that they would have.
void prepare_ahead(PageTables tables) {
    uint threshold = Header(tables.header).header.prefetch_threshold;
    for (uint i = invocation(); i < params.n_predicted; i += gl_WorkGroupSize.x) {
        if ((candidates >> i & 1u) == 0u) continue;
        uint expert = (params.layer + 1u) * tables.n_experts + Words(params.predicted).at[i];
        float probability = Floats(params.probabilities).at[i];
        // A NaN is not larger than 0, on drivers that know NaN; its bits tell on the others.
        bool is_positive = probability > 0.0 && (floatBitsToUint(probability) & 0x7FFFFFFFu) <= 0x7F800000u;
        uint share = is_positive ? uint(min(probability, 1.0) * float(kScoreOne)) : 0u;
        ahead_experts[i] = expert;
        ahead_keys[i] = prefetch_key(share, threshold, Experts(tables.experts).at[expert].score, reuse);
    }
}

/// Fills ahead_victims; one invocation does it. Returns their number.
uint choose_ahead(uint n_victims) {
    uint n = 0u;
    uint left = candidates;
    [[dont_unroll]] for (uint i = 0u; i < params.n_predicted; ++i) {
        bool is_taken = (left >> i & 1u) != 0u && n < n_victims && victim_keys[n] > ahead_keys[i] && victim_keys[n] != kWantedKey;
        ahead_victims[i] = is_taken ? n : kNowhere;
        if (!is_taken) continue;
        ++n;
        [[dont_unroll]] for (uint later = i + 1u; later < params.n_predicted; ++later) {
            if ((left >> later & 1u) != 0u && ahead_experts[later] == ahead_experts[i]) left &= ~(1u << later);
        }
    }
    return n;
}

void fetch_ahead(PageTables tables, uint units) {
    for (uint i = invocation(); i < params.n_predicted; i += gl_WorkGroupSize.x) {
        uint victim = ahead_victims[i];
        if (victim == kNowhere) continue;
        assign(tables, ahead_experts[i], kPrefetchedBit, victim_slots[victim], units, params.n_pairs + victim);
    }
}

void main() {
    PageTables tables = Tables(params.tables).tables;
    for (uint w = invocation(); w < kSetWords; w += gl_WorkGroupSize.x) {
        used[w] = 0u;
        missing[w] = 0u;
        wanted[w] = 0u;
    }
    if (invocation() == 0u) {
        candidates = 0u;
        n_used_ahead = 0u;
        n_repeats = 0u;
        n_fetched = 0u;
        n_evicted = 0u;
        fetched_units = 0u;
        n_ahead = 0u;
        ahead_units = 0u;
    }
    synchronize();
    sort_pairs(tables);
    if (looks_ahead(tables)) sort_predicted(tables);
    synchronize();

    uint n_used = 0u;
    uint n_misses = 0u;
    [[dont_unroll]] for (uint w = 0u; w < (tables.n_experts + 31u) / 32u; ++w) {
        n_used += bitCount(used[w]);
        n_misses += bitCount(missing[w]);
    }
    reuse = Header(tables.header).header.reuse;
    uint link_records = Header(tables.header).header.link_records;
    uint budget = link_records > n_misses ? link_records - n_misses : 0u;
    update_scores(tables);

    // First this layer, then the next one: one loop, for a second copy of the search takes drivers seconds to compile.
    [[dont_unroll]] for (uint turn = 0u; turn < 2u; ++turn) {
        bool ahead = turn == 1u;
        uint n_wanted = n_misses;
        if (ahead) n_wanted = looks_ahead(tables) ? min(budget, uint(bitCount(candidates))) : 0u;
        if (n_wanted == 0u) continue;
        synchronize();
        PageLayer layer = Layers(tables.layers).at[params.layer + turn];
        if (ahead) prepare_ahead(tables);
        uint n_empty;
        uint n_victims = find_victims(tables, layer, n_wanted, n_empty);
        synchronize();
        if (ahead) {
            if (invocation() == 0u) {
                ahead_units = layer.record_units;
                n_ahead = choose_ahead(n_victims);
                n_evicted += n_ahead - min(n_ahead, n_empty);
            }
            synchronize();
            fetch_ahead(tables, layer.record_units);
        } else {
            if (invocation() == 0u) {
                fetched_units = layer.record_units;
                n_fetched = n_victims;
                n_evicted = n_victims - n_empty;
            }
            fetch_missing(tables, layer.record_units, n_victims);
            synchronize();
            // The look-ahead's own experts are evicted where there is no other slot.
            if (looks_ahead(tables) && budget != 0u) {
                sort_predicted(tables);
                synchronize();
            }
        }
    }

    if (invocation() == 0u) {
        Header header = Header(tables.header);
        header.header.n_hits = sum_of(header.header.n_hits, n_used - n_misses);
        if (n_misses != 0u) {
            header.header.n_misses = sum_of(header.header.n_misses, n_misses);
            header.header.units = sum_of(header.header.units, product_of(fetched_units, n_fetched));
        }
        if (n_ahead != 0u) {
            header.header.n_prefetched = sum_of(header.header.n_prefetched, n_ahead);
            header.header.units = sum_of(header.header.units, product_of(ahead_units, n_ahead));
        }
        if (n_evicted != 0u) header.header.n_evictions = sum_of(header.header.n_evictions, n_evicted);
        if (n_used_ahead != 0u)
            header.header.n_prefetched_used = sum_of(header.header.n_prefetched_used, n_used_ahead);
        header.header.prefetch_threshold = updated_threshold(header.header.prefetch_threshold, n_ahead, n_used_ahead);
        header.header.reuse = updated_reuse(reuse, n_used, n_repeats);
        WordsOut arguments = WordsOut(params.arguments);
        arguments.at[0] = params.copy_groups;
        arguments.at[1] = n_fetched;
        arguments.at[2] = 1u;
        arguments.at[3] = n_misses != 0u ? params.miss_groups.x : 0u;
        arguments.at[4] = n_misses != 0u ? params.miss_groups.y : 0u;
        arguments.at[5] = n_misses != 0u ? params.miss_groups.z : 0u;
        arguments.at[6] = params.copy_groups;
        arguments.at[7] = n_ahead;
        arguments.at[8] = 1u;
    }
}
