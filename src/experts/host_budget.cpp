// How a host tier's budget becomes places for records, and buffers that their reads pass through.
#include "experts/host_budget.h"

#include "base/error.h"
#include "base/units.h"
#include "experts/host_places.h"

#include <algorithm>

namespace vkmoe {
namespace {

// The least that reads may have to pass through, where the budget is small.
constexpr size_t kLeastPieceBytes = 64 << 10;
constexpr uint32_t kLeastInFlight = 2;

std::vector<RecordClass> record_classes(const std::vector<RecordLayer>& layers, uint32_t n_experts) {
    std::vector<RecordClass> classes;
    for (uint32_t i = 0; i < layers.size(); ++i) {
        const uint64_t stride = place_stride(layers[i].record_bytes);
        auto found = std::ranges::find(classes, stride, &RecordClass::stride);
        if (found == classes.end()) found = classes.insert(classes.end(), RecordClass{.stride = stride});
        found->layers.push_back(i);
        found->n_records += n_experts;
    }
    return classes;
}

/// Reads with buffers of at most `bytes`, or the least.
FileReaderOptions reader_within(FileReaderOptions options, uint64_t bytes) {
    while (FileReader::buffer_bytes(options) > bytes) {
        if (options.piece_bytes / 2 >= kLeastPieceBytes && options.piece_bytes % 8192 == 0)
            options.piece_bytes /= 2;
        else if (options.n_in_flight > kLeastInFlight)
            options.n_in_flight = std::max(options.n_in_flight / 2, kLeastInFlight);
        else
            break;
    }
    return options;
}

uint64_t cost(const std::vector<RecordClass>& classes) {
    uint64_t sum = 0;
    for (const RecordClass& size : classes) sum += places_cost(size.n_places, size.stride);
    return sum;
}

/// Gives each class a place for so many of its records, at least least_records of them, or all.
void set_places(std::vector<RecordClass>& classes, double share, uint64_t least_records) {
    for (RecordClass& size : classes) {
        const auto n = static_cast<uint64_t>(share * static_cast<double>(size.n_records));
        size.n_places = std::clamp(n, std::min(least_records, size.n_records), size.n_records);
    }
}

/// The classes with as many places as go into `bytes`, which must do for least_records of each.
void share_places(std::vector<RecordClass>& classes, uint64_t bytes, uint64_t least_records) {
    double fits = 0;
    double too_much = 1;
    for (int i = 0; i < 48; ++i) {
        const double middle = (fits + too_much) / 2;
        set_places(classes, middle, least_records);
        (cost(classes) <= bytes ? fits : too_much) = middle;
    }
    set_places(classes, fits, least_records);
    // What the last places of the others did not need may do for one more.
    for (RecordClass& size : classes) {
        if (size.n_places == size.n_records) continue;
        ++size.n_places;
        if (cost(classes) > bytes) --size.n_places;
    }
}

uint64_t least_places_cost(std::vector<RecordClass> classes, uint64_t least_records) {
    set_places(classes, 0, least_records);
    return cost(classes);
}

}  // namespace

uint64_t least_host_budget(const std::vector<RecordLayer>& layers, uint32_t n_experts,
                           const HostTierOptions& options) {
    return least_places_cost(record_classes(layers, n_experts), options.least_records) +
           FileReader::buffer_bytes(reader_within(options.reader, 0));
}

uint64_t full_host_budget(const std::vector<RecordLayer>& layers, uint32_t n_experts,
                          const HostTierOptions& options) {
    return least_places_cost(record_classes(layers, n_experts), UINT64_MAX) +
           FileReader::buffer_bytes(options.reader);
}

HostBudget share_budget(const std::vector<RecordLayer>& layers, uint32_t n_experts,
                        const HostTierOptions& options) {
    const uint64_t least = least_host_budget(layers, n_experts, options);
    if (options.budget_bytes < least) {
        fail(ErrorCode::kOutOfMemory,
             "host tier: the RAM budget of {} for experts does not hold {} experts and their read buffers; "
             "it must be at least {} MiB",
             human_bytes(options.budget_bytes), options.least_records, mib_rounded_up(least));
    }
    HostBudget budget{.classes = record_classes(layers, n_experts),
                      .holds_all = options.budget_bytes >= full_host_budget(layers, n_experts, options),
                      .reader = options.reader};
    if (budget.holds_all) {
        set_places(budget.classes, 1, options.least_records);
        return budget;
    }
    const uint64_t for_reader =
        options.budget_bytes - least_places_cost(budget.classes, options.least_records);
    budget.reader = reader_within(options.reader, std::min(options.budget_bytes / 8, for_reader));
    share_places(budget.classes, options.budget_bytes - FileReader::buffer_bytes(budget.reader),
                 options.least_records);
    return budget;
}

}  // namespace vkmoe
