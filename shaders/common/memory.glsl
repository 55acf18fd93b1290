// Device memory by address. A pointer is a uvec2 (low word, high word); offsets added to it are 32-bit.
// Every shader includes this first: it names the extensions that all of them need.
#ifndef VKMOE_SHADERS_COMMON_MEMORY_GLSL
#define VKMOE_SHADERS_COMMON_MEMORY_GLSL

#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_control_flow_attributes : require

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Words2 { uvec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Words4 { uvec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Floats { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Floats4 { vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Pointers { uvec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer WordsOut { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer Words4Out { uvec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer FloatsOut { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer Floats4Out { vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer WordsInOut { uint at[]; };

/// pointer + offset bytes
uvec2 advance(uvec2 pointer, uint offset) {
    uint carry;
    uint low = uaddCarry(pointer.x, offset, carry);
    return uvec2(low, pointer.y + carry);
}

/// pointer + index * stride bytes, exact beyond 4 GiB
uvec2 advance(uvec2 pointer, uint index, uint stride) {
    uint high, low;
    umulExtended(index, stride, high, low);
    uint carry;
    uint sum = uaddCarry(pointer.x, low, carry);
    return uvec2(sum, pointer.y + high + carry);
}

bool is_null(uvec2 pointer) { return (pointer.x | pointer.y) == 0u; }

/// The float `index` floats from an optional pointer, or `otherwise` where that is null. A driver may load from an address
/// that is the same in all invocations even where no invocation takes the branch (lavapipe 26.2.6), so another address is
/// loaded from then: `readable`, of any four bytes.
float load_or(uvec2 pointer, uint index, float otherwise, uvec2 readable) {
    bool is_there = !is_null(pointer);
    float value = Floats(is_there ? pointer : readable).at[is_there ? index : 0u];
    return is_there ? value : otherwise;
}

#endif
