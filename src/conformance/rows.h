#pragma once

#include "conformance/case_context.h"
#include "conformance/check.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

namespace vkmoe::conformance {

// What the cases of the kernels over rows share.

/// What a device may make of a subnormal number: itself or zero.
inline constexpr double kLeastNormal = std::numeric_limits<float>::min();

/// The address of a copy that begins `lead` bytes behind where memory comes; all bits before it are set.
template <typename T>
uint64_t upload_shifted(CaseContext& c, const std::vector<T>& values, uint64_t lead) {
    std::vector<std::byte> bytes(lead + values.size() * sizeof(T), std::byte{0xFF});
    std::memcpy(bytes.data() + lead, values.data(), values.size() * sizeof(T));
    return c.upload(bytes).address + lead;
}

/// Rows of packed int8 (kernels/activation.h) against the numbers that were packed, each of which may be off
/// by relative times its magnitude plus its floor: a quant may differ from the expected one only where that
/// moves it over a rounding boundary. A block with a number that is not finite must not be finite either.
void check_packed_rows(std::string_view what, std::span<const Expected> expected,
                       std::span<const std::byte> packed, uint32_t n_columns, double relative);

}  // namespace vkmoe::conformance
