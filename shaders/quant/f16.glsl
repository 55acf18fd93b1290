// F16: IEEE half precision.
vec2 unpack_pair(uint word) { return unpackHalf2x16(word); }

#include "quant/pairs16.glsl"
