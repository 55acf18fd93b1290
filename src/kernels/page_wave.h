#pragma once

#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"
#include "pager/params.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace vkmoe {

/// The routes of one wave of a batch (page_batch), and the arguments of the dispatches that compute it.
struct PageWaveArgs {
    uint64_t ids = 0;       ///< uint32 [n_pairs]
    uint64_t waves = 0;     ///< uint32 [n_experts], from page_batch
    uint64_t wave_ids = 0;  ///< out: uint32 [n_pairs]: the id where its expert is of this wave, else kNowhere
    uint64_t arguments = 0;  ///< out: uint32 [n_dispatches, 3]: groups, or zeros where nobody is of this wave
    uint32_t wave = 0;
    uint32_t n_pairs = 0;
    uint32_t n_experts = 0;
    /// Of the dispatches: at most kMaxWaveDispatches, maybe none.
    std::vector<std::array<uint32_t, 3>> groups;
    std::optional<Path> path;  ///< the very cell, for tests; else by the plan
};

/// Error(kInvalidArgument) for shapes and addresses that do not fit.
Dispatch page_wave(KernelContext& context, const PageWaveArgs& args);

}  // namespace vkmoe
