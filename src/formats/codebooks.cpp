#include "formats/codebooks.h"

#include "formats/codebooks_data.h"

namespace vkmoe {
namespace {

constexpr std::array<int8_t, 3> kIq1Numbers = {-1, 0, 1};
constexpr std::array<int8_t, 3> kIq2Numbers = {8, 25, 43};
constexpr std::array<int8_t, 8> kIq3XxsNumbers = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr std::array<int8_t, 8> kIq3SNumbers = {1, 3, 5, 7, 9, 11, 13, 15};

/// Entries of sizeof(Entry) numbers each, from the packed words of codebooks_data.h.
template <typename Entry, size_t kEntries, size_t kNumbers>
constexpr std::array<Entry, kEntries> unpack(const std::array<uint16_t, kEntries>& packed,
                                             const std::array<int8_t, kNumbers>& numbers) {
    constexpr uint32_t kBits = 16 / sizeof(Entry);
    std::array<Entry, kEntries> grid{};
    for (size_t i = 0; i < kEntries; ++i) {
        for (uint32_t k = 0; k < sizeof(Entry); ++k) {
            const uint32_t code = (static_cast<uint32_t>(packed[i]) >> (kBits * k)) & ((1u << kBits) - 1);
            grid[i] |= static_cast<Entry>(static_cast<uint8_t>(numbers[code])) << (8 * k);
        }
    }
    return grid;
}

constexpr auto kIq1Grid = unpack<uint64_t>(codebooks::kIq1Packed, kIq1Numbers);
constexpr auto kIq2XxsGrid = unpack<uint64_t>(codebooks::kIq2XxsPacked, kIq2Numbers);
constexpr auto kIq2XsGrid = unpack<uint64_t>(codebooks::kIq2XsPacked, kIq2Numbers);
constexpr auto kIq2SGrid = unpack<uint64_t>(codebooks::kIq2SPacked, kIq2Numbers);
constexpr auto kIq3XxsGrid = unpack<uint32_t>(codebooks::kIq3XxsPacked, kIq3XxsNumbers);
constexpr auto kIq3SGrid = unpack<uint32_t>(codebooks::kIq3SPacked, kIq3SNumbers);

}  // namespace

std::span<const uint64_t> iq1_grid() {
    return kIq1Grid;
}

std::span<const uint64_t> iq2_xxs_grid() {
    return kIq2XxsGrid;
}

std::span<const uint64_t> iq2_xs_grid() {
    return kIq2XsGrid;
}

std::span<const uint64_t> iq2_s_grid() {
    return kIq2SGrid;
}

std::span<const uint32_t> iq3_xxs_grid() {
    return kIq3XxsGrid;
}

std::span<const uint32_t> iq3_s_grid() {
    return kIq3SGrid;
}

std::span<const std::byte> codebook(TensorType type) {
    switch (type) {
        case TensorType::kIQ1_S:
        case TensorType::kIQ1_M:
            return std::as_bytes(iq1_grid());
        case TensorType::kIQ2_XXS:
            return std::as_bytes(iq2_xxs_grid());
        case TensorType::kIQ2_XS:
            return std::as_bytes(iq2_xs_grid());
        case TensorType::kIQ2_S:
            return std::as_bytes(iq2_s_grid());
        case TensorType::kIQ3_XXS:
            return std::as_bytes(iq3_xxs_grid());
        case TensorType::kIQ3_S:
            return std::as_bytes(iq3_s_grid());
        default:
            return {};
    }
}

}  // namespace vkmoe
