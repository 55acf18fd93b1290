// Reading rows of the KV cache (layout: src/kernels/kv_cache.h), and how many numbers the type packs into 4 and 16 bytes.
#ifndef VKMOE_SHADERS_ATTENTION_KV_ROW_GLSL
#define VKMOE_SHADERS_ATTENTION_KV_ROW_GLSL

#if defined(VKMOE_TYPE_F32)

const uint kKvWordDims = 1u;
#define KV_WORD float

uint kv_row_bytes(uint head_dim) { return head_dim * 4u; }

/// 16 bytes of a row as float32, four a vector.
void kv_load_chunk(uvec2 row, uint head_dim, uint chunk, out vec4 values[1]) { values[0] = Floats4(row).at[chunk]; }

/// One word of a row.
KV_WORD kv_load_word(uvec2 row, uint head_dim, uint word) { return Floats(row).at[word]; }

#elif defined(VKMOE_TYPE_F16)

const uint kKvWordDims = 2u;
#define KV_WORD vec2

uint kv_row_bytes(uint head_dim) { return head_dim * 2u; }

void kv_load_chunk(uvec2 row, uint head_dim, uint chunk, out vec4 values[2]) {
    uvec4 words = Words4(row).at[chunk];
    values[0] = vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));
    values[1] = vec4(unpackHalf2x16(words.z), unpackHalf2x16(words.w));
}

KV_WORD kv_load_word(uvec2 row, uint head_dim, uint word) { return unpackHalf2x16(Words(row).at[word]); }

#elif defined(VKMOE_TYPE_Q8_0)

const uint kKvWordDims = 4u;
#define KV_WORD vec4

uint kv_row_bytes(uint head_dim) { return (head_dim + head_dim / 8u + 15u) & ~15u; }

vec4 kv_bytes(uint word) {
    int bits = int(word);
    return vec4(bitfieldExtract(bits, 0, 8), bitfieldExtract(bits, 8, 8), bitfieldExtract(bits, 16, 8), bits >> 24);
}

void kv_load_chunk(uvec2 row, uint head_dim, uint chunk, out vec4 values[4]) {
    uvec4 words = Words4(row).at[chunk];
    float scale = Floats(row).at[head_dim / 4u + chunk / 2u];
    [[unroll]] for (uint i = 0u; i < 4u; ++i) values[i] = scale * kv_bytes(words[i]);
}

KV_WORD kv_load_word(uvec2 row, uint head_dim, uint word) {
    return Floats(row).at[head_dim / 4u + word / 8u] * kv_bytes(Words(row).at[word]);
}

#endif

const uint kKvChunkDims = 4u * kKvWordDims;

#endif
