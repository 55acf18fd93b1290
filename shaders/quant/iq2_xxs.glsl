// IQ2_XXS: blocks of 256 in 66 bytes: float16 d, eight runs of 8 bytes: four indices into the grid of 256 eights; four
// sign codes of seven bits, and four bits of scale on top. value = d * (scale + 0.5) / 4 * q.
#include "quant/grid.glsl"
#include "quant/iq_signs.glsl"
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 256u * 66u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader block = open_reader(row, (chunk >> 3) * 66u);
    uvec2 words = words2_at(block, 2u + (chunk & 7u) * 8u);
    uint signs = even_signs(spread_sevens(words.y));
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        uvec2 values = grid8((words.x >> (8 * i)) & 0xFFu);
        runs[0].q[2 * i] = apply_signs(values.x, signs >> (8 * i));
        runs[0].q[2 * i + 1] = apply_signs(values.y, signs >> (8 * i + 4));
    }
    runs[0].scale = vec2(read_half(block, 0u) * (0.25 * float(words.y >> 28) + 0.125));
    runs[0].offset = vec2(0.0);
}
