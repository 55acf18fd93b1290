#include "model/session_memory.h"

#include "base/error.h"
#include "base/units.h"
#include "experts/pager.h"
#include "kernels/kernel_table.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "model/workspace.h"

#include <algorithm>

namespace vkmoe {

namespace {

constexpr uint32_t kDefaultContext = 4096;
constexpr uint32_t kDefaultMicroBatch = 512;
/// Logits come back in pieces of at most this many bytes: 150,000 tokens of vocabulary are 600 kB a row.
constexpr uint64_t kLogitBytes = 64ull << 20;

}  // namespace

SessionShape session_shape(const Model& model, uint32_t n_context, uint32_t n_micro_batch, TensorType kv_type,
                           bool look_ahead) {
    const HyperParameters& hyper = model.hyper();
    SessionShape shape{.kv_type = kv_type, .look_ahead = look_ahead};
    if (model.pager() != nullptr) shape.pager = model.pager()->mode();
    shape.n_context = n_context > 0 ? n_context : std::min(kDefaultContext, hyper.n_context_train);
    shape.micro_batch = std::min(n_micro_batch > 0 ? n_micro_batch : kDefaultMicroBatch, shape.n_context);
    const uint64_t rows = kLogitBytes / (hyper.n_vocabulary * sizeof(float));
    shape.logit_rows = static_cast<uint32_t>(std::clamp<uint64_t>(rows, 1, shape.micro_batch));
    return shape;
}

SessionMemory measure_session(const Model& model, const SessionShape& shape) {
    const KvCache cache(model.kernels().shared_device(), model.hyper(), shape.kv_type, shape.n_context,
                        ArenaMode::kMeasure);
    const Workspace workspace(model, shape, ArenaMode::kMeasure);
    return {cache.committed_bytes(), workspace.device_arena->committed_bytes(),
            workspace.upload_arena->committed_bytes() + workspace.readback_arena->committed_bytes()};
}

void require_room(const Model& model, const SessionShape& shape) {
    const Device& device = model.kernels().device();
    const uint64_t session = measure_session(model, shape).bytes();
    if (model.pager() == nullptr) {
        const uint64_t available = device.available_device_memory();
        if (session <= available) return;
        fail(ErrorCode::kOutOfMemory,
             "a context of {} tokens in micro-batches of {} needs {} of device memory, but the model's "
             "weights and "
             "other sessions leave {}; {}",
             shape.n_context, shape.micro_batch, human_bytes(session), human_bytes(available),
             model.hyper().n_experts == 0
                 ? "use a smaller context or micro-batch"
                 : "load the model for a session of this size, so that it offloads experts to host memory");
    }
    const uint64_t budget = device.memory_budget();
    if (budget == 0) return;
    // Slots make room for the session, down to those of one token.
    const uint64_t taken = device.device_memory_taken(MemoryShare::kGeneral);
    const uint64_t least = taken + session + model.pager()->least_bytes();
    if (least <= budget) return;
    fail(ErrorCode::kOutOfMemory,
         "a context of {} tokens in micro-batches of {} needs {} of device memory in addition to {} of other "
         "weights and sessions and {} for one token's experts; the smallest --vram-budget that works is {} "
         "MiB",
         shape.n_context, shape.micro_batch, human_bytes(session), human_bytes(taken),
         human_bytes(model.pager()->least_bytes()), mib_rounded_up(least));
}

}  // namespace vkmoe
