#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/input_file.h"
#include "formats/gguf.h"

namespace vkmoe {

/// What one file says. Views the bytes that it was read from.
struct GgufPart {
    uint32_t version;
    uint32_t alignment;  ///< of tensor data, bytes
    uint64_t end;  ///< of the data of the last tensor, without padding; of the header where there is none
    std::vector<GgufEntry> entries;
    std::vector<GgufTensor> tensors;
};

/// Reads the bytes of one GGUF file and checks all that can be checked in it alone. `path` is for messages,
/// `part` for GgufTensor::part.
GgufPart parse_gguf_part(const std::string& path, std::span<const std::byte> bytes, uint32_t part);

/// The same of a file, of which only what comes before the tensors' data is read: the result views `header`.
GgufPart read_gguf_part(const InputFile& file, uint32_t part, std::vector<std::byte>& header);

}  // namespace vkmoe
