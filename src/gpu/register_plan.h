#pragma once

#include "gpu/caps.h"

#include <cstdint>

namespace vkmoe {

/// The most tokens whose sums by one row of weights a team of lanes holds in registers, beside the weights.
/// By gate's and up's rows together it is half as many.
struct BatchTokens {
    uint32_t usual = 16;
    uint32_t wide_chunks = 16;   ///< of types of which a lane decodes 64 or more weights at a time
    uint32_t small_groups = 16;  ///< of those that have a scale for every 16, too
    uint32_t q2_k = 8;           ///< which has an offset for each of these
};

/// How matrix kernels that keep their sums in registers and share nothing (register_rows.glsl) are used.
struct RegisterPlan {
    uint32_t scalar_workgroup = 0;  ///< invocations on the scalar path, each with rows of its own
    uint32_t scalar_rows = 1;       ///< rows of an invocation on the scalar path, for one or two tokens
    uint32_t tile_tokens = 2;       ///< the most tokens whose sums an invocation holds on the scalar path
    uint32_t few_tokens = 8;        ///< up to which a step adds products up in the order of one token's
    // Of the paths that share rows among lanes:
    uint32_t two_row_tokens = 2;    ///< the most tokens for which a team takes two rows at once
    uint32_t decoded_sum_rows = 2;  ///< of a team that adds experts up in float32, of types not the usual
    BatchTokens batch;
    uint32_t dense_tokens = 8;        ///< up to which one matrix is multiplied so, be it in several batches
    uint32_t expert_tile_tokens = 8;  ///< the most of a tile of an expert; of a few tokens it has 4
    bool all_experts = false;  ///< however many tokens they have, not only while a tile of one is half full
    uint32_t most_sums = UINT32_MAX;    ///< of gate and up, for which a team multiplies both in one pass
    uint64_t sorting_bytes = 4u << 20;  ///< of weights that are read in the time that sorting pairs takes
    bool shared_tables = false;         ///< look the numbers of IQ4 types up in shared memory
};

/// GPUs of Apple, whose lanes have 128 registers each.
bool is_apple(const DeviceCaps& caps);

/// By what the registers of the device hold; what regards its scalar path is left as it is.
RegisterPlan plan_registers(const DeviceCaps& caps);

}  // namespace vkmoe
