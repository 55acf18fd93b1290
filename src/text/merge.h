#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

namespace vkmoe {

/// A part of a word while it is merged: `length` bytes at `offset`, token `id` (-1 where no token is that
/// text). Parts form a list through previous and next (-1 at the ends); one that was merged into another has
/// length 0.
struct MergePart {
    uint32_t offset;
    uint32_t length;
    int32_t id;
    int32_t previous;
    int32_t next;
};

struct Merge {
    uint32_t order;  ///< lower merges first; equal ones from left to right
    int32_t id;      ///< of the part that comes of it
};

/// Byte-pair merging: joins the neighbours whose merge comes first, until none has any. n parts take O(n log
/// n). `parts` must be linked in order. lookup(left, right) -> std::optional<Merge>; merged(left, right, id)
/// is told of every merge just before it happens.
template <typename Lookup, typename Merged>
void merge_parts(std::vector<MergePart>& parts, const Lookup& lookup, const Merged& merged) {
    struct Candidate {
        uint64_t key;     // order, then the index of the left part
        uint32_t length;  // of both parts: when either has grown, so has the sum, and the candidate is stale
        int32_t id;

        bool operator>(const Candidate& other) const { return key > other.key; }
    };
    const auto candidate = [&](int32_t left, int32_t right) -> std::optional<Candidate> {
        if (left < 0 || right < 0) return std::nullopt;
        const std::optional<Merge> merge = lookup(parts[left], parts[right]);
        if (!merge) return std::nullopt;
        return Candidate{uint64_t{merge->order} << 32 | static_cast<uint32_t>(left),
                         parts[left].length + parts[right].length, merge->id};
    };
    std::vector<Candidate> initial;
    initial.reserve(parts.size());
    for (size_t i = 1; i < parts.size(); ++i) {
        const auto right = static_cast<int32_t>(i);
        if (auto found = candidate(right - 1, right)) initial.push_back(*found);
    }
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue(std::greater<>(),
                                                                                 std::move(initial));
    while (!queue.empty()) {
        const Candidate best = queue.top();
        queue.pop();
        const auto index = static_cast<int32_t>(static_cast<uint32_t>(best.key));
        MergePart& left = parts[index];
        if (left.length == 0 || left.next < 0) continue;
        MergePart& right = parts[left.next];
        if (left.length + right.length != best.length) continue;
        merged(left, right, best.id);
        left.length = best.length;
        left.id = best.id;
        left.next = right.next;
        right.length = 0;
        if (left.next >= 0) parts[left.next].previous = index;
        if (auto found = candidate(left.previous, index)) queue.push(*found);
        if (auto found = candidate(index, left.next)) queue.push(*found);
    }
}

}  // namespace vkmoe
