#pragma once

#include "engine/session.h"
#include "experts/pager.h"
#include "kernels/kernel_table.h"

#include <algorithm>
#include <cstdint>

namespace vkmoe {

// What a model with a pager, loaded without a budget and without sessions, would need of one. In bytes.

/// Slots for all experts.
inline uint64_t all_slots(const Model& model) {
    const PagerShape& shape = model.pager()->shape();
    uint64_t bytes = 0;
    for (const uint64_t record : shape.record_bytes) bytes += slot_bytes_of(record) * shape.n_experts;
    return bytes;
}

/// What is not for slots: dense weights and one such session.
inline uint64_t memory_beside_slots(const Model& model, const SessionParams& params) {
    return model.kernels().device().device_memory_taken() +
           measure_session(model, session_shape(model, params)).bytes();
}

/// The budget that has so much for slots and tables, or the least that works.
inline uint64_t vram_budget(const Model& model, const SessionParams& params, uint64_t for_slots) {
    return memory_beside_slots(model, params) + std::max(for_slots, model.pager()->least_bytes());
}

/// The RAM budget that leaves so much for experts in host memory.
inline uint64_t ram_budget(const MemoryQuestion& question, uint64_t vram_budget, uint64_t for_experts) {
    return for_experts + question.session_ram + (question.unified ? vram_budget : 0);
}

/// A part of a number of bytes.
inline uint64_t share_of(uint64_t bytes, double share) {
    return static_cast<uint64_t>(share * static_cast<double>(bytes));
}

}  // namespace vkmoe
