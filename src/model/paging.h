#pragma once

#include "experts/pager.h"
#include "gpu/arena.h"
#include "model/model.h"

#include <memory>
#include <vector>

namespace vkmoe {

/// What weights take of device memory, and where the records of experts lie in the file.
struct MeasuredWeights {
    ArenaLayout layout;
    uint64_t bytes = 0;
    std::vector<RecordLayer> records;
};

/// Holds the device to params.vram_budget; without one, on a device with memory of its own, to what is free
/// less headroom.
void set_memory_budget(Device& device, const ModelParams& params);

/// Host memory for experts: params.ram_budget, or what is free less headroom.
uint64_t host_memory_budget(const ModelParams& params);

/// Throws kOutOfMemory, with the least budget that works, where there is no room for the weights of a paged
/// model and one token's experts. dense: without the experts.
void require_budget(const Model& model, const ModelParams& params, const MeasuredWeights& dense);

/// Whether a model whose weights take so many bytes, experts among them, is to be paged. It has hyper() and
/// kernels() already.
bool wants_pager(const Model& model, const ModelParams& params, uint64_t weight_bytes);

/// measure_link, or nothing where the budget has no room for that. To be called before anything is loaded.
LinkSpeed probe_link(KernelContext& kernels);

/// Reads the experts into host memory, as far as params.ram_budget goes, and decides who will page them.
/// share_done: of the progress that params.progress is told.
std::unique_ptr<Pager> make_pager(const Model& model, const ModelParams& params, const LinkSpeed& link,
                                  std::vector<RecordLayer> records, float share_done);

}  // namespace vkmoe
