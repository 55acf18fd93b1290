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

/// After a session found too little memory, and gave back what it had: throws kOutOfMemory that says what to
/// do, with a pager the least budget that works. Returns where nothing can be said.
void explain_least_budget(const Model& model, const SessionShape& shape);

}  // namespace vkmoe
