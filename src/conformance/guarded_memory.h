#pragma once

#include "gpu/arena.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace vkmoe::conformance {

/// Buffers for kernels under test, each between guard bands. Inputs have NaN beside them, so that what is
/// read past their ends spoils the result. Outputs are poisoned (every bit set: NaN as a float, -1 as an
/// integer) and have numbers beside them: a NaN that was read there and written on would leave its own bits.
/// The memory is used again after clear(). Not thread-safe.
class GuardedMemory {
  public:
    explicit GuardedMemory(std::shared_ptr<Device> device);

    /// A copy of the bytes. Kernels must only read it.
    Allocation add_input(std::span<const std::byte> contents);
    /// Poisoned room, which reads as all bits set until a kernel writes it.
    Allocation add_output(uint64_t bytes);

    /// Brings to the device what came since the last call.
    void upload();
    /// Of an output.
    void write(const Allocation& output, std::span<const std::byte> bytes);
    void read(const Allocation& output, std::span<std::byte> bytes) const;

    /// CheckFailure where a guard band or an input was written.
    void check();
    /// The buffers there are, in the order in which they came.
    std::vector<Allocation> buffers() const;
    /// Forgets all buffers.
    void clear();

  private:
    struct Slab {
        Allocation memory;
        std::vector<std::byte> image;  // what the host put there, so far
        uint64_t uploaded = 0;         // bytes of image that the device has
    };
    struct Buffer {
        size_t slab = 0;
        uint64_t at = 0;  // of the contents in the slab
        uint64_t size = 0;
        bool is_input = false;
    };
    Slab& slab_for(uint64_t bytes);
    Allocation add(std::span<const std::byte> contents, uint64_t size, bool is_input);
    void check_buffer(size_t index, std::span<const std::byte> actual) const;

    std::shared_ptr<Device> device_;
    std::unique_ptr<Arena> arena_;
    Uploader uploader_;
    std::vector<Slab> slabs_;
    std::vector<Buffer> buffers_;
    std::vector<std::byte> downloaded_;
};

}  // namespace vkmoe::conformance
