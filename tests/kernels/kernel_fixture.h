#pragma once

// What kernel tests stand on.
//
//   TEST_F(KernelTest, AddsRows) {
//       const std::vector<float> input = ...random()...;
//       for (Path path : paths(Op::kAdd)) {
//           Args args;
//           args.input = upload(input).address;   // a copy in device memory, between guard bands
//           auto sums = output<float>(count);     // poisoned (NaN), between guard bands
//           args.output = sums.address();
//           args.path = path;
//           run({add(context(), args)});
//           EXPECT_LE(nmse(expected, sums.read()), 1e-6);
//       }
//   }
//
// Guard bands of all buffers are checked after every run(); inputs must not have changed by then either.
// random() is seeded anew for each test; the seed is printed when it fails, and VKMOE_TEST_SEED=N repeats it.
// Device, pipelines and scheduler are made once a process; buffers live until the end of their test.

#include "kernels/kernel_table.h"
#include "sched/scheduler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace vkmoe {

/// Device memory that a kernel writes, between guard bands. Valid until the end of its test.
class Output {
  public:
    Output() = default;

    uint64_t address() const { return memory_.address; }
    uint64_t bytes() const { return memory_.size; }
    const Allocation& memory() const { return memory_; }

    /// The first values of it; the rest keeps its poison.
    template <typename T>
    void fill(const std::vector<T>& values) {
        fill_bytes(std::as_bytes(std::span(values)));
    }
    template <typename T>
    std::vector<T> read() const {
        std::vector<T> values(memory_.size / sizeof(T));
        read_bytes(std::as_writable_bytes(std::span(values)));
        return values;
    }

  protected:
    friend class KernelTest;
    void fill_bytes(std::span<const std::byte> bytes);
    void read_bytes(std::span<std::byte> bytes) const;

    std::shared_ptr<Device> device_;
    Allocation memory_;
};

/// An Output of values of one type.
template <typename T>
class TypedOutput : public Output {
  public:
    TypedOutput() = default;
    explicit TypedOutput(const Output& output) : Output(output) {}
    std::vector<T> read() const { return Output::read<T>(); }
};

class KernelTest : public testing::Test {
  protected:
    KernelTest();
    ~KernelTest() override;

    KernelContext& context();
    Scheduler& scheduler();
    std::mt19937& random() { return random_; }

    /// The paths that were built for a kernel and that the device can run, whatever VKMOE_PATH says.
    std::vector<Path> paths(Op op, TensorType type = TensorType::kF32);

    /// A copy of the values in device memory. Kernels must only read it.
    template <typename T>
    Allocation upload(const std::vector<T>& values) {
        return upload_bytes(std::as_bytes(std::span(values)));
    }
    Allocation upload_bytes(std::span<const std::byte> bytes);
    /// upload's device address, from any contiguous range.
    template <typename T>
    uint64_t input(std::span<const T> values) {
        return upload_bytes(std::as_bytes(values)).address;
    }

    /// Room for n values, poisoned: every bit set, which is NaN as a float and -1 as an integer.
    template <typename T>
    TypedOutput<T> output(size_t n) {
        return TypedOutput<T>(output(n * sizeof(T)));
    }
    Output output(uint64_t bytes);

    /// Runs them in order and waits; then checks the buffers that came since the last run.
    void run(std::span<const Dispatch> dispatches);
    void run(std::initializer_list<Dispatch> dispatches) {
        run(std::span<const Dispatch>(dispatches.begin(), dispatches.size()));
    }
    /// Checks guard bands and inputs, from the first-th buffer of the test on.
    void check_buffers(size_t first = 0);
    void TearDown() override;

  private:
    explicit KernelTest(uint32_t seed);

    struct Buffer {
        Allocation whole;   // guard band, contents, guard band
        uint64_t size = 0;  // bytes of the contents
        bool is_input = false;
        std::vector<std::byte> contents;  // of an input; empty for an output
    };
    Allocation add_buffer(std::vector<std::byte> contents, bool is_input);

    std::mt19937 random_;
    testing::ScopedTrace seed_trace_;
    std::unique_ptr<Arena> arena_;
    std::vector<Buffer> buffers_;
    size_t n_checked_ = 0;
};

/// Squared error over squared magnitude; infinite when a value is not finite where one was expected, or where
/// all should be zero and are not.
double nmse(std::span<const double> expected, std::span<const float> actual);

}  // namespace vkmoe
