#pragma once

#include "formats/gguf.h"

#include <nlohmann/json.hpp>

namespace vkmoe::cli {

/// All of a file but the tensors' data: {"file", "version", "bytes", "metadata": {key: value}, "tensors":
/// [...]}.
nlohmann::ordered_json gguf_to_json(const GgufFile& file);

}  // namespace vkmoe::cli
