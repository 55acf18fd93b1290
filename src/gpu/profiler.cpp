#include "gpu/profiler.h"
#include "gpu/vk_struct.h"

#include "base/error.h"
#include "base/log.h"

#include <algorithm>

namespace vkmoe {

Profiler::Profiler(std::shared_ptr<Device> device) : device_(std::move(device)) {
    if (!device_->plan().timestamps)
        fail(ErrorCode::kUnsupported, "device '{}' does not support timestamps, which profiling needs",
             device_->caps().name);
}

Profiler::~Profiler() = default;

std::shared_ptr<Profiler::Queries> Profiler::make_queries(uint32_t max_regions) {
    return std::make_shared<Queries>(device_, max_regions);
}

void Profiler::collect(const Queries& queries) {
    if (queries.labels_.empty()) return;
    std::vector<uint64_t> ticks(queries.labels_.size() * 2);
    check_vk(device_->vk().vkGetQueryPoolResults(
                 device_->handle(), queries.pool_, 0, static_cast<uint32_t>(ticks.size()),
                 ticks.size() * sizeof(uint64_t), ticks.data(), sizeof(uint64_t),
                 VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
             "read timestamps");
    const uint32_t bits = device_->caps().queue_families[device_->plan().compute_family].timestamp_bits;
    const uint64_t mask = bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    for (size_t i = 0; i < queries.labels_.size(); ++i) {
        const uint64_t elapsed = (ticks[i * 2 + 1] - ticks[i * 2]) & mask;
        Region& region = regions_[queries.labels_[i]];
        region.label = queries.labels_[i];
        ++region.count;
        region.milliseconds += static_cast<double>(elapsed) * device_->caps().timestamp_period * 1e-6;
    }
}

std::vector<Profiler::Region> Profiler::regions() const {
    std::vector<Region> sorted;
    for (const auto& [label, region] : regions_) sorted.push_back(region);
    std::sort(sorted.begin(), sorted.end(),
              [](const Region& left, const Region& right) { return left.milliseconds > right.milliseconds; });
    return sorted;
}

std::string Profiler::table() const {
    const std::vector<Region> sorted = regions();
    double total = 0;
    size_t width = 6;
    for (const Region& region : sorted) {
        total += region.milliseconds;
        width = std::max(width, region.label.size());
    }
    std::string text = fmt::format("{:<{}}  {:>8}  {:>10}  {:>6}  {:>10}\n", "region", width, "count", "ms",
                                   "share", "us each");
    for (const Region& region : sorted)
        text +=
            fmt::format("{:<{}}  {:>8}  {:>10.3f}  {:>5.1f}%  {:>10.2f}\n", region.label, width, region.count,
                        region.milliseconds, total > 0 ? region.milliseconds / total * 100 : 0.0,
                        region.milliseconds * 1000 / static_cast<double>(region.count));
    text += fmt::format("{:<{}}  {:>8}  {:>10.3f}\n", "total", width, "", total);
    return text;
}

void Profiler::reset() {
    regions_.clear();
}

Profiler::Queries::Queries(std::shared_ptr<Device> device, uint32_t max_regions)
    : device_(std::move(device)), max_regions_(max_regions) {
    VkQueryPoolCreateInfo info = vk_struct<VkQueryPoolCreateInfo>(VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO);
    info.queryType = VK_QUERY_TYPE_TIMESTAMP;
    info.queryCount = max_regions * 2;
    check_vk(device_->vk().vkCreateQueryPool(device_->handle(), &info, nullptr, &pool_),
             "create a query pool");
}

Profiler::Queries::~Queries() {
    if (device_->may_free()) device_->vk().vkDestroyQueryPool(device_->handle(), pool_, nullptr);
}

void Profiler::Queries::reset(VkCommandBuffer commands) {
    labels_.clear();
    dropped_ = 0;
    device_->vk().vkCmdResetQueryPool(commands, pool_, 0, max_regions_ * 2);
}

void Profiler::Queries::begin(VkCommandBuffer commands, std::string_view label) {
    if (labels_.size() == max_regions_) {
        if (dropped_++ == 0)
            log_warn("a command buffer has more than {} regions; the profile omits the rest", max_regions_);
        return;
    }
    labels_.emplace_back(label);
    device_->vk().vkCmdWriteTimestamp2(commands, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, pool_,
                                       static_cast<uint32_t>(labels_.size() * 2 - 2));
}

void Profiler::Queries::end(VkCommandBuffer commands) {
    if (dropped_ != 0) return;
    device_->vk().vkCmdWriteTimestamp2(commands, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, pool_,
                                       static_cast<uint32_t>(labels_.size() * 2 - 1));
}

}  // namespace vkmoe
