// OpSDot on packed int8, through GL_EXT_spirv_intrinsics: glslang learnt GL_EXT_integer_dot_product only in 15.2.
#ifndef VKMOE_SHADERS_COMMON_DOT4_GLSL
#define VKMOE_SHADERS_COMMON_DOT4_GLSL

#extension GL_EXT_spirv_intrinsics : require

spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018], id = 4450)
int spirv_sdot(uint a, uint b, spirv_literal int format);

/// Sum of the products of four signed bytes of a and of b.
int dot4(uint a, uint b) { return spirv_sdot(a, b, 0); }

#endif
