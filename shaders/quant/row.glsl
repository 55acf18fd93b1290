// A row of weights in memory, and loads from it.
//
// Where each invocation has a row of its own (VKMOE_LANE_ROWS, matmul/lanes.glsl), a Row stands for those of all
// invocations, which lie at one distance. A workgroup of kLaneRows then loads for each of its invocations from an address
// that is the same in all of them, and each chooses its own: on the drivers of CPUs such loads are scalar, where an address
// for each invocation costs a branch and an insertion for each.
#ifndef VKMOE_SHADERS_QUANT_ROW_GLSL
#define VKMOE_SHADERS_QUANT_ROW_GLSL

#include "common/memory.glsl"

/// Number `index` of the words, or pairs or fours of them, from an offset that is a multiple of their size.
uint row_word(uvec2 row, uint offset, uint index) { return Words(advance(row, offset)).at[index]; }
uvec2 row_words2(uvec2 row, uint offset, uint index) { return Words2(advance(row, offset)).at[index]; }
uvec4 row_words4(uvec2 row, uint offset, uint index) { return Words4(advance(row, offset)).at[index]; }
vec4 row_floats4(uvec2 row, uint offset, uint index) { return Floats4(advance(row, offset)).at[index]; }

/// The aligned word that is `index` words after the one that holds the byte at the offset.
uint row_aligned_word(uvec2 row, uint offset, uint index) {
    uvec2 address = advance(row, offset);
    return Words(uvec2(address.x & ~3u, address.y)).at[index];
}

#if defined(VKMOE_LANE_ROWS)

const uint kLaneRows = 8;

struct Row {
    uvec2 first;  // of invocation 0
    uint step;    // bytes to the next invocation's
    uint last;    // the last invocation that has one: those beyond take its
};

uvec2 row_of(Row row, uint invocation) { return advance(row.first, min(invocation, row.last), row.step); }

/// This invocation's.
uvec2 advance(Row row, uint offset) { return advance(row_of(row, gl_LocalInvocationID.x), offset); }

// load: an expression of a row's address, offset and index. The offset joins the index, which needs no other pointer.
// The loop has no hint: drivers that know the workgroup's size unroll it, and SwiftShader, which does not know it, would
// keep eight copies of each load that it never runs (Q3_K's matvec compiled for minutes, in 8 GiB).
#define VKMOE_ROW_LOAD(Value, Bools, name, load)                                                              \
    Value name(Row row, uint offset, uint index) {                                                            \
        if (gl_WorkGroupSize.x != kLaneRows) return name(row_of(row, gl_LocalInvocationID.x), offset, index); \
        uvec2 address = row.first;                                                                            \
        Value result = load;                                                                                  \
        for (uint i = 1; i < kLaneRows; ++i) {                                                                \
            address = row_of(row, i);                                                                         \
            result = mix(result, load, Bools(gl_LocalInvocationID.x == i));                                   \
        }                                                                                                     \
        return result;                                                                                        \
    }

VKMOE_ROW_LOAD(uint, bool, row_word, Words(address).at[offset / 4u + index])
VKMOE_ROW_LOAD(uvec2, bvec2, row_words2, Words2(address).at[offset / 8u + index])
VKMOE_ROW_LOAD(uvec4, bvec4, row_words4, Words4(address).at[offset / 16u + index])
VKMOE_ROW_LOAD(vec4, bvec4, row_floats4, Floats4(address).at[offset / 16u + index])
VKMOE_ROW_LOAD(uint, bool, row_aligned_word,
               Words(uvec2(address.x & ~3u, address.y)).at[(((address.x & 3u) + offset) >> 2) + index])

#else

#define Row uvec2

#endif

/// Number of the byte at the offset in its aligned word.
uint row_byte(Row row, uint offset) { return advance(row, offset).x & 3u; }

#endif
