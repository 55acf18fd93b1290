#include "gpu/pipeline_cache.h"

#include "base/error.h"
#include "base/input_file.h"
#include "base/log.h"
#include "base/output_file.h"
#include "base/standard_streams.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>

namespace vkmoe {
namespace {

namespace fs = std::filesystem;

constexpr std::array<char, 8> kMagic = {'v', 'k', 'm', 'o', 'e', 'p', 'c', '1'};

/// Precedes the driver's data in the file.
struct FileHeader {
    std::array<char, 8> magic = kMagic;
    uint64_t bytes = 0;  // of the driver's data
    uint64_t hash = 0;   // XXH3 of them
};
static_assert(sizeof(FileHeader) == 24);

std::optional<fs::path> from_environment(const char* variable, const char* below) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return fs::path(value) / below;
}

std::optional<fs::path> cache_folder() {
    if (auto folder = from_environment("VKMOE_CACHE_DIR", "")) return folder;
    if (auto folder = from_environment("XDG_CACHE_HOME", "vkmoe")) return folder;
    return from_environment("HOME", ".cache/vkmoe");
}

/// The head that Vulkan itself puts before a driver's data.
bool made_by_driver(std::span<const std::byte> data, const DeviceCaps& caps) {
    VkPipelineCacheHeaderVersionOne header{};
    static_assert(sizeof(header) == 32);
    if (data.size() < sizeof(header)) return false;
    std::memcpy(&header, data.data(), sizeof(header));
    return header.headerSize == sizeof(header) &&
           header.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
           header.vendorID == caps.vendor_id && header.deviceID == caps.device_id &&
           std::memcmp(header.pipelineCacheUUID, caps.pipeline_cache_uuid.data(), VK_UUID_SIZE) == 0;
}

}  // namespace

std::optional<fs::path> pipeline_cache_file(const DeviceCaps& caps, uint64_t kernels_hash) {
    const std::optional<fs::path> folder = cache_folder();
    if (!folder) return std::nullopt;
    std::string driver;
    for (uint8_t byte : caps.driver_uuid) driver += fmt::format("{:02x}", byte);
    return *folder / fmt::format("pipelines-{}-{:04x}-{:04x}-{:016x}.bin", driver, caps.vendor_id,
                                 caps.device_id, kernels_hash);
}

std::vector<std::byte> load_pipeline_cache(const fs::path& file, const DeviceCaps& caps) {
    std::error_code error;
    if (!fs::exists(file, error)) return {};
    std::vector<std::byte> data;
    try {
        data = read_whole_file(file.string());
    } catch (const Error& failure) {
        log_info("recreating the pipeline cache: {}", failure.what());
        return {};
    }
    FileHeader header;
    if (data.size() > sizeof(header)) {
        std::memcpy(&header, data.data(), sizeof(header));
        data.erase(data.begin(), data.begin() + sizeof(header));
        if (header.magic == kMagic && header.bytes == data.size() &&
            XXH3_64bits(data.data(), data.size()) == header.hash && made_by_driver(data, caps))
            return data;
    }
    log_info("the pipeline cache {} is damaged or from another driver; recreating it", file.string());
    return {};
}

// The lock is the folder's own, so that no file is left behind.
PipelineCacheLock::PipelineCacheLock(const fs::path& file) {
    std::error_code ignored;
    fs::create_directories(file.parent_path(), ignored);
    folder_ = open_file(file.parent_path().string(), O_RDONLY | O_DIRECTORY);
    constexpr std::chrono::milliseconds kPause(10);
    constexpr int kAttempts = 500;
    for (int i = 0; i < kAttempts && ::flock(folder_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; ++i)
        std::this_thread::sleep_for(kPause);
}

PipelineCacheLock::~PipelineCacheLock() {
    if (folder_ >= 0) ::close(folder_);
}

void save_pipeline_cache(const fs::path& file, std::span<const std::byte> data) {
    try {
        fs::create_directories(file.parent_path());
        FileHeader header;
        header.bytes = data.size();
        header.hash = XXH3_64bits(data.data(), data.size());
        OutputFile output(file.string());
        output.write(std::as_bytes(std::span(&header, 1)));
        output.write(data);
        output.commit();
    } catch (const std::exception& error) {
        log_info("the pipeline cache could not be written: {}", error.what());
    }
}

}  // namespace vkmoe
