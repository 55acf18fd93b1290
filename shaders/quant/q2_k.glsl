// Q2_K: blocks of 256 in 84 bytes: 16 bytes, low nibble the scale and high nibble the minimum of 16 elements; 64 bytes of
// bit pairs; float16 d, dmin. Bit pair s of byte i of half h is element 128h + 32s + i: a chunk is two neighbouring
// pairs. value = d * scale * q - dmin * minimum.
#define VKMOE_HALF_SCALES 1
#define VKMOE_OFFSETS 1
#define VKMOE_HALF_OFFSETS 1
const uint CHUNK_RUNS = 2;

uint row_stride(uint n_columns) { return n_columns / 256u * 84u; }
uint run_block(uint chunk, uint run) { return chunk * 2u + run; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    uint block = (chunk >> 2) * 84u;
    uint part = chunk & 3u;
    uint scale_word = row_word(row, block + part * 4u, 0u);
    uint pairs_at = block + (part >> 1) * 32u;
    uint shift = (part & 1u) * 4u;
    [[unroll]] for (uint i = 0; i < 8; ++i) {
        uint pairs = row_word(row, pairs_at, 4u + i) >> shift;
        runs[0].q[i] = pairs & 0x03030303u;
        runs[1].q[i] = (pairs >> 2) & 0x03030303u;
    }
    vec2 d = unpackHalf2x16(row_word(row, block, 20u));
    [[unroll]] for (uint r = 0; r < 2; ++r) {
        uvec2 packed = (uvec2(scale_word) >> uvec2(16 * r, 16 * r + 8)) & 0xFFu;
        runs[r].scale = d.x * vec2(packed & 15u);
        runs[r].offset = d.y * vec2(packed >> 4);
    }
}
