#pragma once

#include "gpu/arena.h"
#include "gpu/pipeline.h"
#include "kernels/device_address.h"

#include <array>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace vkmoe {

/// Device memory that a kernel may touch: so many bytes from an address on. Without an address or without
/// bytes it is absent.
struct MemoryView {
    uint64_t address = 0;
    uint64_t bytes = 0;

    uint64_t end() const { return address + bytes; }
    bool is_absent() const { return address == 0 || bytes == 0; }
    bool operator==(const MemoryView&) const = default;
};

inline MemoryView view_of(const Allocation& memory) {
    return {memory.address, memory.size};
}

enum class AccessKind : uint8_t { kRead, kWrite, kUpdate };

/// What a kernel does with some memory: what the recorder derives barriers from.
struct Access {
    AccessKind kind = AccessKind::kRead;
    MemoryView memory;

    bool writes() const { return kind != AccessKind::kRead; }
    bool operator==(const Access&) const = default;
};

/// One kernel launch as data. Kernels make it, the recorder turns it into commands. A kernel's host function
/// gets the addresses for its push constants here, and so says what the kernel does with the memory:
///
///     dispatch.set_push(NegateParams{.source = dispatch.read({args.input, bytes}),
///                                    .destination = dispatch.write({args.output, bytes}),
///                                    .n_columns = args.n_columns});
///
/// tests/kernels/accesses_test.cpp tries every kernel: whether it names all memory that it uses, and needs
/// what it names.
struct Dispatch {
    const Pipeline* pipeline = nullptr;
    std::string_view label;  ///< the profile's region; must outlive the recording (a literal)
    std::array<std::byte, 128> push{};
    uint32_t push_bytes = 0;
    std::array<uint32_t, 3> groups{1, 1, 1};
    Allocation indirect;  ///< when set, three uint32 group counts read from there in place of groups

    template <typename Params>
    void set_push(const Params& params) {
        static_assert(std::is_trivially_copyable_v<Params> && sizeof(Params) <= 128);
        std::memcpy(push.data(), &params, sizeof(Params));
        push_bytes = sizeof(Params);
    }

    /// The address of memory that the kernel reads, for its push constants; null where the view is absent.
    DeviceAddress read(const MemoryView& memory) { return note(AccessKind::kRead, memory); }
    /// The same of a table of addresses that the kernel follows, with what it does with the memory behind
    /// them.
    DeviceAddress read_table(const MemoryView& table, std::initializer_list<Access> behind) {
        const DeviceAddress address = read(table);
        for (const Access& access : behind) note(access.kind, access.memory);
        return address;
    }
    /// Of memory that it writes, and does not read before.
    DeviceAddress write(const MemoryView& memory) { return note(AccessKind::kWrite, memory); }
    /// Of memory that it reads and writes.
    DeviceAddress update(const MemoryView& memory) { return note(AccessKind::kUpdate, memory); }

    /// In the order in which they were noted. Absent views have their places too, so that the same access of
    /// a kernel always has the same index.
    std::span<const Access> accesses() const { return accesses_; }
    /// The dispatch of a kernel that forgot an access, for tests.
    Dispatch without_access(size_t index) const {
        Dispatch dispatch = *this;
        dispatch.accesses_.at(index) = {};
        return dispatch;
    }

  private:
    DeviceAddress note(AccessKind kind, const MemoryView& memory) {
        const MemoryView noted = memory.is_absent() ? MemoryView{} : memory;
        accesses_.push_back({kind, noted});
        return DeviceAddress(noted.address);
    }

    std::vector<Access> accesses_;
};

}  // namespace vkmoe
