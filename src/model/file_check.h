#pragma once

#include "model/architecture.h"

#include <string>
#include <vector>

namespace vkmoe {

/// Throws Error(kUnsupported) for a file that holds no model: an adapter, an importance matrix, a projector.
void check_kind(const GgufFile& file);

/// Throws Error(kUnsupported) for a layout of weights that vkmoe knows and does not compute.
void check_layout(const GgufFile& file);

/// Judges the metadata keys that the architecture does not read, by known_keys.h. Throws Error(kUnsupported)
/// for a key that would change the result. Returns one line for each key that is ignored though it asks for
/// something, and one that names all unknown keys.
std::vector<std::string> check_metadata(const GgufFile& file, const HyperParameters& hyper);

/// Whether vkmoe computes the model in a file, as far as the file tells.
struct FileCheck {
    std::string refusal;                ///< one line, without the path; empty: the model is supported
    std::vector<std::string> warnings;  ///< lines that Model::load logs, without the path
};

/// Checks kind, architecture, metadata, and the names, types and shapes of all tensors. Needs no device.
FileCheck check_file(const GgufFile& file);

}  // namespace vkmoe
