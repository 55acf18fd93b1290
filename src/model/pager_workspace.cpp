#include "model/pager_workspace.h"

#include "kernels/page_resolve.h"
#include "kernels/page_wave.h"

#include <algorithm>

namespace vkmoe {

namespace {

constexpr uint64_t kArgumentBytes = 3 * sizeof(uint32_t);

}  // namespace

PagerWorkspace make_pager_workspace(PagerMode mode, const HyperParameters& hyper, uint32_t max_tokens,
                                    uint32_t few_tokens, Arena& device_arena, Arena& upload_arena,
                                    Arena& readback_arena) {
    const uint64_t pairs = uint64_t{max_tokens} * hyper.n_experts_used;
    const uint64_t few = uint64_t{std::min(max_tokens, few_tokens)} * hyper.n_experts_used;
    PagerWorkspace paging;
    const bool on_device = mode == PagerMode::kDevice;
    Arena& ids_arena = on_device ? device_arena : upload_arena;
    paging.scratch.hit_ids = ids_arena.allocate(few * sizeof(uint32_t));
    paging.scratch.miss_ids = ids_arena.allocate(few * sizeof(uint32_t));
    if (on_device) {
        PageScratch& scratch = paging.scratch;
        const uint64_t most_copies = std::max<uint64_t>(few + kMaxPredictedExperts, hyper.n_experts);
        scratch.copies = device_arena.allocate(most_copies * sizeof(PageCopy));
        scratch.arguments = device_arena.allocate(std::max(3u, 1 + hyper.n_experts) * kArgumentBytes);
        scratch.waves = device_arena.allocate(hyper.n_experts * sizeof(uint32_t));
        scratch.wave_ids = device_arena.allocate(pairs * sizeof(uint32_t));
        scratch.wave_arguments = device_arena.allocate(kMaxWaveDispatches * kArgumentBytes);
    } else {
        paging.scratch.arguments = upload_arena.allocate(kArgumentBytes);
        for (Allocation& ids : paging.wave_ids) ids = upload_arena.allocate(pairs * sizeof(uint32_t));
        paging.ids_back = readback_arena.allocate(pairs * sizeof(uint32_t));
        paging.predicted_back = readback_arena.allocate(kMaxPredictedExperts * sizeof(uint32_t));
        paging.probabilities_back = readback_arena.allocate(kMaxPredictedExperts * sizeof(float));
    }
    return paging;
}

}  // namespace vkmoe
