#pragma once

#include "conformance/guarded_memory.h"
#include "kernels/kernel_table.h"
#include "sched/scheduler.h"

#include <array>
#include <functional>
#include <initializer_list>
#include <memory>
#include <random>
#include <span>
#include <string_view>
#include <vector>

namespace vkmoe::conformance {

/// What cases run on, one after the other: kernels, a queue of work and memory of their own. Several benches
/// may share the kernels, each on its own thread.
struct Bench {
    explicit Bench(KernelContext& context);

    KernelContext& kernels;
    Scheduler scheduler;
    GuardedMemory memory;
    double time_limit = 60;  ///< seconds that one submission may take; beyond it, the device counts as hung
    /// Called before a case takes large pieces of memory; empty where no other process does so.
    std::function<void()> before_large_pieces;
    /// Called with what a case is about to run, its buffers being on the device, for tests of the dispatches.
    /// Leaves the buffers as they are; empty where nobody looks.
    std::function<void(std::span<const Dispatch>)> before_run;
};

/// Device memory that a kernel writes, between guard bands. Valid until the end of its case.
class Output {
  public:
    Output() = default;
    Output(GuardedMemory& owner, const Allocation& memory) : owner_(&owner), memory_(memory) {}

    uint64_t address() const { return memory_.address; }
    uint64_t bytes() const { return memory_.size; }
    const Allocation& memory() const { return memory_; }

    /// The first values of it; the rest keeps its poison.
    template <typename T>
    void fill(const std::vector<T>& values) {
        owner_->write(memory_, std::as_bytes(std::span(values)));
    }
    template <typename T>
    std::vector<T> read() const {
        std::vector<T> values(memory_.size / sizeof(T));
        owner_->read(memory_, std::as_writable_bytes(std::span(values)));
        return values;
    }

  private:
    GuardedMemory* owner_ = nullptr;
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

/// What one case has to do with. A case reads like this:
///
///     const std::vector<float> rows = ...c.random()...;
///     Args args;
///     args.input = c.upload(rows).address;   // a copy in device memory, between guard bands
///     auto sums = c.output<float>(count);    // poisoned (NaN), between guard bands
///     args.output = sums.address();
///     args.path = cell.path;
///     c.run({add(c.kernels(), args)});       // waits; checks guard bands, and that inputs are unchanged
///     check_nmse("sums", expected, sums.read(), 1e-6);
class CaseContext {
  public:
    /// Forgets the buffers of the case before.
    CaseContext(Bench& bench, uint32_t seed);

    KernelContext& kernels() { return bench_.kernels; }
    const DevicePlan& plan() const { return bench_.kernels.plan(); }
    Scheduler& scheduler() { return bench_.scheduler; }
    std::mt19937& random() { return random_; }

    /// A copy of the values in device memory. Kernels must only read it.
    template <typename T>
    Allocation upload(const std::vector<T>& values) {
        return upload_bytes(std::as_bytes(std::span(values)));
    }
    Allocation upload_bytes(std::span<const std::byte> bytes) { return bench_.memory.add_input(bytes); }

    /// Room for n values, poisoned: every bit set, which is NaN as a float and -1 as an integer.
    template <typename T>
    TypedOutput<T> output(size_t n) {
        return TypedOutput<T>(output(n * sizeof(T)));
    }
    Output output(uint64_t bytes) { return {bench_.memory, bench_.memory.add_output(bytes)}; }

    /// Runs them in order and waits; then checks all buffers. Error(kDeviceLost) when the time limit passes.
    void run(std::span<const Dispatch> dispatches);
    void run(std::initializer_list<Dispatch> dispatches) {
        run(std::span<const Dispatch>(dispatches.begin(), dispatches.size()));
    }
    /// Uninitialized device memory without guard bands, until the end of the case: for what is too large to
    /// be filled. CaseSkipped where the device cannot give it.
    Allocation reserve(uint64_t bytes);
    /// Two such pieces of a size, the second more than 4 GiB behind the first.
    std::array<Allocation, 2> reserve_distant(uint64_t bytes);
    /// Writes the first bytes of a reserved piece.
    void fill(const Allocation& reserved, std::span<const std::byte> bytes);

    /// Checks guard bands and inputs.
    void check_buffers() { bench_.memory.check(); }
    /// Brings inputs and poison to the device now: for what does not go through run().
    void upload_now() { bench_.memory.upload(); }

  private:
    Bench& bench_;
    std::mt19937 random_;
    std::unique_ptr<Arena> reserved_;
};

}  // namespace vkmoe::conformance
