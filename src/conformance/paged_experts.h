#pragma once

#include "conformance/case_context.h"
#include "kernels/page_tables.h"
#include "pager/params.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe::conformance {

/// What a case of the pager's kernels is about.
struct PagedShape {
    uint32_t n_layers = 1;
    uint32_t n_experts = 1;  ///< a layer
    uint32_t n_slots = 1;
    uint32_t n_ring = 0;     ///< places behind the slots
    uint32_t n_classes = 1;  ///< 2: every other layer has larger records, and slots of its own
    uint32_t percent_empty = 0;
    bool equal_scores = false;  ///< so that many slots would make as good a victim

    std::string describe() const;
};

/// The pager's tables, on the host: what a reference changes.
struct PagedExperts {
    uint32_t n_experts = 0;
    PageHeader header{};
    std::vector<PageLayer> layers;
    std::vector<uint32_t> slots;
    std::vector<PageExpert> experts;
    std::vector<uint64_t> slot_records;
    std::vector<uint64_t> host_records;
    std::vector<uint64_t> records;

    uint32_t n_layers() const { return static_cast<uint32_t>(layers.size()); }
    uint32_t n_slots() const { return static_cast<uint32_t>(slots.size()); }
    uint32_t number(uint32_t layer, uint32_t expert) const { return layer * n_experts + expert; }
    bool is_resident(uint32_t number) const { return experts[number].slot != kNowhere; }
    uint32_t owner(uint32_t slot) const { return slots[slot] & ~kPrefetchedBit; }

    /// Into an empty slot. flag: 0 or kPrefetchedBit.
    void put(uint32_t number, uint32_t slot, uint32_t flag);
    void evict(uint32_t slot);
    /// From now on an expert's record is at a place.
    PageCopy place_record(uint32_t number, uint32_t place, uint32_t units);
};

/// Any experts in the slots that their layers may use, with scores of every size; counts of the header may
/// be about to pass 32 bits.
PagedExperts random_paged_experts(std::mt19937& random, const PagedShape& shape);

/// Tables as a kernel has them.
struct StoredPagedExperts {
    PageTablesOnDevice tables;
    Output header;
    Output slots;
    Output experts;
    Output records;
};
StoredPagedExperts upload_paged_experts(CaseContext& c, const PagedExperts& experts);

/// That the tables are what the reference has made of its own.
void check_paged_experts(std::string_view what, const PagedExperts& expected,
                         const StoredPagedExperts& stored);

/// The words of structs, which can be compared and printed.
template <typename T>
std::vector<uint32_t> words_of(const std::vector<T>& values) {
    std::vector<uint32_t> words(values.size() * sizeof(T) / sizeof(uint32_t));
    std::memcpy(words.data(), values.data(), words.size() * sizeof(uint32_t));
    return words;
}

/// What memory holds that no kernel has written.
PageCopy untouched_copy();

}  // namespace vkmoe::conformance
