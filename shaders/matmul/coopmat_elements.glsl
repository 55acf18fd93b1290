// Single elements of the sums, whose layout VK_KHR_cooperative_matrix leaves to the driver: through shared memory, one
// matrix of each subgroup at a time, where weights were staged before.
#ifndef VKMOE_SHADERS_MATMUL_COOPMAT_ELEMENTS_GLSL
#define VKMOE_SHADERS_MATMUL_COOPMAT_ELEMENTS_GLSL

void store_sums() {
    // Unrolled with the loops around it, which index sums: Intel's compiler puts an array that is indexed in a loop into
    // scratch memory, for all of the kernel.
    const uint kTeamSize = gl_WorkGroupSize.x / (ROW_TEAMS * TOKEN_TEAMS);
    const uint kStores = (M * N + kTeamSize - 1) / kTeamSize;
    const uint kRows = ROW_MATRICES / HANDED_OVER;
    const uint kVectors = M * N / 4;
    uint base = gl_SubgroupID * HANDED_OVER * kVectors;
    [[unroll]] for (uint r = 0; r < kRows; ++r) {
        [[unroll]] for (uint t = 0; t < TOKEN_MATRICES; ++t) {
            [[unroll]] for (uint h = 0; h < HANDED_OVER; ++h) {
                coopMatStore(sums[(r + h * kRows) * TOKEN_MATRICES + t], staged_weights, base + h * kVectors, M / 4,
                             gl_CooperativeMatrixLayoutColumnMajor);
            }
            subgroupBarrier();
            [[unroll]] for (uint store = 0; store < kStores; ++store) {
                uint i = store * kTeamSize + gl_SubgroupInvocationID;
                if (M * N % kTeamSize != 0 && i >= M * N) break;
                uint row = team_row(r) + i % M;
                uint token = team_token(t) + i / M;
                float values[HANDED_OVER];
                [[unroll]] for (uint h = 0; h < HANDED_OVER; ++h) {
                    float sum = uintBitsToFloat(staged_weights[base + h * kVectors + i / 4][i % 4]);
                    values[h] = finished(row + h * kRows * M, token, sum);
                }
#if defined(VKMOE_GATES)
                if (HANDED_OVER == 2 && is_gated()) {
                    store_sum(row, token, gated(values[0], values[HANDED_OVER - 1]));
                    continue;
                }
#endif
                [[unroll]] for (uint h = 0; h < HANDED_OVER; ++h) store_sum(row + h * kRows * M, token, values[h]);
            }
            subgroupBarrier();
        }
    }
}

#endif
