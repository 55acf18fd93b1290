#include "kernels/kernel_fixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace vkmoe {
namespace {

constexpr uint64_t kGuardBytes = 256;  // keeps the contents aligned like any allocation
constexpr std::byte kPoison{0xFF};
// Beside inputs NaN as float32, so that what is read past the end spoils the result. Beside outputs a number:
// a NaN that was read there and written on would leave its own bits.
constexpr uint32_t kInputGuard = 0xFFFFA5A5;
constexpr uint32_t kOutputGuard = 0xA5A5A5A5;

uint32_t make_seed() {
    const char* wanted = std::getenv("VKMOE_TEST_SEED");
    if (wanted != nullptr) return static_cast<uint32_t>(std::strtoul(wanted, nullptr, 10));
    return std::random_device{}();
}

void write_guard(std::byte* at, bool is_input) {
    const uint32_t word = is_input ? kInputGuard : kOutputGuard;
    for (uint64_t i = 0; i < kGuardBytes; i += sizeof(word)) std::memcpy(at + i, &word, sizeof(word));
}

/// Offset of the first byte of a guard band that was written over, or -1.
int64_t first_damage(const std::byte* band, bool is_input) {
    std::vector<std::byte> intact(kGuardBytes);
    write_guard(intact.data(), is_input);
    const auto difference = std::mismatch(intact.begin(), intact.end(), band);
    return difference.first == intact.end() ? -1 : difference.first - intact.begin();
}

/// Device, pipelines and scheduler of the process. Gone before main returns: drivers and layers do not like
/// to be called while a process ends.
class GpuEnvironment : public testing::Environment {
  public:
    struct Gpu {
        std::shared_ptr<Device> device = Device::create();
        KernelContext context{device};
        Scheduler scheduler{device};
        std::vector<Path> paths = make_plan(device->caps(), std::nullopt).path_order;
    };
    Gpu& gpu() {
        if (gpu_ == nullptr) gpu_ = std::make_unique<Gpu>();
        return *gpu_;
    }
    void TearDown() override { gpu_.reset(); }

  private:
    std::unique_ptr<Gpu> gpu_;
};

// GoogleTest wants it before the tests start, and owns it.
auto* const environment =
    static_cast<GpuEnvironment*>(testing::AddGlobalTestEnvironment(new GpuEnvironment()));

GpuEnvironment::Gpu& gpu() {
    return environment->gpu();
}

}  // namespace

void Output::fill_bytes(std::span<const std::byte> bytes) {
    assert(bytes.size() <= memory_.size);
    Uploader uploader(device_, bytes.size());
    uploader.copy(memory_, bytes);
    uploader.flush();
}

void Output::read_bytes(std::span<std::byte> bytes) const {
    download(*device_, memory_.slice(0, bytes.size()), bytes);
}

KernelTest::KernelTest() : KernelTest(make_seed()) {}

KernelTest::KernelTest(uint32_t seed)
    : random_(seed), seed_trace_(__FILE__, __LINE__, fmt::format("VKMOE_TEST_SEED={}", seed)) {}

KernelTest::~KernelTest() = default;

KernelContext& KernelTest::context() {
    return gpu().context;
}

Scheduler& KernelTest::scheduler() {
    return gpu().scheduler;
}

std::vector<Path> KernelTest::paths(Op op, TensorType type) {
    std::vector<Path> found;
    for (Path path : gpu().paths)
        for (const KernelBinary& cell : kernel_table())
            if (cell.key == KernelKey{op, type, path}) found.push_back(path);
    EXPECT_FALSE(found.empty()) << "no kernel was built for " << op_name(op) << " of "
                                << tensor_type_info(type).name;
    return found;
}

Allocation KernelTest::upload_bytes(std::span<const std::byte> bytes) {
    return add_buffer({bytes.begin(), bytes.end()}, true);
}

Output KernelTest::output(uint64_t bytes) {
    Output made;
    made.device_ = gpu().device;
    made.memory_ = add_buffer(std::vector<std::byte>(bytes, kPoison), false);
    return made;
}

Allocation KernelTest::add_buffer(std::vector<std::byte> contents, bool is_input) {
    if (arena_ == nullptr) arena_ = std::make_unique<Arena>(gpu().device, MemoryKind::kDevice, "kernel test");
    Buffer buffer;
    buffer.size = contents.size();
    std::vector<std::byte> image(kGuardBytes + contents.size() + kGuardBytes);
    write_guard(image.data(), is_input);
    std::copy(contents.begin(), contents.end(), image.data() + kGuardBytes);
    write_guard(image.data() + kGuardBytes + contents.size(), is_input);
    buffer.whole = arena_->allocate(image.size());
    Uploader uploader(gpu().device, image.size());
    uploader.copy(buffer.whole, image);
    uploader.flush();
    buffer.is_input = is_input;
    if (is_input) buffer.contents = std::move(contents);
    buffers_.push_back(std::move(buffer));
    return buffers_.back().whole.slice(kGuardBytes, buffers_.back().size);
}

void KernelTest::run(std::span<const Dispatch> dispatches) {
    scheduler().run(dispatches);
    check_buffers(n_checked_);
    n_checked_ = buffers_.size();
}

void KernelTest::TearDown() {
    check_buffers();
}

void KernelTest::check_buffers(size_t first) {
    for (size_t i = first; i < buffers_.size(); ++i) {
        const Buffer& buffer = buffers_[i];
        std::vector<std::byte> image(buffer.whole.size);
        download(*gpu().device, buffer.whole, image);
        const std::byte* contents = image.data() + kGuardBytes;
        const std::string what = fmt::format("buffer {} of the test ({}, {} bytes)", i,
                                             buffer.is_input ? "input" : "output", buffer.size);
        const int64_t before = first_damage(image.data(), buffer.is_input);
        EXPECT_EQ(before, -1) << what << " was written " << kGuardBytes - before << " bytes before its start";
        const int64_t after = first_damage(contents + buffer.size, buffer.is_input);
        EXPECT_EQ(after, -1) << what << " was written " << after << " bytes past its end";
        const auto changed = std::mismatch(buffer.contents.begin(), buffer.contents.end(), contents);
        EXPECT_TRUE(changed.first == buffer.contents.end())
            << what << " was written at byte " << changed.first - buffer.contents.begin();
    }
}

double nmse(std::span<const double> expected, std::span<const float> actual) {
    assert(expected.size() == actual.size());
    double error = 0;
    double magnitude = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        if (std::isfinite(actual[i]) != std::isfinite(expected[i]))
            return std::numeric_limits<double>::infinity();
        const double difference = actual[i] - expected[i];
        error += difference * difference;
        magnitude += expected[i] * expected[i];
    }
    if (magnitude > 0) return error / magnitude;
    return error == 0 ? 0 : std::numeric_limits<double>::infinity();
}

}  // namespace vkmoe
