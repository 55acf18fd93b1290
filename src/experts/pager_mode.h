#pragma once

#include <cstdint>

namespace vkmoe {

/// Who decides which experts are in device memory.
enum class PagerMode : uint8_t {
    kAuto,    ///< nobody where all experts fit; else by what a probe at start measures
    kDevice,  ///< the device, in the command buffer that wants them
    kHost,    ///< the host, between parts of a token's work
};

}  // namespace vkmoe
