#pragma once

#include "experts/device_pager.h"
#include "experts/pager_mode.h"
#include "model/hyper_parameters.h"

#include <array>

namespace vkmoe {

/// Memory of a session for the pager's steps, by max_tokens tokens at once, of which it looks up the experts
/// of at most few_tokens. Where the host decides it writes the ids, and those that the router chose come
/// back.
struct PagerWorkspace {
    PageScratch scratch;                 ///< where the device decides
    std::array<Allocation, 2> wave_ids;  ///< where the host does: uint32 [pairs]
    Allocation ids_back;                 ///< uint32 [pairs]
    Allocation predicted_back;           ///< uint32 [predicted]
    Allocation probabilities_back;       ///< float32 [predicted]
};
PagerWorkspace make_pager_workspace(PagerMode mode, const HyperParameters& hyper, uint32_t max_tokens,
                                    uint32_t few_tokens, Arena& device_arena, Arena& upload_arena,
                                    Arena& readback_arena);

}  // namespace vkmoe
