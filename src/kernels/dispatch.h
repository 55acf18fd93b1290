#pragma once

#include "gpu/arena.h"
#include "gpu/pipeline.h"

#include <array>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <vector>

namespace vkmoe {

/// Device addresses [begin, end) that a dispatch reads or writes: what the recorder derives barriers from.
struct AddressRange {
    uint64_t begin = 0;
    uint64_t end = 0;
};

/// One kernel launch as data. Kernels make it, the recorder turns it into commands.
struct Dispatch {
    const Pipeline* pipeline = nullptr;
    std::string_view label;  ///< the profile's region; must outlive the recording (a literal)
    std::array<std::byte, 128> push{};
    uint32_t push_bytes = 0;
    std::array<uint32_t, 3> groups{1, 1, 1};
    Allocation indirect;  ///< when set, three uint32 group counts read from there in place of groups
    std::vector<AddressRange> reads;
    std::vector<AddressRange> writes;

    template <typename Params>
    void set_push(const Params& params) {
        static_assert(std::is_trivially_copyable_v<Params> && sizeof(Params) <= 128);
        std::memcpy(push.data(), &params, sizeof(Params));
        push_bytes = sizeof(Params);
    }
    void read(uint64_t address, uint64_t bytes) {
        if (bytes != 0 && address != 0) reads.push_back({address, address + bytes});
    }
    void write(uint64_t address, uint64_t bytes) {
        if (bytes != 0 && address != 0) writes.push_back({address, address + bytes});
    }
};

}  // namespace vkmoe
