#pragma once

#include "gpu/caps.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

namespace vkmoe {

/// The file of one device, driver and set of kernels: $VKMOE_CACHE_DIR, else $XDG_CACHE_HOME/vkmoe, else
/// ~/.cache/vkmoe. Nothing when none of the three is set.
std::optional<std::filesystem::path> pipeline_cache_file(const DeviceCaps& caps, uint64_t kernels_hash);

/// What a driver wrote to the file, or nothing when the file is missing, damaged, or made by another device
/// or driver. Drivers are known to crash on damaged data, so they never see it.
std::vector<std::byte> load_pipeline_cache(const std::filesystem::path& file, const DeviceCaps& caps);

/// Held by one process at a time while it reads the file and writes it again. Where the file system has no
/// locks, or another holds it too long, none is held: then one process may lose what another has added.
class PipelineCacheLock {
  public:
    explicit PipelineCacheLock(const std::filesystem::path& file);
    ~PipelineCacheLock();
    PipelineCacheLock(const PipelineCacheLock&) = delete;
    PipelineCacheLock& operator=(const PipelineCacheLock&) = delete;

  private:
    int folder_ = -1;
};

/// Writes the file whole or not at all. A failure is logged: without a cache all works, only slower at start.
void save_pipeline_cache(const std::filesystem::path& file, std::span<const std::byte> data);

}  // namespace vkmoe
