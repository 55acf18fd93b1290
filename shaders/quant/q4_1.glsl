// Q4_1: blocks of 20 bytes: float16 d, m; 16 bytes of nibbles (elements i low, i + 16 high). value = d * q + m.
#define VKMOE_OFFSETS 1
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 32u * 20u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    uint block = chunk * 20u;
    vec2 d_m = unpackHalf2x16(row_word(row, block, 0u));
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        uint word = row_word(row, block, 1u + i);
        runs[0].q[i] = word & 0x0F0F0F0Fu;
        runs[0].q[i + 4] = (word >> 4) & 0x0F0F0F0Fu;
    }
    runs[0].scale = d_m.xx;
    runs[0].offset = -d_m.yy;
}
