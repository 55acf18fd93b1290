#pragma once

#include "experts/pager.h"
#include "model/model.h"

#include <memory>
#include <vector>

namespace vkmoe {

/// What there is of memory on a device whose budget is not set yet, and what the model needs of it. It has
/// hyper(), kernels() and, but for what this fills in, needs() already.
MemoryQuestion memory_question(const Model& model, const ModelParams& params);

/// The session that params plan for, as measure_session takes it. pager: who would page; kAuto: nobody.
SessionShape planned_session(const Model& model, const ModelParams& params, PagerMode pager);

/// Bytes of device memory that a model which is not loaded yet may take, a session of it included, within the
/// budget.
uint64_t available_for_weights(const Model& model);

/// Throws kOutOfMemory, with the least budget that works, where there is no room for a paged model's weights
/// with one token's experts, and for the session that params.session asks for.
void require_budget(const Model& model, const ModelParams& params);

/// measure_link, or nothing where the budget has no room for that. To be called before anything is loaded.
LinkSpeed probe_link(KernelContext& kernels);

/// Reads the experts into host memory, as far as its budget goes, and decides who will page them.
/// share_done: of the progress that params.progress is told.
std::unique_ptr<Pager> make_pager(const Model& model, const ModelParams& params, const LinkSpeed& link,
                                  float share_done);

}  // namespace vkmoe
