// Floats in an order that integers keep: -infinity < ... < -0 = 0 < ... < infinity, and below them all NaN.
// Needs nothing of the driver's NaN arithmetic. 0 is no number's key: it marks what is absent or taken.
#ifndef VKMOE_SHADERS_COMMON_ORDER_GLSL
#define VKMOE_SHADERS_COMMON_ORDER_GLSL

const uint kNanKey = 1u;

uint order_key(float value) {
    uint bits = floatBitsToUint(value);
    uint magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return kNanKey;
    if (magnitude == 0u) bits = 0u;
    return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}

/// The number of a key; a NaN for kNanKey.
float from_order_key(uint key) { return uintBitsToFloat((key & 0x80000000u) != 0u ? key & 0x7FFFFFFFu : ~key); }

#endif
