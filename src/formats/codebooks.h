#pragma once

#include "formats/tensor_type.h"

#include <cstddef>
#include <span>

namespace vkmoe {

/// The grid that numbers of this type are looked up in, as kernels read it; empty for types without one.
std::span<const std::byte> codebook(TensorType type);

}  // namespace vkmoe
