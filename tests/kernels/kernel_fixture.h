#pragma once

// What tests that use a device stand on: conformance/case_context.h, with a device that is made once a
// process.
//
//   TEST_F(KernelTest, AddsRows) {
//       const std::vector<float> input = ...random()...;
//       Args args;
//       args.input = upload(input).address;   // a copy in device memory, between guard bands
//       auto sums = output<float>(count);     // poisoned (NaN), between guard bands
//       args.output = sums.address();
//       run({add(context(), args)});
//       conformance::check_nmse("sums", expected, sums.read(), 1e-6);
//   }
//
//   const bool registered = register_cells(Op::kAdd);  // a test for every cell of the kernel table
//
// Guard bands and inputs are checked after every run(). random() is seeded anew for each test; the seed is
// printed when it fails, and VKMOE_TEST_SEED=N repeats it.

#include "base/error.h"
#include "conformance/case_context.h"
#include "conformance/check.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <random>
#include <source_location>
#include <span>
#include <vector>

namespace vkmoe {

using conformance::nmse;
using conformance::Output;
using conformance::TypedOutput;

class KernelTest : public testing::Test {
  protected:
    KernelTest();
    ~KernelTest() override;

    KernelContext& context() { return case_.kernels(); }
    /// Buffers that came before the call are on the device when it returns.
    Scheduler& scheduler() {
        case_.upload_now();
        return case_.scheduler();
    }
    std::mt19937& random() { return case_.random(); }
    conformance::CaseContext& test_case() { return case_; }

    /// The paths that were built for a kernel and that the device can run, whatever VKMOE_PATH says.
    std::vector<Path> paths(Op op, TensorType type = TensorType::kF32);

    template <typename T>
    Allocation upload(const std::vector<T>& values) {
        return case_.upload(values);
    }
    template <typename T>
    TypedOutput<T> output(size_t n) {
        return case_.output<T>(n);
    }
    Output output(uint64_t bytes) { return case_.output(bytes); }

    /// One of the cases that only `vkmoe conformance --full` runs, of one cell of the op, by chance: in time
    /// all of them are run, and none of them costs every run its time.
    void run_a_deep_case(Op op);

    /// Expects a kernel to take good arguments. Returns what expects it to throw an Error for those that a
    /// change makes of them:
    ///
    ///     const auto refused = refusing(add, good);
    ///     refused([](AddArgs& args) { args.n_rows = 0; });
    template <typename Result, typename Args>
    auto refusing(Result (*kernel)(KernelContext&, const Args&), const Args& good) {
        EXPECT_NO_THROW(kernel(context(), good));
        return
            [this, kernel, good](auto change, std::source_location where = std::source_location::current()) {
                Args args = good;
                change(args);
                EXPECT_THROW(kernel(context(), args), Error) << "the change at line " << where.line();
            };
    }

    void run(std::span<const Dispatch> dispatches) { case_.run(dispatches); }
    void run(std::initializer_list<Dispatch> dispatches) { case_.run(dispatches); }
    void TearDown() override { case_.check_buffers(); }

  private:
    explicit KernelTest(uint32_t seed);

    testing::ScopedTrace seed_trace_;
    conformance::CaseContext case_;
};

/// Makes a test of every cell of an op in the kernel table: it runs the cases that `vkmoe conformance
/// --quick` runs, and skips what the device cannot do, saying why.
bool register_cells(Op op);
/// The same of an op that shares its decoding and its loops with others and whose kernels compile slowly: in
/// the short form of the test each type of weights on the paths of cooperative matrices and on one other, in
/// turn.
bool register_cells_in_turn(Op op);

}  // namespace vkmoe
