#pragma once

#include "capi/guard.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace vkmoe::capi {

/// Refuses a struct that nobody filled: all of its first version must be there. A longer one is a newer
/// header's.
template <typename Struct>
void check_size(size_t struct_size, size_t first_version, const char* name) {
    if (struct_size >= first_version && struct_size <= (size_t{1} << 16)) return;
    fail(ErrorCode::kInvalidArgument, "{}->struct_size is {} instead of {}; set it first", name, struct_size,
         sizeof(Struct));
}

/// The caller's parameters over the defaults, or the defaults for NULL. Throws kInvalidArgument where a newer
/// header's fields, which this library does not know, are set.
template <typename Struct>
Struct read_params(const Struct* given, const Struct& defaults, size_t first_version, const char* name) {
    Struct result = defaults;
    if (given == nullptr) return result;
    const size_t given_size = given->struct_size;
    check_size<Struct>(given_size, first_version, name);
    std::memcpy(&result, given, std::min(given_size, sizeof(Struct)));
    result.struct_size = sizeof(Struct);
    const auto* bytes = reinterpret_cast<const unsigned char*>(given);
    for (size_t i = sizeof(Struct); i < given_size; ++i) {
        if (bytes[i] != 0)
            fail(ErrorCode::kInvalidArgument,
                 "{} sets fields that this version ({}) of the library does not have; it is older than "
                 "vkmoe.h",
                 name, vkmoe_version());
    }
    return result;
}

/// Writes what the caller's struct has room for; fields of a newer header become zero.
template <typename Struct>
void write_result(const Struct& result, Struct* out, size_t first_version, const char* name) {
    require(out, name);
    const size_t out_size = out->struct_size;
    check_size<Struct>(out_size, first_version, name);
    std::memset(reinterpret_cast<unsigned char*>(out), 0, out_size);
    std::memcpy(out, &result, std::min(out_size, sizeof(Struct)));
    out->struct_size = out_size;
}

/// Hands defaults out to a struct of the caller's size; fields of a newer header become zero.
template <typename Struct>
void write_defaults(const Struct& defaults, Struct* out, size_t out_size) {
    if (out == nullptr || out_size < sizeof(size_t)) return;
    std::memset(reinterpret_cast<unsigned char*>(out), 0, out_size);
    std::memcpy(reinterpret_cast<unsigned char*>(out), &defaults, std::min(out_size, sizeof(Struct)));
    out->struct_size = out_size;
}

}  // namespace vkmoe::capi
