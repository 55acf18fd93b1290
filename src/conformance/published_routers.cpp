#include "conformance/published_routers.h"

namespace vkmoe::conformance {

std::vector<PublishedRouter> published_routers() {
    using enum RouterScore;
    return {
        {"Mixtral", {{.n_experts = 8, .n_slots = 2, .renormalize = true}}},
        {"OLMoE", {{.n_experts = 64, .n_slots = 8}}},
        {"Qwen3-MoE", {{.n_experts = 128, .n_slots = 8, .renormalize = true}}},
        {"Gemma 4", {{.n_experts = 128, .n_slots = 8, .renormalize = true}, false, true}},
        {"ERNIE 4.5", {{.n_experts = 64, .n_slots = 6, .renormalize = true, .floor = 1e-12f}, true}},
        {"gpt-oss", {{.n_experts = 128, .n_slots = 4, .score = kSoftmaxOfChosen}}},
        {"DeepSeek-V2",
         {{.n_experts = 160,
           .n_slots = 6,
           .n_groups = 8,
           .n_groups_used = 3,
           .group_score = GroupScore::kBest,
           .scale = 16}}},
        {"DeepSeek-V3",
         {{.n_experts = 256,
           .n_slots = 8,
           .score = kSigmoid,
           .n_groups = 8,
           .n_groups_used = 4,
           .renormalize = true,
           .sum_offset = 1e-20f,
           .scale = 2.5f},
          true}},
        {"DeepSeek-V4",
         {{.n_experts = 256,
           .n_slots = 6,
           .score = kSqrtSoftplus,
           .renormalize = true,
           .sum_offset = 1e-20f,
           .scale = 1.5f},
          true}},
        {"DeepSeek-V4 by token",
         {{.n_experts = 256,
           .n_slots = 6,
           .score = kSqrtSoftplus,
           .renormalize = true,
           .sum_offset = 1e-20f,
           .scale = 1.5f},
          false,
          false,
          true}},
        {"LFM2",
         {{.n_experts = 32, .n_slots = 4, .score = kSigmoid, .renormalize = true, .sum_offset = 1e-6f},
          true}},
        {"Llama 4", {{.n_experts = 128, .n_slots = 1, .score = kSigmoid}}},
        {"Phi-3.5-MoE", {{.n_experts = 16, .n_slots = 2, .score = kSparseMixer, .jitter = 0.01f}}},
    };
}

}  // namespace vkmoe::conformance
