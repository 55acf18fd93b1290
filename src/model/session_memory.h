#pragma once

#include "experts/pager_mode.h"
#include "formats/tensor_type.h"

#include <cstdint>

namespace vkmoe {

class Model;

/// What decides how much memory a session takes.
struct SessionShape {
    uint32_t n_context = 0;
    uint32_t micro_batch = 0;
    uint32_t logit_rows = 0;  ///< that come back to the host at once
    TensorType kv_type = TensorType::kF16;
    PagerMode pager = PagerMode::kAuto;  ///< whose steps it has memory for; kAuto: nobody pages
    bool look_ahead = false;
    bool router_statistics = false;  ///< add up router probabilities
};

/// n_context: tokens; 0: 4096, or the model's training context where that is less. n_micro_batch: prompt
/// tokens computed at once; 0: 512.
SessionShape session_shape(const Model& model, uint32_t n_context, uint32_t n_micro_batch, TensorType kv_type,
                           bool look_ahead);

/// Bytes of a session.
struct SessionMemory {
    uint64_t kv_cache = 0;
    uint64_t activations = 0;
    uint64_t host = 0;  ///< of host memory, which the device sees

    /// Of device memory.
    uint64_t bytes() const { return kv_cache + activations; }
};
/// To the byte, by laying all out without taking anything. Needs nothing but the model's hyper-parameters and
/// device.
SessionMemory measure_session(const Model& model, const SessionShape& shape);

/// Throws kOutOfMemory, with what to do, where a session would not fit beside the weights and the other
/// sessions, or would leave the pager less than it needs for one token. Device::allocation_mutex() is held
/// from before this call until the session has its memory.
void require_room(const Model& model, const SessionShape& shape);

}  // namespace vkmoe
