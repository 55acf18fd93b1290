#pragma once

#include "kernels/kernel_table.h"

#include <string>
#include <vector>

namespace vkmoe::conformance {

/// "matvec/Q4_K/dot4"
std::string cell_name(const KernelKey& cell);

/// Which cells of the kernel table are meant; empty lists mean all.
struct CellFilter {
    std::vector<Op> ops;
    std::vector<TensorType> types;
    std::vector<Path> paths;
};

/// By names, whatever the case of types. Error(kInvalidArgument) for an unknown one names all that are known.
CellFilter parse_filter(const std::vector<std::string>& ops, const std::vector<std::string>& types,
                        const std::vector<std::string>& paths);

/// The cells that were built and are meant, by op, type and path. Error(kInvalidArgument) when there are
/// none.
std::vector<KernelKey> find_cells(const CellFilter& filter);

}  // namespace vkmoe::conformance
