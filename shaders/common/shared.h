// Lets one header declare a push-constant or buffer struct for C++ and GLSL alike.
//
//   VKMOE_POINTER name;          in push constants, a device address: DeviceAddress in C++, which only a Dispatch gives; uvec2
//                                in GLSL (shaders need no 64-bit integers)
//   VKMOE_STORED_POINTER name;   a device address in a table that lies in memory: uint64_t in C++, uvec2 in GLSL. The kernel
//                                says by Dispatch::read_table what it does with the memory there
//   VKMOE_UINT name;             32 bits
//   VKMOE_FLOAT name;            32 bits
//   VKMOE_CONSTANT name = 1u;
//
// Pointers come first in a struct, so that both languages lay it out alike; every struct is checked with
// VKMOE_CHECK_SIZE, which C++ evaluates and GLSL skips. Push constants hold at most 128 bytes.
#ifndef VKMOE_SHADERS_COMMON_SHARED_H
#define VKMOE_SHADERS_COMMON_SHARED_H

#ifdef __cplusplus
#include "kernels/device_address.h"

#include <cstdint>
#define VKMOE_POINTER ::vkmoe::DeviceAddress
#define VKMOE_STORED_POINTER uint64_t
#define VKMOE_UINT uint32_t
#define VKMOE_FLOAT float
#define VKMOE_CONSTANT inline constexpr uint32_t
#define VKMOE_CHECK_SIZE(type, bytes) \
    static_assert(sizeof(type) == bytes && bytes <= 128, #type " must be laid out alike in C++ and GLSL")
#else
#define VKMOE_POINTER uvec2
#define VKMOE_STORED_POINTER uvec2
#define VKMOE_UINT uint
#define VKMOE_FLOAT float
#define VKMOE_CONSTANT const uint
#define VKMOE_CHECK_SIZE(type, bytes)
#endif

#endif
