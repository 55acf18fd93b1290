#include "cli/pager_report.h"

#include "cli/console.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <string_view>

namespace vkmoe::cli {
namespace {

double share(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

double share(uint64_t part, uint64_t whole) {
    return share(static_cast<double>(part), static_cast<double>(whole));
}

/// Of one who pages.
std::string_view mode_name(vkmoe_pager mode) {
    return mode == VKMOE_PAGER_DEVICE ? "device" : "host";
}

std::string gigabytes(double bytes) {
    return fmt::format("{:.{}f} GB", bytes / 1e9, bytes < 1e9 ? 3 : 1);
}

}  // namespace

vkmoe_pager_stats pager_difference(const vkmoe_pager_stats& before, const vkmoe_pager_stats& after) {
    vkmoe_pager_stats result = after;
    for (const auto count :
         {&vkmoe_pager_stats::hits, &vkmoe_pager_stats::misses, &vkmoe_pager_stats::evictions,
          &vkmoe_pager_stats::prefetched, &vkmoe_pager_stats::prefetched_used, &vkmoe_pager_stats::streamed,
          &vkmoe_pager_stats::bytes_moved})
        result.*count -= before.*count;
    result.seconds -= before.seconds;
    result.seconds_stalled -= before.seconds_stalled;
    result.hit_rate = share(result.hits, result.hits + result.misses);
    result.link_share =
        share(static_cast<double>(result.bytes_moved), result.seconds * result.link_bytes_per_second);
    result.stall_share = share(result.seconds_stalled, result.seconds);
    return result;
}

std::string describe_pager(const vkmoe_pager_stats& stats) {
    if (stats.mode == VKMOE_PAGER_AUTO) return {};
    if (stats.n_slots == stats.n_records) {
        return fmt::format("experts: all {} cached in {} of slots, no offloading; peak device memory {}\n",
                           stats.n_records, human_bytes(stats.slot_bytes),
                           human_bytes(stats.peak_device_bytes));
    }
    std::string text = fmt::format(
        "expert cache ({}-managed): {} of {} experts in {} of slots; hit rate {:.1f}%, {} evicted, {} "
        "prefetched ({} used), {} streamed for prefill\n",
        mode_name(stats.mode), stats.n_slots, stats.n_records, human_bytes(stats.slot_bytes),
        100 * stats.hit_rate, stats.evictions, stats.prefetched, stats.prefetched_used, stats.streamed);
    text += fmt::format("link: {} transferred", gigabytes(static_cast<double>(stats.bytes_moved)));
    if (stats.link_bytes_per_second > 0) {
        text += fmt::format(", {:.0f}% of its {}/s used", 100 * stats.link_share,
                            gigabytes(stats.link_bytes_per_second));
    }
    text += fmt::format("; {:.0f}% of the time stalled\n", 100 * stats.stall_share);
    text += fmt::format("memory: peak {} on the device", human_bytes(stats.peak_device_bytes));
    if (stats.vram_budget != 0) text += fmt::format(" of a budget of {}", human_bytes(stats.vram_budget));
    if (stats.host_bytes != 0)
        text += fmt::format("; {} of experts in host memory", human_bytes(stats.host_bytes));
    return text + "\n";
}

nlohmann::ordered_json pager_json(const vkmoe_pager_stats& stats) {
    if (stats.mode == VKMOE_PAGER_AUTO) return nullptr;
    return {{"mode", mode_name(stats.mode)},
            {"slots", stats.n_slots},
            {"slot_bytes", stats.slot_bytes},
            {"records", stats.n_records},
            {"record_bytes", stats.record_bytes},
            {"hits", stats.hits},
            {"misses", stats.misses},
            {"hit_rate", stats.hit_rate},
            {"evictions", stats.evictions},
            {"prefetched", stats.prefetched},
            {"prefetched_used", stats.prefetched_used},
            {"streamed", stats.streamed},
            {"bytes_moved", stats.bytes_moved},
            {"seconds", stats.seconds},
            {"seconds_stalled", stats.seconds_stalled},
            {"link_bytes_per_second", stats.link_bytes_per_second},
            {"link_share", stats.link_share},
            {"stall_share", stats.stall_share},
            {"vram_budget", stats.vram_budget},
            {"host_bytes", stats.host_bytes},
            {"peak_device_bytes", stats.peak_device_bytes}};
}

}  // namespace vkmoe::cli
