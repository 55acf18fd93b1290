#pragma once

#include "conformance/case.h"
#include "conformance/case_context.h"
#include "conformance/check.h"
#include "kernels/elementwise.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <span>
#include <string_view>
#include <vector>

namespace vkmoe::conformance {

// What the cases of the kernels over rows share.

/// What may be added to a result: nothing, rows elsewhere, or those that lie where it goes.
enum class Residual { kNone, kApart, kInPlace };
Residual random_residual(std::mt19937& random);

/// The address to give the kernel, 0 for none: of a copy, or of the result itself, which is then filled.
uint64_t place_residual(CaseContext& c, Residual residual, const std::vector<float>& values,
                        TypedOutput<float>& result);

/// Adds cases of a kernel that packs rows in which neighbouring lanes share blocks of 32, as devices with
/// wide subgroups have it; on the scalar path they cannot.
void add_shared_block_cases(std::vector<Case>& cases, const KernelKey& cell, Depth depth,
                            void (*check)(CaseContext&, const KernelKey&, const RowTuning&));

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

/// A kernel over n_rows rows that leaves some out: those are not written, the others get the bits that they
/// have where none is left out. row_bytes: of each output; make: the kernel for outputs at these addresses.
void check_row_choice(CaseContext& c, std::string_view what, uint32_t n_rows,
                      std::span<const uint64_t> row_bytes,
                      const std::function<Dispatch(std::span<const uint64_t>, const RowChoice&)>& make);

}  // namespace vkmoe::conformance
