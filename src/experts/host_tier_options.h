#pragma once

#include "base/file_reader.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace vkmoe {

/// A part of every record of a layer: one of the stacks of matrices that a file has.
struct RecordPiece {
    std::string path;
    uint64_t file_offset = 0;    ///< bytes: of expert 0's
    uint64_t bytes = 0;          ///< of one expert's; the next expert's follow at once
    uint64_t record_offset = 0;  ///< bytes from the record's start
};

/// The records of a layer: its experts, each one piece of memory.
struct RecordLayer {
    uint32_t block = 0;         ///< the layer's number in the model, for messages
    uint64_t record_bytes = 0;  ///< bytes between pieces and after them are zero
    std::vector<RecordPiece> pieces;
};

/// How a host tier (host_tier.h) is made.
struct HostTierOptions {
    uint64_t budget_bytes = UINT64_MAX;   ///< the most host memory, what reads pass through included
    bool pin = true;                      ///< take memory that the device sees
    uint32_t least_records = 4;           ///< of each size that must find place at once
    FileReaderOptions reader;             ///< a small budget makes its buffers smaller
    std::function<bool(float)> progress;  ///< of reading everything, 0 ... 1; false cancels (kCancelled)
};

}  // namespace vkmoe
