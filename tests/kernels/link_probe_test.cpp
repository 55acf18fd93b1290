#include "experts/link_probe.h"

#include "base/error.h"
#include "kernels/kernel_fixture.h"

#include <chrono>
#include <cstdio>

namespace vkmoe {
namespace {

using LinkProbeTest = KernelTest;

TEST_F(LinkProbeTest, MeasuresWithinReason) {
    const uint64_t taken = context().device().device_memory_taken();
    const auto start = std::chrono::steady_clock::now();
    const LinkSpeed speed = measure_link(context());
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    std::printf("%s, measured in %.0f ms\n", describe(speed).c_str(), elapsed.count() * 1e3);
    // From the slowest driver on a busy machine to the fastest link there is.
    for (double rate : {speed.shader_bytes_per_second, speed.copy_bytes_per_second}) {
        EXPECT_GT(rate, 1e6);
        EXPECT_LT(rate, 1e13);
    }
    EXPECT_GT(speed.round_trip_seconds, 1e-7);
    EXPECT_LT(speed.round_trip_seconds, 1);
    EXPECT_EQ(speed.device_bytes_per_second, 0);
    EXPECT_EQ(context().device().device_memory_taken(), taken) << "memory was kept";
}

TEST_F(LinkProbeTest, StaysWithinTheBudget) {
    Device& device = context().device();
    const uint64_t budget = device.memory_budget();
    for (uint64_t left : {300u << 10, 1u << 20, 5u << 20}) {
        device.set_memory_budget(device.device_memory_taken() + left);
        EXPECT_NO_THROW(measure_link(context())) << left;
        EXPECT_LE(device.device_memory_taken(), device.memory_budget());
    }
    device.set_memory_budget(device.device_memory_taken() + 1);
    EXPECT_THROW(measure_link(context()), Error);
    device.set_memory_budget(budget);
}

TEST_F(LinkProbeTest, MeasuresDeviceMemory) {
    const double rate = measure_device_memory(context());
    std::printf("device memory: %.1f GB/s\n", rate * 1e-9);
    EXPECT_GT(rate, 1e6);
    EXPECT_LT(rate, 1e14);
}

}  // namespace
}  // namespace vkmoe
