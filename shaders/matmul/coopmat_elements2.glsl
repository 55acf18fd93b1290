// Single elements of the sums, by the element operations of VK_NV_cooperative_matrix2.
#ifndef VKMOE_SHADERS_MATMUL_COOPMAT_ELEMENTS2_GLSL
#define VKMOE_SHADERS_MATMUL_COOPMAT_ELEMENTS2_GLSL

float store_element(const in uint32_t row, const in uint32_t token, const in float sum, const in uint first_row,
                    const in uint first_token) {
    store_sum(first_row + row, first_token + token, finished(first_row + row, first_token + token, sum));
    return sum;
}

void store_sums() {
    [[unroll]] for (uint r = 0; r < ROW_MATRICES; ++r) {
        [[unroll]] for (uint t = 0; t < TOKEN_MATRICES; ++t) {
            uint i = r * TOKEN_MATRICES + t;
            coopMatPerElementNV(sums[i], sums[i], store_element, team_row(r), team_token(t));
        }
    }
}

#endif
