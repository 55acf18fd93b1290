// N_TOKENS tokens by the MATRIX_ROWS weight rows of a team of lanes (lanes.glsl), with the sums in registers: each weight is
// read and decoded once for all of the tokens, and nothing is shared between teams. The sum of a row and a token is made in
// the same order whatever N_TOKENS is.
//
// Included once for every number of tokens: before, define N_TOKENS, and multiply_rows as the name of the function. The
// shader declares ROWS, GATED and MATRIX_ROWS = ROWS * (1 + GATED), of which the second half are up's, and MOST_SUMS, beyond
// which gate and up take turns; it defines token_row_of and store_sum.
void multiply_rows(Row weight_rows[MATRIX_ROWS], uint n_columns) {
    float sums[MATRIX_ROWS * N_TOKENS];
    [[unroll]] for (uint i = 0; i < MATRIX_ROWS * N_TOKENS; ++i) sums[i] = 0.0;
    uvec2 x_rows[N_TOKENS];
    [[unroll]] for (uint t = 0; t < N_TOKENS; ++t) x_rows[t] = token_row_of(t);

    uint n_chunks = n_columns / (32u * CHUNK_RUNS);
    const uint PASS_ROWS = MATRIX_ROWS * N_TOKENS <= MOST_SUMS ? MATRIX_ROWS : ROWS;
    for (uint first = 0; first < MATRIX_ROWS; first += PASS_ROWS) {
        for (uint chunk = LANE; chunk < n_chunks; chunk += LANES) {
            Run weights[PASS_ROWS * CHUNK_RUNS];
            [[unroll]] for (uint r = 0; r < PASS_ROWS; ++r) {
                Run runs[CHUNK_RUNS];
                load_chunk(weight_rows[first + r], chunk, runs);
                [[unroll]] for (uint i = 0; i < CHUNK_RUNS; ++i) weights[r * CHUNK_RUNS + i] = runs[i];
            }
            // Of this chunk, so that rounding grows with the number of chunks only.
            float parts[PASS_ROWS * N_TOKENS];
            [[unroll]] for (uint i = 0; i < PASS_ROWS * N_TOKENS; ++i) parts[i] = 0.0;
            [[unroll]] for (uint i = 0; i < CHUNK_RUNS; ++i) {
                uint block = run_block(chunk, i);
                [[unroll]] for (uint piece = 0; piece < RUN_PIECES; ++piece) {
                    WeightPiece w[PASS_ROWS];
                    [[unroll]] for (uint r = 0; r < PASS_ROWS; ++r) {
                        w[r] = weight_piece(weights[r * CHUNK_RUNS + i], piece);
                    }
                    [[unroll]] for (uint t = 0; t < N_TOKENS; ++t) {
                        ActivationPiece x = activation_piece(x_rows[t], block, piece, n_columns);
                        [[unroll]] for (uint r = 0; r < PASS_ROWS; ++r) {
                            parts[r * N_TOKENS + t] = add_product(w[r], x, parts[r * N_TOKENS + t]);
                        }
                    }
                }
            }
            [[unroll]] for (uint i = 0; i < PASS_ROWS * N_TOKENS; ++i) sums[first * N_TOKENS + i] += parts[i];
        }
    }

    [[unroll]] for (uint i = 0; i < MATRIX_ROWS * N_TOKENS; ++i) sums[i] = team_sum(sums[i]);
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
        [[unroll]] for (uint t = 0; t < N_TOKENS; ++t) {
            if (LANE != (r * N_TOKENS + t) % LANES) continue;
            float value = sums[r * N_TOKENS + t];
            if (GATED != 0u) value = value / (1.0 + exp(-value)) * sums[(MATRIX_ROWS - ROWS + r) * N_TOKENS + t];
            store_sum(r, t, value);
        }
    }
}
#undef N_TOKENS
#undef multiply_rows
