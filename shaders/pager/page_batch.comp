// How a batch's experts come by: those in slots are wave 0; the others are fetched into the ring in ascending order,
// kWaveSlots a wave. A ring that is borrowed from the slots is emptied first, if anything must be fetched; else the slots,
// and the scores of all experts, stay as they are.
// Launch: one workgroup.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "pager/params.h"
#include "pager/tables.glsl"

layout(local_size_x_id = 0) in;
layout(push_constant) uniform Push { PageBatchParams params; };

shared uint n_evicted;

void synchronize() {
    groupMemoryBarrier();
    barrier();
}

/// Fills `missing` with the experts that are used and in no slot; returns whether there are any.
bool find_missing(PageTables tables) {
    for (uint e = gl_LocalInvocationID.x; e < tables.n_experts; e += gl_WorkGroupSize.x) {
        if (!contains(used[e / 32u], e)) continue;
        if (Experts(tables.experts).at[params.layer * tables.n_experts + e].slot == kNowhere)
            atomicOr(missing[e / 32u], bit_of(e));
    }
    synchronize();
    uint any = 0u;
    [[dont_unroll]] for (uint w = 0u; w < kSetWords; ++w) any |= missing[w];
    return any != 0u;
}

void empty_borrowed_slots(PageTables tables) {
    for (uint s = params.ring_first + gl_LocalInvocationID.x; s < tables.n_slots; s += gl_WorkGroupSize.x) {
        uint owner = Owners(tables.slots).at[s];
        if (owner == kNowhere) continue;
        Experts(tables.experts).at[owner & ~kPrefetchedBit].slot = kNowhere;
        Owners(tables.slots).at[s] = kNowhere;
        atomicAdd(n_evicted, 1u);
    }
}

void main() {
    PageTables tables = Tables(params.tables).tables;
    uint lane = gl_LocalInvocationID.x;
    for (uint w = lane; w < kSetWords; w += gl_WorkGroupSize.x) {
        used[w] = 0u;
        missing[w] = 0u;
    }
    if (lane == 0u) n_evicted = 0u;
    synchronize();
    for (uint p = lane; p < params.n_pairs; p += gl_WorkGroupSize.x) {
        uint id = Words(params.ids).at[p];
        if (id < tables.n_experts) atomicOr(used[id / 32u], bit_of(id));
    }
    synchronize();
    if (find_missing(tables) && params.ring_first < tables.n_slots) {
        empty_borrowed_slots(tables);
        synchronize();
        find_missing(tables);
    }

    uint units = Layers(tables.layers).at[params.layer].record_units;
    for (uint e = lane; e < tables.n_experts; e += gl_WorkGroupSize.x) {
        uint wave = contains(used[e / 32u], e) ? 0u : kNowhere;
        if (contains(missing[e / 32u], e)) {
            uint rank = missing_before(e);
            wave = 1u + rank / params.wave_slots;
            place_record(tables, params.layer * tables.n_experts + e, params.ring_first + rank % params.ring_slots, units,
                         params.copies, rank);
        }
        WordsOut(params.waves).at[e] = wave;
    }

    uint n_used = 0u;
    uint n_missing = 0u;
    [[dont_unroll]] for (uint w = 0u; w < kSetWords; ++w) {
        n_used += bitCount(used[w]);
        n_missing += bitCount(missing[w]);
    }
    for (uint w = lane; w < params.n_waves; w += gl_WorkGroupSize.x) {
        uint before = w == 0u ? n_missing : min((w - 1u) * params.wave_slots, n_missing);
        WordsOut arguments = WordsOut(params.arguments);
        arguments.at[3u * w] = w == 0u ? 0u : params.copy_groups;
        arguments.at[3u * w + 1u] = min(params.wave_slots, n_missing - before);
        arguments.at[3u * w + 2u] = w == 0u ? 0u : 1u;
    }
    if (lane == 0u) {
        Header header = Header(tables.header);
        header.header.n_batch_hits = sum_of(header.header.n_batch_hits, n_used - n_missing);
        header.header.n_streamed = sum_of(header.header.n_streamed, n_missing);
        header.header.n_evictions = sum_of(header.header.n_evictions, n_evicted);
        header.header.units = sum_of(header.header.units, product_of(units, n_missing));
    }
}
