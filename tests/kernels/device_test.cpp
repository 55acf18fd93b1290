#include "base/error.h"
#include "base/file_reader.h"
#include "base/units.h"
#include "gpu/timeline.h"
#include "kernels/kernel_fixture.h"
#include "kernels/scoped_variable.h"
#include "sched/scheduler.h"
#include "unit/error_matching.h"
#include "unit/scoped_faults.h"
#include "unit/temp_folder.h"

#include <algorithm>
#include <cctype>

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1ull << 20;

class DeviceTest : public KernelTest {
  protected:
    Device& device() { return context().device(); }
    const std::shared_ptr<Device>& shared_device() { return context().shared_device(); }

    std::vector<std::byte> random_bytes(size_t n) {
        std::vector<std::byte> bytes(n);
        for (std::byte& byte : bytes) byte = static_cast<std::byte>(random()());
        return bytes;
    }
};

TEST_F(DeviceTest, ArenaPiecesAreAlignedAndDoNotOverlap) {
    Arena arena(shared_device(), MemoryKind::kDevice, "pieces");
    std::uniform_int_distribution<uint64_t> size(1, 200000);
    std::uniform_int_distribution<uint32_t> shift(0, 13);
    std::vector<std::pair<uint64_t, uint64_t>> taken;
    uint64_t sum = 0;
    for (int i = 0; i < 200; ++i) {
        const uint64_t bytes = size(random());
        const uint64_t alignment = uint64_t{1} << shift(random());
        const Allocation piece = arena.allocate(bytes, alignment);
        EXPECT_EQ(piece.size, bytes);
        EXPECT_EQ(piece.address % std::max(alignment, Arena::kAlignment), 0);
        const uint64_t end = piece.address + bytes + Arena::kTailPadding;
        for (const auto& [other, other_end] : taken) EXPECT_TRUE(piece.address >= other_end || end <= other);
        taken.emplace_back(piece.address, end);
        sum += bytes;
    }
    EXPECT_GE(arena.committed_bytes(), sum);
    EXPECT_LE(arena.committed_bytes(), 3 * sum) << "chunks grow with what is asked for";
}

TEST_F(DeviceTest, LargePiecesStandAlone) {
    Arena arena(shared_device(), MemoryKind::kDevice, "large");
    arena.allocate(1000);
    const uint64_t small = arena.committed_bytes();
    const uint64_t bytes = device().plan().arena_chunk_size + 3 * kMiB + 5;
    EXPECT_EQ(arena.allocate(bytes).size, bytes);
    EXPECT_LE(arena.committed_bytes(), small + bytes + kMiB);
}

TEST_F(DeviceTest, MappedWhereTheHostMustReachIt) {
    for (const MemoryKind kind : {MemoryKind::kUpload, MemoryKind::kReadback}) {
        Arena arena(shared_device(), kind, "host");
        EXPECT_NE(arena.allocate(100).mapped, nullptr);
    }
    Arena arena(shared_device(), MemoryKind::kDevice, "device");
    EXPECT_EQ(arena.allocate(100).mapped != nullptr, device().plan().unified_memory);
}

TEST_F(DeviceTest, BytesArriveThroughStagingAndThroughTheMapping) {
    Arena arena(shared_device(), MemoryKind::kDevice, "round trip");
    Uploader uploader(shared_device(), 64 << 10);
    for (const bool staged : {false, true}) {
        std::vector<Allocation> pieces;
        std::vector<std::vector<std::byte>> sent;
        for (const size_t bytes : {1u, 4096u, 65537u, 16384u, 1u << 20}) {
            sent.push_back(random_bytes(bytes));
            pieces.push_back(arena.allocate(bytes));
            if (staged) pieces.back().mapped = nullptr;  // as on a discrete GPU
            uploader.copy(pieces.back(), sent.back());
        }
        uploader.flush();
        for (size_t i = 0; i < sent.size(); ++i) {
            std::vector<std::byte> received(sent[i].size());
            download(device(), pieces[i], received);
            EXPECT_EQ(sent[i], received) << received.size() << " bytes, staged " << staged;
        }
    }
    uploader.flush();  // with nothing to do
}

TEST_F(DeviceTest, BytesOfFilesArriveBetweenOthers) {
    const TempFolder folder;
    const std::vector<std::byte> bytes = random_bytes(3 << 20);
    write_file(folder / "file", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    Arena arena(shared_device(), MemoryKind::kDevice, "files");
    FileReader reader;
    const uint32_t file = reader.add_file(folder / "file");
    Uploader uploader(shared_device(), 64 << 10);
    struct Piece {
        Allocation to;
        uint64_t offset;  // in the file, and where host bytes are taken from
    };
    std::vector<Piece> pieces;
    uint64_t offset = 0;
    for (int round = 0; round < 4; ++round) {
        for (const uint64_t n : {1u, 4096u, 65537u, 16384u, 300000u}) {
            Piece piece{arena.allocate(n), offset};
            offset += n;
            if (round % 2 == 0) piece.to.mapped = nullptr;  // as on a discrete GPU
            if (n == 4096u) {
                uploader.copy(piece.to, std::span(bytes).subspan(piece.offset, n));
            } else {
                uploader.read(piece.to, reader, file, piece.offset, n, "a piece");
            }
            pieces.push_back(piece);
        }
        if (round == 1) uploader.flush();
    }
    uploader.flush();
    for (const Piece& piece : pieces) {
        std::vector<std::byte> received(piece.to.size);
        download(device(), piece.to, received);
        EXPECT_TRUE(std::ranges::equal(received, std::span(bytes).subspan(piece.offset, received.size())))
            << received.size() << " bytes at " << piece.offset;
    }
    const Allocation beyond = arena.allocate(100);
    uploader.read(beyond, reader, file, bytes.size() - 50, 100, "a piece");
    expect_error(ErrorCode::kIo, {"a piece: ", folder / "file", std::to_string(bytes.size() - 50)},
                 [&] { uploader.flush(); });
}

TEST_F(DeviceTest, APieceBeyondTheLimitIsRefusedWithFigures) {
    Arena arena(shared_device(), MemoryKind::kDevice, "weights of a test");
    const uint64_t limit = device().plan().max_allocation_size;
    expect_error(ErrorCode::kOutOfMemory, {"weights of a test", device().caps().name, human_bytes(limit)},
                 [&] { arena.allocate(limit); });
    EXPECT_THROW(arena.allocate(~uint64_t{0}), Error);
    EXPECT_EQ(arena.committed_bytes(), 0);
}

TEST_F(DeviceTest, NoMoreMemoryIsTakenThanThereIs) {
    EXPECT_GT(device().available_device_memory(), 0);
    uint64_t heap = 0;
    for (const MemoryHeapCaps& candidate : device().caps().heaps)
        if (candidate.device_local) heap = std::max(heap, candidate.size);
    {
        Arena arena(shared_device(), MemoryKind::kDevice, "greedy");
        const uint64_t piece = device().plan().max_allocation_size / 2;
        expect_error(ErrorCode::kOutOfMemory, {"greedy", "of device memory", "smaller model or context"},
                     [&] {
                         for (uint64_t taken = 0; taken <= heap; taken += piece) arena.allocate(piece);
                     });
        arena.allocate(100);  // still in order
    }
    Arena arena(shared_device(), MemoryKind::kDevice, "after");
    EXPECT_TRUE(arena.allocate(kMiB)) << "all was given back";
}

TEST_F(DeviceTest, TimelineWaitGivesUpInTime) {
    const std::shared_ptr<Device> own = Device::create();
    const Timeline timeline(own);
    timeline.wait(0);
    EXPECT_EQ(timeline.reached(), 0);
    expect_error(ErrorCode::kDeviceLost, {own->caps().name, "VKMOE_GPU_TIMEOUT"},
                 [&] { timeline.wait(1, 0.01); });
    EXPECT_TRUE(own->has_failed());
    EXPECT_TRUE(own->may_free()) << "nothing is in flight";
}

TEST_F(DeviceTest, ATimeoutThatIsNoneIsFoundBeforeAnyWork) {
    for (const char* value : {"soon", "0", "-1", "10s", "1e10", "nan"}) {
        const ScopedVariable variable("VKMOE_GPU_TIMEOUT", value);
        expect_error(ErrorCode::kInvalidArgument, {"VKMOE_GPU_TIMEOUT=", value}, [] { Device::create(); });
    }
    const ScopedVariable variable("VKMOE_GPU_TIMEOUT", "0.5");
    EXPECT_EQ(Device::create()->timeout_seconds(), 0.5);
}

/// Copies that take the device so long that a wait for them times out.
class SlowWork {
  public:
    explicit SlowWork(const std::shared_ptr<Device>& device)
        : arena_(device, MemoryKind::kDevice, "slow work"), scheduler_(device) {
        const Allocation from = arena_.allocate(kBytes);
        const Allocation to = arena_.allocate(kBytes);
        Recorder recorder(device);
        for (int i = 0; i < 200; ++i) recorder.copy(from, to);
        commands_ = recorder.finish();
    }

    uint64_t submit() { return scheduler_.submit(*commands_); }
    void run() { scheduler_.run(*commands_); }
    void wait(uint64_t value) { scheduler_.wait(value); }

  private:
    static constexpr uint64_t kBytes = 4 * kMiB;
    Arena arena_;
    std::unique_ptr<CommandBuffer> commands_;
    Scheduler scheduler_;
};

TEST_F(DeviceTest, ADeviceThatDoesNotFinishInTimeHasFailedForGood) {
    const ScopedVariable variable("VKMOE_GPU_TIMEOUT", "0.0001");
    const std::shared_ptr<Device> own = Device::create();
    auto work = std::make_unique<SlowWork>(own);
    expect_error(ErrorCode::kDeviceLost, {own->caps().name, "within 0.0001 s", "VKMOE_GPU_TIMEOUT"},
                 [&] { work->run(); });
    const auto refuses = [&](auto call) {
        expect_error(ErrorCode::kDeviceLost, {"has failed", "within 0.0001 s", "load the model again"}, call);
    };
    refuses([&] { work->submit(); });
    refuses([&] { work->wait(1); });
    refuses([&] { own->wait_idle(); });
    refuses([&] { Arena(own, MemoryKind::kDevice, "new").allocate(100); });
    work.reset();  // frees nothing that is in flight: the validation layer would say so
    EXPECT_TRUE(own->may_free());
    EXPECT_EQ(own->device_memory_taken(), 0) << "the work is done, and its memory freed";
}

TEST_F(DeviceTest, ALostDeviceStaysLost) {
    for (const char* plan : {"device_lost:at=1:times=1", "device_lost:at=2:times=1"}) {
        const std::shared_ptr<Device> own = Device::create();
        SlowWork work(own);
        work.run();
        {
            const ScopedFaults faults(plan);  // at the submission, and at the wait for it
            expect_error(ErrorCode::kDeviceLost, {"the device was lost"}, [&] { work.run(); });
        }
        expect_error(ErrorCode::kDeviceLost, {"has failed", "the device was lost"}, [&] { work.run(); });
    }
}

TEST_F(DeviceTest, ARefusedSubmissionAndAFailedWaitPass) {
    SlowWork work(shared_device());
    for (const char* plan : {"submit:times=1", "wait:times=1"}) {
        const ScopedFaults faults(plan);
        expect_error(ErrorCode::kOutOfMemory, {"out of host memory"}, [&] { work.run(); });
        work.run();
    }
    EXPECT_FALSE(device().has_failed());
}

TEST_F(DeviceTest, DevicesAreChosenByIndexAndByWordsOfTheirName) {
    const std::shared_ptr<Instance> instance = Instance::create();
    const ScopedVariable none("VKMOE_DEVICE", nullptr);
    EXPECT_EQ(choose_device(*instance, "0"), 0);
    if (instance->physical_devices().size() > 1) GTEST_SKIP() << "names may be those of several devices";
    std::string name = device().caps().name;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char letter) { return static_cast<char>(std::toupper(letter)); });
    EXPECT_EQ(choose_device(*instance, name.substr(0, name.find(' '))), 0);
    expect_error(ErrorCode::kNoDevice, {"no device matches 'hyperdrive'", device().caps().name},
                 [&] { choose_device(*instance, "hyperdrive"); });
    // Digits of the driver's version or the CPU's vector width are in the names of CPU drivers.
    for (const char* digit : {"1", "2", "5"})
        expect_error(ErrorCode::kNoDevice, {device().caps().name}, [&] { choose_device(*instance, digit); });
    expect_error(ErrorCode::kNoDevice, {"'7'", device().caps().name}, [&] { choose_device(*instance, "7"); });
    const ScopedVariable wish("VKMOE_DEVICE", "hyperdrive");
    expect_error(ErrorCode::kNoDevice, {"hyperdrive"}, [&] { choose_device(*instance, ""); });
}

TEST_F(DeviceTest, WithoutADriverItSaysWhatToInstall) {
    const ScopedVariable files("VK_DRIVER_FILES", "/nonexistent");
    const ScopedVariable old_name("VK_ICD_FILENAMES", "/nonexistent");
    expect_error(ErrorCode::kNoDevice, {"no Vulkan driver", "install mesa-vulkan-drivers", "/nonexistent"},
                 [] { Instance::create(); });
}

TEST_F(DeviceTest, UnknownWishesInTheEnvironmentAreErrors) {
    {
        const ScopedVariable path("VKMOE_PATH", "quantum");
        expect_error(ErrorCode::kInvalidArgument, {"VKMOE_PATH=quantum", "scalar, subgroup, dot4"},
                     [] { Device::create(); });
    }
    const ScopedVariable validation("VKMOE_VALIDATION", "maybe");
    expect_error(ErrorCode::kInvalidArgument, {"VKMOE_VALIDATION=maybe"}, [] { Instance::create(); });
}

TEST_F(DeviceTest, AForcedPathReachesThePlan) {
    const ScopedVariable path("VKMOE_PATH", "scalar");
    EXPECT_EQ(Device::create()->plan().path_order, (std::vector<Path>{Path::kScalar}));
}

}  // namespace
}  // namespace vkmoe
