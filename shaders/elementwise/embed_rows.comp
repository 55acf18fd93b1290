// destination[t, :] = scale * decoded row tokens[t] of the table; zeros for a token outside the vocabulary.
// One invocation a chunk (32 or 64 elements), tokens after one another.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "quant/quant.glsl"
#include "common/grid.glsl"
#include "elementwise/params.h"

layout(local_size_x_id = 0) in;
layout(push_constant) uniform Push { EmbedRowsParams params; };

uvec2 codebook() { return params.codebook; }

void main() {
    uint chunks = params.n_columns / (32u * CHUNK_RUNS);
    uint item = group_index() * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
    if (item >= params.n_tokens * chunks) return;
    uint t = item / chunks;
    uint chunk = item - t * chunks;
    Floats4Out destination = Floats4Out(advance(params.destination, t, params.n_columns * 4u));

    // As unsigned, a negative token is beyond every vocabulary.
    uint token = Words(params.tokens).at[t];
    if (token >= params.n_vocabulary) {
        [[unroll]] for (uint r = 0; r < CHUNK_RUNS; ++r) {
            [[unroll]] for (uint i = 0; i < 8; ++i) destination.at[run_block(chunk, r) * 8u + i] = vec4(0.0);
        }
        return;
    }
    Run runs[CHUNK_RUNS];
    load_chunk(advance(params.table, token, row_stride(params.n_columns)), chunk, runs);
    [[unroll]] for (uint r = 0; r < CHUNK_RUNS; ++r) {
        vec4 values[8];
        decode_run(runs[r], values);
        [[unroll]] for (uint i = 0; i < 8; ++i) {
            destination.at[run_block(chunk, r) * 8u + i] = params.scale * values[i];
        }
    }
}
