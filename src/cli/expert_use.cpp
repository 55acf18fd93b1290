#include "cli/expert_use.h"

#include <fmt/format.h>

#include <numeric>

namespace vkmoe::cli {

std::string describe_expert_use(std::span<const uint64_t> counts, uint32_t n_experts) {
    size_t used = 0;
    size_t total = 0;
    size_t busiest_layer = 0;
    size_t busiest_expert = 0;
    double busiest_share = 0;
    for (size_t layer = 0; layer < counts.size() / n_experts; ++layer) {
        const std::span<const uint64_t> row = counts.subspan(layer * n_experts, n_experts);
        const uint64_t routes = std::accumulate(row.begin(), row.end(), uint64_t{0});
        if (routes == 0) continue;
        total += n_experts;
        for (size_t expert = 0; expert < row.size(); ++expert) {
            if (row[expert] != 0) ++used;
            const double share = static_cast<double>(row[expert]) / static_cast<double>(routes);
            if (share <= busiest_share) continue;
            busiest_share = share;
            busiest_layer = layer;
            busiest_expert = expert;
        }
    }
    if (used == 0) return "experts: none used";
    return fmt::format(
        "experts: {} of {} used; busiest layer {} expert {} with {:.0f}% of its layer's routes", used, total,
        busiest_layer, busiest_expert, 100 * busiest_share);
}

}  // namespace vkmoe::cli
