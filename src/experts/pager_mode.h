#pragma once

#include <cstdint>

namespace vkmoe {

/// Who decides which experts are in device memory.
enum class PagerMode : uint8_t {
    kAuto,    ///< nobody where all experts fit; else by what a probe at start measures
    kDevice,  ///< the device, in the command buffer that wants them
    kHost,    ///< the host, between parts of a token's work
};

/// What brings records to slots where the host decides.
enum class CopyBy : uint8_t {
    kAuto,   ///< what a probe at start found faster
    kQueue,  ///< the transfer queue, or the compute queue where there is none
    kHost,   ///< threads of the host, which needs slots that it sees: unified memory
};

/// Whether records come before they are wanted, by what a look-ahead says of the next layer.
enum class Prefetch : uint8_t {
    kAuto,  ///< where they can come beside the computing: by the host over a transfer queue
    kOn,
    kOff,
};

}  // namespace vkmoe
