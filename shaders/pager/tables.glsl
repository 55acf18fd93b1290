// The pager's tables by address, sets of a layer's experts as bits in shared memory, and the bookkeeping of one copy.
// Include after common/memory.glsl and pager/params.h.
#ifndef VKMOE_SHADERS_PAGER_TABLES_GLSL
#define VKMOE_SHADERS_PAGER_TABLES_GLSL

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Tables { PageTables tables; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Layers { PageLayer at[]; };
// What one invocation changes and another reads within a dispatch
layout(buffer_reference, std430, buffer_reference_align = 16) coherent buffer Header { PageHeader header; };
layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer Owners { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) coherent buffer Experts { PageExpert at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer PointersOut { uvec2 at[]; };

// Sets of a layer's experts, a bit for each
const uint kSetWords = kMaxPagedExperts / 32u;
shared uint used[kSetWords];     // those that the ids name
shared uint missing[kSetWords];  // and that are in no slot

uint bit_of(uint expert) { return 1u << (expert & 31u); }

/// word: the one of the set that has the expert's bit.
bool contains(uint word, uint expert) { return (word & bit_of(expert)) != 0u; }

/// Missing experts of smaller numbers.
uint missing_before(uint expert) {
    uint n = bitCount(missing[expert / 32u] & (bit_of(expert) - 1u));
    for (uint w = 0u; w < expert / 32u; ++w) n += bitCount(missing[w]);
    return n;
}

PageCount sum_of(PageCount a, PageCount b) {
    uint carry;
    uint low = uaddCarry(a.low, b.low, carry);
    return PageCount(low, a.high + b.high + carry);
}

PageCount sum_of(PageCount count, uint n) { return sum_of(count, PageCount(n, 0u)); }

PageCount product_of(uint a, uint b) {
    uint high, low;
    umulExtended(a, b, high, low);
    return PageCount(low, high);
}

/// From now on an expert's record is at a place; notes the copy that brings it there.
void place_record(PageTables tables, uint expert, uint place, uint units, uvec2 copies, uint copy) {
    uvec2 record = Pointers(tables.slot_records).at[place];
    PointersOut(tables.records).at[expert] = record;
    Words4Out entries = Words4Out(copies);
    entries.at[2u * copy] = uvec4(Pointers(tables.host_records).at[expert], record);
    entries.at[2u * copy + 1u] = uvec4(units, expert, place, 0u);
}

#endif
