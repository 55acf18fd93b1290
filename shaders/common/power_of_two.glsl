// Powers of two by their bits: exp2 and ldexp are allowed to round, and to fail at the ends of their range.
#ifndef VKMOE_SHADERS_COMMON_POWER_OF_TWO_GLSL
#define VKMOE_SHADERS_COMMON_POWER_OF_TWO_GLSL

/// The exponent of a positive number, held to -126 .. 126; 126 for an infinity or a NaN too.
int exponent_of(float value) { return clamp(int((floatBitsToUint(value) >> 23) & 0xFFu) - 127, -126, 126); }

/// 2^exponent; 0 below -126. exponent: at most 127.
float power_of_two(int exponent) { return exponent < -126 ? 0.0 : uintBitsToFloat(uint(exponent + 127) << 23); }

/// value * 2^exponent for exponents from -252 to 254: halves of it stay in range where all of it would not.
float times_power_of_two(float value, int exponent) {
    int first = exponent / 2;
    return value * power_of_two(first) * power_of_two(exponent - first);
}

#endif
