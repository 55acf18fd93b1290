#include "gpu/register_plan.h"

namespace vkmoe {

bool is_apple(const DeviceCaps& caps) {
    return caps.driver_id == VK_DRIVER_ID_MESA_HONEYKRISP;
}

// Figures are of Mesa 26.2.6's code for the devices that they name.
RegisterPlan plan_registers(const DeviceCaps& caps) {
    RegisterPlan registers;
    // Instructions a weight of IQ4_XS, computed and looked up: Navi 31 6.8 and 3.4, Polaris 10 9.2 and 5.6;
    // on other vendors' about the same, with more latency.
    registers.shared_tables = caps.vendor_id == kAmd;
    const bool emulates_dots = !caps.integer_dot_accelerated;
    if (caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU) {
        // It has 16 vector registers, or 32. A tile of 32 tokens for 9 takes 7 times as long as one for 8.
        registers.batch = {8, 8, 8, 8};
        registers.dense_tokens = 16;
        // LLVM 15 compiles gate and up of Q4_K with 4 tokens in 3 s, with 8 in 12 s.
        registers.expert_tile_tokens = 4;
        // lavapipe 25.0.7 (LLVM 15), Qwen3-30B, 3 layers: a step of 64 rows takes 2.9 s, with tiles in shared
        // memory 5.4 s; one of 8 rows 0.36 s, with sorted pairs 0.53 s.
        registers.all_experts = true;
        registers.sorting_bytes = UINT64_MAX;
    } else if (caps.vendor_id == kAmd && emulates_dots) {
        // Polaris 10: 16 tokens of Q4_K take all 256 registers, 12 take 128.
        registers.batch = {12, 12, 12, 8};
    } else if (caps.vendor_id == kNvidia && emulates_dots) {
        registers.batch.small_groups = 12;  // Pascal: gate and up by 8 tokens spill 65
    } else if (caps.vendor_id == kQualcomm) {
        // Adreno 740: 12 tokens spill 1 to 11 with types of wide chunks, gate and up by 4 tokens in one pass
        // 3 to 22, and 78 with Q2_K.
        registers.batch = {16, 10, 10, 4};
        registers.most_sums = 2;
    } else if (is_apple(caps)) {
        // M1: 2 rows by 2 tokens spill 32 with Q2_K and 5 with Q3_K and Q6_K; 1 row by 12 tokens 8 with Q4_0,
        // by 8 tokens 19 with types of small groups and 31 with Q2_K, by 6 tokens 0 and 11; gate and up by 3
        // tokens 6 with types of small groups.
        registers.two_row_tokens = 1;
        registers.batch = {10, 10, 4, 4};
        registers.most_sums = 2;
    } else if (caps.vendor_id == kIntel && emulates_dots) {
        // Skylake: 2 rows by 2 tokens spill 31 with Q2_K, 17 with Q3_K and 15 with Q6_K; 1 row by 8 tokens 69
        // with Q2_K and 30 to 40 with types of wide chunks, by 6 tokens 41 and 0 to 5; of Q2_K by 3 tokens 1,
        // by 2 none; gate and up by 2 tokens in one pass 2 to 20 with types of wide chunks.
        registers.two_row_tokens = 1;
        registers.batch = {8, 4, 4, 2};
        registers.most_sums = 2;
    } else if (caps.vendor_id == kIntel) {
        // Battlemage and DG2: 12 tokens of Q4_K spill 20 and 46, 8 none; gate and up by 4 tokens in one pass
        // 8 with Q2_K.
        registers.batch = {8, 8, 8, 8};
        registers.most_sums = 4;
    }
    // 2 rows of float32 spill 4 with Q2_K and 30 with TQ1_0 on Skylake, 1 to 5 with five of the K types on
    // Tiger Lake and DG2, 13 with TQ1_0 on Battlemage.
    if (caps.vendor_id == kIntel) registers.decoded_sum_rows = 1;
    return registers;
}

}  // namespace vkmoe
