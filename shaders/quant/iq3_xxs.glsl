// IQ3_XXS: blocks of 256 in 98 bytes: float16 d; 64 indices of a byte into the grid of 256 fours; eight words, one a run:
// four sign codes of seven bits, and four bits of scale on top. value = d * (scale + 0.5) / 2 * q.
#include "quant/grid.glsl"
#include "quant/iq_signs.glsl"
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 256u * 98u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader block = open_reader(row, (chunk >> 3) * 98u);
    uint run = chunk & 7u;
    uvec2 indices = words2_at(block, 2u + run * 8u);
    uint codes = word_at(block, 66u + run * 4u);
    uint signs = even_signs(spread_sevens(codes));
    [[unroll]] for (uint i = 0; i < 8; ++i) {
        runs[0].q[i] = apply_signs(grid4((indices[i / 4] >> (8 * (i % 4))) & 0xFFu), signs >> (4 * i));
    }
    runs[0].scale = vec2(read_half(block, 0u) * (0.5 * float(codes >> 28) + 0.25));
    runs[0].offset = vec2(0.0);
}
