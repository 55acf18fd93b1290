// Tables and push constants of the kernels that page experts. Read by C++ and GLSL.
//
// Experts are numbered layer * n_experts + expert, where layer counts the layers with experts. A record is an expert's
// gate, up and down matrix in one piece; a slot is a place for one in device memory.
#ifndef VKMOE_SHADERS_PAGER_PARAMS_H
#define VKMOE_SHADERS_PAGER_PARAMS_H

#include "common/fold_grid.h"
#include "common/shared.h"

#ifdef __cplusplus
namespace vkmoe {
#endif

VKMOE_CONSTANT kNowhere = 0xFFFFFFFFu;        // no slot, no owner, no wave
VKMOE_CONSTANT kPrefetchedBit = 0x80000000u;  // of a slot's owner: fetched ahead and not used yet

// What the kernels have room for
VKMOE_CONSTANT kMaxPagedExperts = 512u;     // a layer
VKMOE_CONSTANT kMaxResolvedPairs = 256u;    // (token, slot) pairs of a step
VKMOE_CONSTANT kMaxPredictedExperts = 32u;  // of the next layer
VKMOE_CONSTANT kMaxWaveDispatches = 4u;

/// A count of 64 bits: a model of 48 layers with 8 experts each counts past 32 bits within 11 million tokens.
struct PageCount {
    VKMOE_UINT low;
    VKMOE_UINT high;
};
VKMOE_CHECK_SIZE(PageCount, 8);

/// What the host sets, and what adds up.
struct PageHeader {
    VKMOE_UINT link_records;        // records that the link moves in a layer's time: misses and prefetches together
    VKMOE_UINT prefetch_threshold;  // probability, of 65536, from which on experts are fetched ahead
    VKMOE_UINT reuse;               // share of what steps use that the step before used too, of 2^20
    VKMOE_UINT padding;
    PageCount n_hits;               // experts that a step wanted and that were there
    PageCount n_misses;
    PageCount n_evictions;
    PageCount n_prefetched;
    PageCount n_prefetched_used;    // counted once each
    PageCount n_batch_hits;         // by batches, which leave the slots as they are
    PageCount n_streamed;           // by batches, through the ring
    PageCount units;                // copied, of 16 bytes
};
VKMOE_CHECK_SIZE(PageHeader, 80);

/// A layer's part of the slots.
struct PageLayer {
    VKMOE_UINT first_slot;
    VKMOE_UINT end_slot;
    VKMOE_UINT record_units;  // of 16 bytes
    VKMOE_UINT padding;
};
VKMOE_CHECK_SIZE(PageLayer, 16);

struct PageExpert {
    VKMOE_UINT slot;  // or kNowhere
    VKMOE_UINT score;
};
VKMOE_CHECK_SIZE(PageExpert, 8);

/// One record to copy.
struct PageCopy {
    VKMOE_UINT from_low;
    VKMOE_UINT from_high;
    VKMOE_UINT to_low;
    VKMOE_UINT to_high;
    VKMOE_UINT units;  // of 16 bytes
    VKMOE_UINT expert;
    VKMOE_UINT slot;
    VKMOE_UINT padding;
};
VKMOE_CHECK_SIZE(PageCopy, 32);

/// Addresses of the tables, in device memory; the last struct of page kernels' parameters reads them by address.
struct PageTables {
    VKMOE_STORED_POINTER header;        // PageHeader
    VKMOE_STORED_POINTER layers;        // PageLayer [n_layers]
    VKMOE_STORED_POINTER slots;         // uint [n_slots]: the expert that is there, perhaps with kPrefetchedBit, or kNowhere
    VKMOE_STORED_POINTER experts;       // PageExpert [n_layers * n_experts]
    VKMOE_STORED_POINTER slot_records;  // pointers [n_slots and those of the ring]: where each slot is
    VKMOE_STORED_POINTER host_records;  // pointers [n_layers * n_experts]: where each record can be read, in host memory
    VKMOE_STORED_POINTER records;       // pointers [n_layers * n_experts]: what the experts' matrix kernels read. Right for
                                        // those that are in slots and for those that a batch has fetched into the ring
    VKMOE_UINT n_layers;
    VKMOE_UINT n_experts;               // a layer
    VKMOE_UINT n_slots;
    VKMOE_UINT padding;
};
VKMOE_CHECK_SIZE(PageTables, 72);

/// page_resolve: what a step of one layer finds, evicts and fetches.
struct PageResolveParams {
    VKMOE_POINTER tables;         // PageTables
    VKMOE_POINTER ids;            // uint [n_pairs]: the experts that the router chose
    VKMOE_POINTER predicted;      // uint [n_predicted]: experts of the next layer, the likeliest first; 0: none
    VKMOE_POINTER probabilities;  // float [n_predicted]
    VKMOE_POINTER hit_ids;        // out: uint [n_pairs]: the id where its record is there, else kNowhere
    VKMOE_POINTER miss_ids;       // out: uint [n_pairs]: the others
    VKMOE_POINTER copies;         // out: PageCopy [n_pairs + n_predicted]: misses, and from n_pairs on prefetches
    VKMOE_POINTER arguments;      // out: uint [3, 3]: {copy_groups, misses, 1}, miss_groups or zeros, and
                                  // {copy_groups, prefetches, 1}
    VKMOE_UINT layer;
    VKMOE_UINT n_pairs;
    VKMOE_UINT n_predicted;
    VKMOE_UINT copy_groups;  // workgroups that copy a record together
    GridSize miss_groups;    // of the expert_matvec over miss_ids
    VKMOE_UINT padding;
};
VKMOE_CHECK_SIZE(PageResolveParams, 96);

/// page_batch: how a batch's experts come by. Those in slots are wave 0; the others are fetched into the ring, wave_slots
/// at a time, in ascending order: waves 1, 2, …
struct PageBatchParams {
    VKMOE_POINTER tables;
    VKMOE_POINTER ids;        // uint [n_pairs]
    VKMOE_POINTER waves;      // out: uint [n_experts]: the wave of each, kNowhere where nobody wants it
    VKMOE_POINTER copies;     // out: PageCopy [n_experts]: those of wave w from (w - 1) * wave_slots on
    VKMOE_POINTER arguments;  // out: uint [n_waves, 3]: {copy_groups, records to fetch, 1}; zeros for wave 0
    VKMOE_UINT layer;
    VKMOE_UINT n_pairs;
    VKMOE_UINT copy_groups;
    VKMOE_UINT ring_first;  // the ring's first place in slot_records. Below n_slots the ring is borrowed from the slots,
                            // which a batch that must fetch empties first
    VKMOE_UINT ring_slots;  // wave_slots, or twice that: then a wave is fetched while the one before it is computed
    VKMOE_UINT wave_slots;
    VKMOE_UINT n_waves;     // 1 + n_experts / wave_slots, rounded up
    VKMOE_UINT padding;
};
VKMOE_CHECK_SIZE(PageBatchParams, 72);

/// page_wave: the routes of one wave, and the arguments of the dispatches that compute it: all zeros where it is empty.
struct PageWaveParams {
    VKMOE_POINTER ids;        // uint [n_pairs]
    VKMOE_POINTER waves;      // uint [n_experts]
    VKMOE_POINTER wave_ids;   // out: uint [n_pairs]: the id where its expert is of this wave, else kNowhere
    VKMOE_POINTER arguments;  // out: uint [n_dispatches, 3]
    VKMOE_UINT wave;
    VKMOE_UINT n_pairs;
    VKMOE_UINT n_experts;
    VKMOE_UINT n_dispatches;
    VKMOE_UINT groups[3 * kMaxWaveDispatches];  // of the dispatches
};
VKMOE_CHECK_SIZE(PageWaveParams, 96);

/// page_fetch: copies records. Launch: x is the part of a record, y the copy (indirect).
struct PageFetchParams {
    VKMOE_POINTER copies;  // PageCopy []
};
VKMOE_CHECK_SIZE(PageFetchParams, 8);

#ifdef __cplusplus
constexpr uint64_t value_of(const PageCount& count) { return (uint64_t{count.high} << 32) | count.low; }
constexpr PageCount page_count(uint64_t value) {
    return {static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32)};
}
constexpr void add_to(PageCount& count, uint64_t n) { count = page_count(value_of(count) + n); }
}  // namespace vkmoe
#endif

#endif
