#pragma once

#include <cstdint>
#include <type_traits>

namespace vkmoe {

/// A device address in a kernel's push constants. No number converts to one: a Dispatch gives it, and notes
/// what the kernel does with the memory. A default one is null.
class DeviceAddress {
  public:
    constexpr DeviceAddress() = default;

  private:
    friend struct Dispatch;
    explicit constexpr DeviceAddress(uint64_t value) : value_(value) {}

    uint64_t value_ = 0;
};
static_assert(sizeof(DeviceAddress) == sizeof(uint64_t) && std::is_trivially_copyable_v<DeviceAddress> &&
              std::is_standard_layout_v<DeviceAddress>);

}  // namespace vkmoe
