#pragma once

#include "gpu/device.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe {

/// GPU time by region, from timestamps that the recorder writes around runs of dispatches with one label.
/// A command buffer that is submitted again overwrites its queries: collect() after each submission has
/// finished.
class Profiler {
  public:
    struct Region {
        std::string label;
        uint64_t count = 0;       ///< dispatch runs measured
        double milliseconds = 0;  ///< summed
    };

    /// Throws Error(kUnsupported) when the device writes no timestamps.
    explicit Profiler(std::shared_ptr<Device> device);
    ~Profiler();
    Profiler(const Profiler&) = delete;
    Profiler& operator=(const Profiler&) = delete;

    /// A pool of timestamps for one command buffer.
    class Queries;
    std::shared_ptr<Queries> make_queries(uint32_t max_regions);
    /// Adds up what the queries of a finished submission say.
    void collect(const Queries& queries);

    /// Sorted by time, longest first.
    std::vector<Region> regions() const;
    /// The table that --profile prints: label, count, ms, share, microseconds each.
    std::string table() const;
    void reset();

  private:
    std::shared_ptr<Device> device_;
    std::map<std::string, Region, std::less<>> regions_;
};

class Profiler::Queries {
  public:
    Queries(std::shared_ptr<Device> device, uint32_t max_regions);
    ~Queries();
    Queries(const Queries&) = delete;
    Queries& operator=(const Queries&) = delete;

    void reset(VkCommandBuffer commands);
    void begin(VkCommandBuffer commands, std::string_view label);
    void end(VkCommandBuffer commands);

  private:
    friend class Profiler;
    std::shared_ptr<Device> device_;
    VkQueryPool pool_ = VK_NULL_HANDLE;
    std::vector<std::string> labels_;
    uint32_t max_regions_ = 0;
    uint64_t dropped_ = 0;  // regions begun beyond max_regions_
};

}  // namespace vkmoe
