#include "kernels/access_probe.h"

#include "kernels/scoped_variable.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace vkmoe {
namespace {

constexpr uint64_t kStagingBytes = 1ull << 20;

}  // namespace

AccessProbe::AccessProbe(conformance::Bench& bench, std::span<const Allocation> memory,
                         const Dispatch& dispatch)
    : bench_(bench),
      arena_(bench.kernels.shared_device(), MemoryKind::kDevice, "copies of memory under test"),
      uploader_(bench.kernels.shared_device(), kStagingBytes) {
    for (const Allocation& one : memory) {
        pieces_.push_back({.memory = one,
                           .before = read(one),
                           .right_copy = arena_.allocate(one.size),
                           .wrong_copy = arena_.allocate(one.size),
                           .last_copy = arena_.allocate(one.size)});
        uploader_.copy(pieces_.back().right_copy, pieces_.back().before);
    }
    uploader_.flush();
    bench_.scheduler.run({&dispatch, 1});
    for (Piece& piece : pieces_) {
        piece.after = read(piece.memory);
        piece.wrong = wrong_contents(piece);
    }
}

AccessProbe::Bytes AccessProbe::read(const Allocation& memory) const {
    Bytes bytes(memory.size);
    download(bench_.kernels.device(), memory, bytes);
    return bytes;
}

AccessProbe::Bytes AccessProbe::wrong_contents(const Piece& piece) const {
    bool has_addresses = false;
    Bytes wrong = piece.before;
    for (uint64_t at = 0; at + sizeof(uint64_t) <= wrong.size(); at += sizeof(uint64_t)) {
        uint64_t address = 0;
        std::memcpy(&address, &wrong[at], sizeof(address));
        const auto target = std::ranges::find_if(pieces_, [address](const Piece& other) {
            return address >= other.memory.address && address - other.memory.address < other.memory.size;
        });
        if (target == pieces_.end()) continue;
        has_addresses = true;
        address += target->wrong_copy.address - target->memory.address;
        std::memcpy(&wrong[at], &address, sizeof(address));
    }
    return has_addresses ? wrong : Bytes(piece.before.size());
}

void AccessProbe::fill(Bytes Piece::*contents) {
    for (const Piece& piece : pieces_) uploader_.copy(piece.memory, piece.*contents);
    uploader_.flush();
}

bool AccessProbe::is_disturbed(const Dispatch& dispatch, const MemoryView& copied) {
    struct Part {
        const Piece& piece;
        uint64_t at;
        uint64_t bytes;

        Allocation of(const Allocation& memory) const { return memory.slice(at, bytes); }
        std::span<const std::byte> of(const Bytes& contents) const {
            return std::span(contents).subspan(at, bytes);
        }
    };
    std::vector<Part> parts;
    for (const Piece& piece : pieces_) {
        const uint64_t begin = std::max(copied.address, piece.memory.address);
        const uint64_t end = std::min(copied.end(), piece.memory.address + piece.memory.size);
        if (begin < end) parts.push_back({piece, begin - piece.memory.address, end - begin});
    }

    restore_before();
    for (const Part& part : parts) uploader_.copy(part.of(part.piece.memory), part.of(part.piece.wrong));
    // A dispatch that was led astray may have changed them.
    for (const Piece& piece : pieces_) uploader_.copy(piece.wrong_copy, piece.wrong);
    uploader_.flush();
    const ScopedVariable order("VKMOE_SHUFFLE_DISPATCHES", "reversed");
    Recorder recorder(bench_.kernels.shared_device());
    for (const Part& part : parts) recorder.copy(part.of(part.piece.right_copy), part.of(part.piece.memory));
    recorder.add(dispatch);
    for (const Part& part : parts) recorder.copy(part.of(part.piece.memory), part.of(part.piece.last_copy));
    bench_.scheduler.run(*recorder.finish());
    return std::ranges::any_of(pieces_,
                               [this](const Piece& piece) { return read(piece.memory) != piece.after; }) ||
           std::ranges::any_of(parts, [this](const Part& part) {
               return !std::ranges::equal(read(part.of(part.piece.last_copy)), part.of(part.piece.after));
           });
}

}  // namespace vkmoe
