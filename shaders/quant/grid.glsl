// Looks numbers up in the grid of a type (src/formats/codebooks.h), four int8 a word.
#include "quant/byte_offsets.glsl"

/// Entry of a grid of eights.
uvec2 grid8(uint index) { return Pointers(codebook()).at[index]; }

/// Entry of a grid of fours.
uint grid4(uint index) { return Words(codebook()).at[index]; }
