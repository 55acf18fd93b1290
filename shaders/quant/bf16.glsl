// BF16: the upper half of a float32.
vec2 unpack_pair(uint word) { return uintBitsToFloat(uvec2(word << 16, word & 0xFFFF0000u)); }

#include "quant/pairs16.glsl"
