// The main() of every test that uses a GPU: it names the device, and no error of the validation layer passes.

#include "gpu/device.h"
#include "gpu/validation.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    try {
        // Also where VKMOE_VALIDATION=1 is set and the layer is missing: that is an Error here, before any
        // test.
        fmt::print("device: {}\n", vkmoe::Device::create()->caps().name);
        std::fflush(stdout);
    } catch (const std::exception& error) {
        fmt::print(stderr, "no device to test on: {}\n", error.what());
        return 1;
    }
    const int result = RUN_ALL_TESTS();
    if (const uint64_t errors = vkmoe::validation_error_count(); errors > 0) {
        fmt::print(stderr, "FAILED: the validation layer reported {} errors (lines with 'validation: ')\n",
                   errors);
        return 1;
    }
    return result;
}
