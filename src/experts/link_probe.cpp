#include "experts/link_probe.h"

#include "base/error.h"
#include "base/timing.h"
#include "experts/make_record_copier.h"
#include "kernels/linear_shape.h"
#include "kernels/matvec.h"
#include "kernels/page_fetch.h"
#include "pager/params.h"
#include "sched/scheduler.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1ull << 20;

// Records of a size that experts have, as many at once as a token's experts in a layer. A run takes other
// ones than the run before: together they do not fit in the caches of most CPUs, where records that come once
// in a while would not be either. Where little device memory is left they are smaller, for half of it.
constexpr uint64_t kSourceBytes = 32 * kMiB;
constexpr uint64_t kMostRecordBytes = kMiB;
constexpr uint64_t kLeastRecordBytes = 16384;
constexpr uint32_t kMostRecords = 8;  // a run

constexpr double kRunSeconds = 4e-3;       // of a run, if that takes fewer records: slow drivers
constexpr double kMeasureSeconds = 25e-3;  // of all runs of a kind
constexpr uint32_t kRuns = 7;
constexpr uint32_t kRoundTrips = 32;

constexpr uint64_t kMostDeviceBytes = 256 * kMiB;  // beyond the caches of today's devices
constexpr uint64_t kMostCpuBytes = 64 * kMiB;  // a CPU's memory must be written first, and that takes longer
constexpr uint32_t kMatrixColumns = 4096;

/// Median of runs 0, 1, …: at least three, more while time is left.
double median_seconds(const std::function<void(uint32_t)>& run) {
    std::vector<double> seconds;
    double total = 0;
    while (seconds.size() < 3 || (seconds.size() < kRuns && total < kMeasureSeconds)) {
        const uint32_t index = static_cast<uint32_t>(seconds.size());
        seconds.push_back(seconds_of([&] { run(index); }));
        total += seconds.back();
    }
    return median(std::move(seconds));
}

/// Bytes a second, without what a submission of hardly anything takes. That is not known to the microsecond:
/// at most three fourths of the time are put down to it.
double rate(double bytes, double seconds, double round_trip_seconds) {
    return bytes / std::max(seconds - round_trip_seconds, seconds / 4);
}

uint64_t record_bytes_for(const Device& device) {
    const uint64_t fitting = device.available_device_memory() / 2 / kMostRecords;
    return std::bit_floor(std::clamp(fitting, kLeastRecordBytes, kMostRecordBytes));
}

/// Host memory to read from, device memory to write to, and the list of copies between them.
class Probe {
  public:
    explicit Probe(KernelContext& kernels)
        : kernels_(kernels),
          scheduler_(kernels.shared_device()),
          host_(kernels.shared_device(), MemoryKind::kUpload, "link probe, host"),
          device_(kernels.shared_device(), MemoryKind::kDevice, "link probe, device"),
          record_bytes_(record_bytes_for(kernels.device())),
          n_records_(static_cast<uint32_t>(kSourceBytes / record_bytes_)),
          source_(host_.allocate(kSourceBytes)),
          list_(host_.allocate(n_records_ * sizeof(PageCopy))) {
        device_.set_reclaims(false);
        target_ = device_.allocate(kMostRecords * record_bytes_);
        // Memory that was never written may not be there yet.
        std::memset(source_.mapped, 1, source_.size);
        if (target_.mapped != nullptr) std::memset(target_.mapped, 0, target_.size);
        std::vector<PageCopy> entries;
        for (uint32_t i = 0; i < n_records_; ++i) {
            const RecordMove move = record_move(i);
            entries.push_back(
                page_copy(move.from.memory.address, move.to.address, units(), i, i % kMostRecords));
        }
        std::memcpy(list_.mapped, entries.data(), list_.size);
    }

    double round_trip_seconds() {
        const std::unique_ptr<CommandBuffer> nothing = Recorder(kernels_.shared_device()).finish();
        scheduler_.run(*nothing);
        std::vector<double> seconds;
        for (uint32_t i = 0; i < kRoundTrips; ++i)
            seconds.push_back(seconds_of([&] { scheduler_.run(*nothing); }));
        return median(std::move(seconds));
    }

    double shader_rate(double round_trip_seconds) {
        std::unique_ptr<CommandBuffer> warm_up = record(0, 1);
        scheduler_.run(*warm_up);
        const uint32_t n = records_for(seconds_of([&] { scheduler_.run(*warm_up); }));
        std::vector<std::unique_ptr<CommandBuffer>> runs;
        for (uint32_t i = 0; i < kRuns; ++i) runs.push_back(record(first_record(i, n), n));
        const double seconds = median_seconds([&](uint32_t i) { scheduler_.run(*runs[i]); });
        return rate(static_cast<double>(n * record_bytes_), seconds, round_trip_seconds);
    }

    double queue_rate(double round_trip_seconds) {
        return copy_rate(*make_record_copier(CopyBy::kQueue, kernels_.shared_device(), record_bytes_),
                         round_trip_seconds);
    }

    /// 0 where the host does not see device memory.
    double host_rate() {
        if (target_.mapped == nullptr) return 0;
        return copy_rate(*make_record_copier(CopyBy::kHost, kernels_.shared_device(), record_bytes_), 0);
    }

  private:
    double copy_rate(RecordCopier& copier, double round_trip_seconds) {
        std::vector<RecordMove> moves;
        const auto run = [&](uint32_t first, uint32_t n) {
            moves.clear();
            for (uint32_t i = 0; i < n; ++i) moves.push_back(record_move(first + i));
            copier.wait(copier.submit(moves, {}));
        };
        run(0, 1);
        const uint32_t n = records_for(seconds_of([&] { run(1, 1); }));
        const double seconds = median_seconds([&](uint32_t i) { run(first_record(i, n), n); });
        return rate(static_cast<double>(n * record_bytes_), seconds, round_trip_seconds);
    }

    uint32_t units() const { return static_cast<uint32_t>(record_bytes_ / 16); }
    static uint32_t records_for(double seconds_of_one) {
        return static_cast<uint32_t>(
            std::clamp(kRunSeconds / seconds_of_one, 1.0, static_cast<double>(kMostRecords)));
    }
    uint32_t first_record(uint32_t run, uint32_t n) const { return run * n % (n_records_ - n + 1); }

    RecordMove record_move(uint32_t index) const {
        const Allocation from = source_.slice(index * record_bytes_, record_bytes_);
        return {{.data = from.mapped, .memory = from},
                target_.slice(index % kMostRecords * record_bytes_, record_bytes_)};
    }

    std::unique_ptr<CommandBuffer> record(uint32_t first, uint32_t n) {
        PageFetchArgs args;
        args.copies = list_.address + first * sizeof(PageCopy);
        args.max_copies = n;
        args.from = view_of(source_);
        args.to = view_of(target_);
        args.groups = page_copy_groups(kernels_.device(), units());
        Recorder recorder(kernels_.shared_device());
        recorder.add(page_fetch(kernels_, args));
        return recorder.finish();
    }

    KernelContext& kernels_;
    Scheduler scheduler_;
    Arena host_;
    Arena device_;
    uint64_t record_bytes_;
    uint32_t n_records_;
    Allocation source_;
    Allocation list_;
    Allocation target_;
};

}  // namespace

LinkSpeed measure_link(KernelContext& kernels) {
    Probe probe(kernels);
    LinkSpeed speed;
    speed.round_trip_seconds = probe.round_trip_seconds();
    speed.shader_bytes_per_second = probe.shader_rate(speed.round_trip_seconds);
    speed.copy_bytes_per_second = probe.queue_rate(speed.round_trip_seconds);
    speed.host_bytes_per_second = probe.host_rate();
    return speed;
}

double measure_device_memory(KernelContext& kernels) {
    Device& device = kernels.device();
    const bool cpu = device.caps().type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    const uint64_t row = kMatrixColumns * sizeof(float);
    const uint64_t wanted =
        std::min({cpu ? kMostCpuBytes : kMostDeviceBytes, device.available_device_memory() / 4,
                  device.plan().max_allocation_size / 2});
    const uint32_t n_rows = static_cast<uint32_t>(std::max<uint64_t>(wanted / row, 1));

    Arena arena(kernels.shared_device(), MemoryKind::kDevice, "device memory probe");
    const Path path = linear_path(kernels, Op::kMatvec, TensorType::kF32);
    const Allocation weights = arena.allocate(n_rows * row);
    const Allocation x = arena.allocate(activation_row_bytes(path, kMatrixColumns));
    const Allocation y = arena.allocate(n_rows * sizeof(float));
    for (const Allocation& piece : {weights, x, y})
        if (piece.mapped != nullptr) std::memset(piece.mapped, 0, piece.size);

    MatmulArgs args;
    args.weights = weights.address;
    args.x = x.address;
    args.y = y.address;
    args.n_rows = n_rows;
    args.n_columns = kMatrixColumns;
    args.n_tokens = 1;
    Scheduler scheduler(kernels.shared_device());
    Recorder recorder(kernels.shared_device());
    recorder.add(matvec(kernels, args));
    const std::unique_ptr<CommandBuffer> commands = recorder.finish();
    const std::unique_ptr<CommandBuffer> nothing = Recorder(kernels.shared_device()).finish();
    scheduler.run(*commands);
    scheduler.run(*nothing);
    const double round_trip_seconds = median_seconds([&](uint32_t) { scheduler.run(*nothing); });
    const double seconds = median_seconds([&](uint32_t) { scheduler.run(*commands); });
    return rate(static_cast<double>(weights.size), seconds, round_trip_seconds);
}

std::string describe(const LinkSpeed& speed) {
    std::string text = fmt::format("link: {:.1f} GB/s by shader reads, {:.1f} GB/s by queue copies",
                                   speed.shader_bytes_per_second * 1e-9, speed.copy_bytes_per_second * 1e-9);
    if (speed.host_bytes_per_second > 0)
        text += fmt::format(", {:.1f} GB/s by host threads", speed.host_bytes_per_second * 1e-9);
    text += fmt::format(", round trip {:.0f} us", speed.round_trip_seconds * 1e6);
    if (speed.device_bytes_per_second > 0)
        text += fmt::format("; device memory {:.0f} GB/s", speed.device_bytes_per_second * 1e-9);
    return text;
}

double LinkSpeed::bytes_per_second(PagerMode mode) const {
    if (mode == PagerMode::kDevice) return shader_bytes_per_second;
    return std::max(copy_bytes_per_second, host_bytes_per_second);
}

double link_seconds(PagerMode mode, const LinkSpeed& speed, const LinkLoad& load) {
    const bool host = mode == PagerMode::kHost;
    const double bytes_per_second = speed.bytes_per_second(mode);
    if (bytes_per_second <= 0) return std::numeric_limits<double>::infinity();
    const double moving = load.records_missed * load.record_bytes / bytes_per_second;
    return host ? moving + load.n_layers * speed.round_trip_seconds : moving;
}

PagerMode choose_pager_mode(const LinkSpeed& speed, const LinkLoad& load, bool device_sees_all_records) {
    if (!device_sees_all_records) return PagerMode::kHost;
    return link_seconds(PagerMode::kHost, speed, load) < link_seconds(PagerMode::kDevice, speed, load)
               ? PagerMode::kHost
               : PagerMode::kDevice;
}

}  // namespace vkmoe
