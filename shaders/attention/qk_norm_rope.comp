#version 460
// Prepares one token's Q, K and V for attention: RMS norm of each head of Q and K (where there are weights), rotary embedding
// of their first rope_dims dimensions by the token's position, Q to q_out, K and V to the cache rows of that position.
//   q [n_tokens, n_heads * HEAD_DIM], k and v [n_tokens, n_kv_heads * HEAD_DIM], float32; positions int32 [n_tokens]
//   k_cache and v_cache [n_kv_heads, n_context, HEAD_DIM] of the cell's type
// Launch: columns of the grid are heads of Q, then of K, then of V, rows are tokens; one workgroup of LANES invocations for
// each.
#extension GL_GOOGLE_include_directive : require
#ifdef VKMOE_PATH_SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif
#include "common/memory.glsl"
#include "common/grid.glsl"
#include "attention/kv_row.glsl"
#include "attention/lanes.glsl"
#include "attention/params.h"

layout(constant_id = 2) const uint HEAD_DIM = 128;
layout(constant_id = 3) const uint INTERLEAVED = 0;

layout(push_constant, scalar) uniform Push { QkNormRopeParams params; };

shared float head[HEAD_DIM];  // the head, finished, before it is packed

/// Sine and cosine of the angle by which a pair of dimensions turns. The position times turns per position, modulo one turn, is
/// an exact integer product; only then does it become a float, within an eighth of a turn of an axis, where short
/// Taylor series are exact to float32 (the language's own sin and cos promise 2^-11 only).
vec2 turn(uint position, uint pair) {
    uint turns_high = Words(params.rope_table).at[2u * pair];
    uint turns_low = Words(params.rope_table).at[2u * pair + 1u];
    uint carried, low;
    umulExtended(position, turns_low, carried, low);
    uint phase = position * turns_high + carried;
    uint quadrant = (phase + 0x20000000u) >> 30;
    float angle = float(int(phase - (quadrant << 30))) * 1.4629180792671596e-9;  // 2 pi / 2^32
    float square = angle * angle;
    float sine = angle * (1.0 + square * (-1.0 / 6.0 + square * (1.0 / 120.0 + square * (-1.0 / 5040.0 + square / 362880.0))));
    float cosine =
        1.0 + square * (-0.5 + square * (1.0 / 24.0 + square * (-1.0 / 720.0 + square * (1.0 / 40320.0 - square / 3628800.0))));
    if ((quadrant & 1u) != 0u) {
        float kept = sine;
        sine = cosine;
        cosine = -kept;
    }
    if ((quadrant & 2u) != 0u) {
        sine = -sine;
        cosine = -cosine;
    }
    return vec2(sine, cosine) * params.attention_factor;
}

/// Norm and rotation of the head at source into `head`.
void norm_and_rope(uvec2 source, uvec2 weight, uint position) {
    uint lane = lane_index();
    bool normed = !is_null(weight);
    float factor = 1.0;
    if (normed) {
        float squares = 0.0;
        for (uint i = lane; i < HEAD_DIM; i += LANES) {
            float value = Floats(source).at[i];
            squares += value * value;
        }
        factor = inversesqrt(lanes_add(squares) / float(HEAD_DIM) + params.norm_epsilon);
    }
    uint half_dims = params.rope_dims / 2u;
    for (uint pair = lane; pair < half_dims; pair += LANES) {
        uint first = INTERLEAVED != 0u ? 2u * pair : pair;
        uint second = INTERLEAVED != 0u ? first + 1u : pair + half_dims;
        float x = Floats(source).at[first] * factor;
        float y = Floats(source).at[second] * factor;
        if (normed) {
            x *= Floats(weight).at[first];
            y *= Floats(weight).at[second];
        }
        vec2 sine_cosine = turn(position, pair);
        head[first] = x * sine_cosine.y - y * sine_cosine.x;
        head[second] = x * sine_cosine.x + y * sine_cosine.y;
    }
    for (uint i = params.rope_dims + lane; i < HEAD_DIM; i += LANES) {
        float value = Floats(source).at[i] * factor;
        if (normed) value *= Floats(weight).at[i];
        head[i] = value;
    }
}

/// `head` to the cache row.
void store_row(uvec2 row) {
    uint lane = lane_index();
#if defined(VKMOE_TYPE_F32)
    for (uint i = lane; i < HEAD_DIM; i += LANES) FloatsOut(row).at[i] = head[i];
#elif defined(VKMOE_TYPE_F16)
    for (uint i = lane; i < HEAD_DIM / 2u; i += LANES) {
        // One by one: SwiftShader's bits of an infinity or a NaN in the lower half run over into the upper one.
        uint lower = packHalf2x16(vec2(head[2u * i], 0.0)) & 0xFFFFu;
        uint upper = packHalf2x16(vec2(head[2u * i + 1u], 0.0)) & 0xFFFFu;
        WordsOut(row).at[i] = lower | (upper << 16);
    }
#else
    for (uint word = lane; word < HEAD_DIM / 4u; word += LANES) {
        uint block = word / 8u;
        // On the bits an infinity beats all numbers and a NaN beats that, whatever max() does with NaN: the scale says so.
        uint magnitude = 0u;
        [[dont_unroll]] for (uint i = 0u; i < 32u; ++i) magnitude = max(magnitude, floatBitsToUint(head[block * 32u + i]) & 0x7FFFFFFFu);
        float greatest = uintBitsToFloat(magnitude);
        // Below 2^-118 the inverse would overflow: such a block is zero.
        bool zero = magnitude < 0x04800000u;
        bool finite = magnitude < 0x7F800000u;
        float scale = zero ? 0.0 : finite ? greatest / 127.0 : greatest;
        float inverse = zero || !finite ? 0.0 : 127.0 / greatest;
        uint packed = 0u;
        [[unroll]] for (uint i = 0u; i < 4u; ++i) {
            int number = finite ? int(clamp(roundEven(head[word * 4u + i] * inverse), -127.0, 127.0)) : 0;
            packed |= (uint(number) & 0xFFu) << (8u * i);
        }
        WordsOut(row).at[word] = packed;
        if (word % 8u == 0u) FloatsOut(row).at[HEAD_DIM / 4u + block] = scale;
    }
#endif
}

uvec2 cache_row(uvec2 cache, uint kv_head, uint position) {
    uint row_bytes = kv_row_bytes(HEAD_DIM);
    return advance(advance(cache, kv_head * params.n_context, row_bytes), position, row_bytes);
}

void main() {
    uvec2 group = grid_position(params.n_tokens);
    uint token = group.y;
    uint index = group.x;
    if (index >= params.n_heads + 2u * params.n_kv_heads) return;
    // A negative position is a very large one here.
    uint position = Words(params.positions).at[token];
    if (position >= params.n_context) return;

    uint lane = lane_index();
    if (index < params.n_heads) {
        uvec2 source = advance(advance(params.q, token, params.q_stride * 4u), index * HEAD_DIM * 4u);
        norm_and_rope(source, params.q_norm, position);
        // Q may be turned in place: every read is done before the first write.
        lanes_barrier();
        uvec2 target = advance(advance(params.q_out, token, params.q_out_stride * 4u), index * HEAD_DIM * 4u);
        for (uint i = lane; i < HEAD_DIM; i += LANES) FloatsOut(target).at[i] = head[i];
    } else if (index < params.n_heads + params.n_kv_heads) {
        uint kv_head = index - params.n_heads;
        uvec2 source = advance(advance(params.k, token, params.k_stride * 4u), kv_head * HEAD_DIM * 4u);
        norm_and_rope(source, params.k_norm, position);
        lanes_barrier();
        store_row(cache_row(params.k_cache, kv_head, position));
    } else {
        uint kv_head = index - params.n_heads - params.n_kv_heads;
        uvec2 source = advance(advance(params.v, token, params.v_stride * 4u), kv_head * HEAD_DIM * 4u);
        for (uint i = lane; i < HEAD_DIM; i += LANES) head[i] = Floats(source).at[i];
        lanes_barrier();
        store_row(cache_row(params.v_cache, kv_head, position));
    }
}
