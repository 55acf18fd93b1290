#pragma once

#include "gpu/device.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace vkmoe {

class FileReader;

/// A piece of device memory. Plain data: the arena that made it owns it.
struct Allocation {
    uint64_t address = 0;              ///< device address
    uint64_t size = 0;                 ///< bytes
    std::byte* mapped = nullptr;       ///< host address, or null where the memory is not host-visible
    VkBuffer buffer = VK_NULL_HANDLE;  ///< for copies and indirect arguments
    uint64_t offset = 0;               ///< of this piece in buffer, bytes

    explicit operator bool() const { return size != 0; }
    /// A part of it.
    Allocation slice(uint64_t at, uint64_t bytes) const {
        return {address + at, bytes, mapped ? mapped + at : nullptr, buffer, offset + at};
    }
};

/// Whether an arena takes memory, or only finds out how much it would take.
enum class ArenaMode { kTake, kMeasure };

/// The chunks that pieces asked for in a certain order fill without a gap.
struct ArenaLayout {
    struct Chunk {
        uint64_t bytes = 0;      ///< from an address of this alignment on
        uint64_t alignment = 0;  ///< the largest of its pieces'
    };
    std::vector<Chunk> chunks;
};

/// Hands out memory by device address from chunks of at most the plan's arena_chunk_size; larger requests get
/// a chunk of their own, up to maxMemoryAllocationSize. Freed all at once, with the arena. A read of up to
/// kTailPadding bytes past the end of a piece stays inside its buffer: kernels that load whole words rely on
/// it. Not thread-safe.
///
/// Chunks grow with the arena, so that the last one may be half empty, unless it is told what is to come:
/// measured first, an arena takes what its pieces need and less than a page more for each chunk.
///
///     Arena measured(device, kind, name, ArenaMode::kMeasure);
///     lay_out(measured);  // its pieces have made-up addresses, and no memory
///     Arena arena(device, kind, name);
///     arena.expect(measured.layout());
///     lay_out(arena);     // takes exactly measured.committed_bytes()
///
/// When kDevice memory is short, the device's reclaimer is asked for some.
class Arena {
  public:
    static constexpr uint64_t kTailPadding = 64;  // bytes
    static constexpr uint64_t kAlignment = 256;   // bytes: the default, and the least

    Arena(std::shared_ptr<Device> device, MemoryKind kind, std::string name,
          ArenaMode mode = ArenaMode::kTake);
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    /// Throws Error(kOutOfMemory) naming the arena, the size asked for, and what is left on the device.
    Allocation allocate(uint64_t bytes, uint64_t alignment = kAlignment);
    /// Bytes taken from the driver; of an arena that measures, those that one with its layout would take.
    uint64_t committed_bytes() const;
    bool measures() const { return mode_ == ArenaMode::kMeasure; }
    /// What was measured.
    ArenaLayout layout() const;
    /// The pieces of `layout` are about to be asked for, in the order in which they were measured. What is
    /// asked for beyond them is handed out too.
    void expect(ArenaLayout layout);
    /// Without it the reclaimer is not asked: for memory that is only good to have.
    void set_reclaims(bool reclaims) { reclaims_ = reclaims; }
    /// Before the first piece: whose part of device memory it takes.
    void set_share(MemoryShare share) { share_ = share; }
    Device& device() const { return *device_; }
    const std::shared_ptr<Device>& shared_device() const { return device_; }

  private:
    struct Chunk {
        VkDeviceMemory memory = VK_NULL_HANDLE;
        VkBuffer buffer = VK_NULL_HANDLE;
        uint64_t address = 0;
        uint64_t size = 0;
        uint64_t used = 0;
        uint64_t taken = 0;      ///< from the driver, bytes
        uint64_t alignment = 0;  ///< the largest asked for
        std::byte* mapped = nullptr;
        uint32_t heap = 0;
        bool is_refused = false;  ///< by the driver, of one heap at least
    };
    Chunk& add_chunk(uint64_t bytes, uint64_t alignment);
    Chunk& add_measured_chunk(uint64_t bytes);
    uint64_t usual_chunk_size() const;
    enum class ChunkResult {
        kMade,
        kNoRoom,   ///< within the budget, or by the driver's figures
        kRefused,  ///< by the driver
    };
    ChunkResult make_chunk(uint64_t size);
    void make_chunk_or_fail(uint64_t size);
    VkResult fill_chunk(Chunk& chunk) const;
    VkResult take_memory(Chunk& chunk, uint64_t bytes, uint32_t type) const;
    void free_chunk(const Chunk& chunk) const;

    std::shared_ptr<Device> device_;
    MemoryKind kind_;
    std::string name_;
    ArenaMode mode_;
    bool reclaims_ = true;
    MemoryShare share_ = MemoryShare::kGeneral;
    std::vector<Chunk> chunks_;
    ArenaLayout expected_;
    size_t next_expected_ = 0;
    uint64_t committed_ = 0;
};

/// Brings data from host memory or files into device memory: straight through the mapping where there is one,
/// else through a bounded staging ring and the transfer (or compute) queue. flush() returns when all of it
/// has arrived. Pieces of an arena that only measures are passed over. After an Error it can only be
/// destroyed.
class Uploader {
  public:
    explicit Uploader(std::shared_ptr<Device> device, uint64_t staging_bytes = 64ull << 20);
    ~Uploader();
    Uploader(const Uploader&) = delete;
    Uploader& operator=(const Uploader&) = delete;

    void copy(const Allocation& to, std::span<const std::byte> from);
    /// Reads `bytes` bytes of a file, several reads being under way at once, so that their errors come from
    /// later calls: kIo that names file and offset, after `what` it is that was read. The reader must outlive
    /// the uploader.
    void read(const Allocation& to, FileReader& reader, uint32_t file, uint64_t offset, uint64_t bytes,
              const std::string& what);
    void flush();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Copies device memory to the host and waits for it: for tests, logits and read-backs off the hot path.
void download(Device& device, const Allocation& from, std::span<std::byte> to);

}  // namespace vkmoe
