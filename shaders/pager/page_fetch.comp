// Copies records as the entries of a list say, which page_resolve and page_batch write together with the number of copies.
// Launch: workgroup x is one of gl_NumWorkGroups.x parts of a record, y the copy. A part is whole tiles of workgroup size *
// kInFlight units of 16 bytes. Neighbouring invocations have neighbouring units, and a tile is read whole before it is
// written: a link whose latency is microseconds is kept busy only by many loads under way.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "pager/params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kInFlight = 4;
layout(push_constant) uniform Push { PageFetchParams params; };

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer PageCopies { PageCopy at[]; };

void main() {
    PageCopy copy = PageCopies(params.copies).at[gl_WorkGroupID.y];
    Words4 source = Words4(uvec2(copy.from_low, copy.from_high));
    Words4Out destination = Words4Out(uvec2(copy.to_low, copy.to_high));

    uint tile = gl_WorkGroupSize.x * kInFlight;
    uint n_tiles = copy.units / tile + uint(copy.units % tile != 0u);
    uint share = n_tiles / gl_NumWorkGroups.x;  // of each part; the first `rest` have one more
    uint rest = n_tiles % gl_NumWorkGroups.x;
    uint begin = gl_WorkGroupID.x * share + min(gl_WorkGroupID.x, rest);
    uint end = begin + share + uint(gl_WorkGroupID.x < rest);
    [[dont_unroll]] for (uint t = begin; t < end; ++t) {
        uint first = t * tile + gl_LocalInvocationIndex;
        if (copy.units - t * tile >= tile) {
            uvec4 units[kInFlight];
            [[unroll]] for (uint i = 0; i < kInFlight; ++i) units[i] = source.at[first + i * gl_WorkGroupSize.x];
            [[unroll]] for (uint i = 0; i < kInFlight; ++i) destination.at[first + i * gl_WorkGroupSize.x] = units[i];
        } else {
            [[dont_unroll]] for (uint at = first; at < copy.units; at += gl_WorkGroupSize.x)
                destination.at[at] = source.at[at];
        }
    }
}
