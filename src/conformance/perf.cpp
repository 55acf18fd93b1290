#include "conformance/perf.h"

#include "base/error.h"
#include "conformance/activations.h"
#include "conformance/experts.h"
#include "conformance/matrix_product.h"
#include "kernels/expert_matmul.h"
#include "kernels/expert_matvec_sum.h"
#include "kernels/linear_shape.h"
#include "kernels/matmul.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace vkmoe::conformance {
namespace {

constexpr int kRuns = 5;
constexpr uint64_t kCopyBytes = 256ull << 20;

/// A launch to measure, and what it moves and computes.
struct Work {
    std::string shape;
    std::vector<Dispatch> dispatches;
    double bytes = 0;
    double operations = 0;
    bool is_bound_by_memory = false;
};

/// Of a model of some 30 billion weights, as far as they show: few tokens by a matrix larger than most
/// caches, many by one of attention, and a fourth of a layer's experts.
struct Shapes {
    uint32_t n_decode_rows = 32768;
    uint32_t n_rows = 4096;
    uint32_t n_columns = 2048;
    uint32_t n_experts = 32;
    uint32_t n_expert_rows = 768;
    uint32_t n_slots = 8;
    uint32_t n_tokens = 512;  // of the kernels for many
};

Shapes shapes_for(const DeviceCaps& caps) {
    Shapes shapes;
    if (caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU) {
        // Minutes would not tell more.
        shapes.n_decode_rows = 8192;
        shapes.n_rows = 2048;
        shapes.n_experts = 16;
        shapes.n_tokens = 64;
    }
    return shapes;
}

class Bencher {
  public:
    Bencher(KernelContext& kernels, Bench& bench)
        : kernels_(kernels), case_(bench, 1), shapes_(shapes_for(kernels.device().caps())) {}

    /// Nothing for ops that are no matrix kernels.
    std::vector<Work> works(const KernelKey& cell, std::vector<uint32_t> n_tokens) {
        if (n_tokens.empty()) n_tokens = {shapes_.n_tokens};
        std::vector<Work> works;
        switch (cell.op) {
            case Op::kMatvec:
                return {product(cell, matvec_product, shapes_.n_decode_rows, 1)};
            case Op::kMatmul:
                for (uint32_t n : n_tokens) works.push_back(product(cell, matmul_product, shapes_.n_rows, n));
                return works;
            case Op::kExpertMatvec:
                return {decode_experts(cell)};
            case Op::kExpertMatvecSum:
                return {decode_sum(cell)};
            case Op::kExpertMatmul:
                for (uint32_t n : n_tokens) works.push_back(prefill_experts(cell, n));
                return works;
            default:
                return {};
        }
    }

  private:
    StoredActivations activations(const KernelKey& cell, uint32_t n_rows, uint32_t n_columns) {
        return random_stored_activations(case_.random(), cell.path, n_rows, n_columns);
    }

    Work product(const KernelKey& cell, ProductKernel kernel, uint32_t n_rows, uint32_t n_tokens) {
        const StoredMatrix weights = random_matrix(case_.random(), cell.type, n_rows, shapes_.n_columns);
        const StoredActivations x = activations(cell, n_tokens, shapes_.n_columns);
        MatmulArgs args;
        args.type = cell.type;
        args.weights = case_.upload(weights.bytes).address;
        args.x = case_.upload(x.bytes).address;
        args.y = case_.output<float>(size_t{n_tokens} * n_rows).address();
        args.n_rows = n_rows;
        args.n_columns = shapes_.n_columns;
        args.n_tokens = n_tokens;
        args.path = cell.path;
        Work work;
        work.shape = fmt::format("{} x {}, {} token{}", args.n_rows, args.n_columns, n_tokens,
                                 n_tokens == 1 ? "" : "s");
        work.dispatches = kernel(kernels_, args);
        work.bytes = static_cast<double>(weights.bytes.size() + x.bytes.size()) + 4.0 * n_tokens * n_rows;
        work.operations = 2.0 * n_tokens * n_rows * shapes_.n_columns;
        work.is_bound_by_memory = cell.op == Op::kMatvec;
        return work;
    }

    ExpertShape expert_shape(uint32_t n_tokens) const {
        return {shapes_.n_experts, n_tokens, shapes_.n_slots, shapes_.n_expert_rows, shapes_.n_columns};
    }

    /// One token's experts, all different, so that each is read once.
    std::vector<uint32_t> decode_ids() const {
        std::vector<uint32_t> ids(shapes_.n_slots);
        for (uint32_t i = 0; i < ids.size(); ++i) ids[i] = i * (shapes_.n_experts / shapes_.n_slots);
        return ids;
    }

    Work decode_experts(const KernelKey& cell) {
        const ExpertShape shape = expert_shape(1);
        ExpertInputs inputs = random_expert_inputs(case_, cell, shape, shape.n_slots);
        inputs.ids = decode_ids();
        auto args = expert_args<ExpertMatvecArgs>(case_, cell, shape, inputs);
        args.y = case_.output<float>(size_t{shape.n_slots} * shape.n_rows).address();
        args.gated = true;
        return expert_work(cell, shape, {expert_matvec(kernels_, args)}, 2, inputs.x.bytes.size());
    }

    Work decode_sum(const KernelKey& cell) {
        const ExpertShape shape = expert_shape(1);
        const StoredExperts experts = upload_experts(case_, cell.type, shape);
        const StoredActivations x = activations(cell, shape.n_slots, shape.n_columns);
        ExpertMatvecSumArgs args;
        args.type = cell.type;
        args.experts = experts.table;
        args.ids = case_.upload(decode_ids()).address;
        args.weights = case_.upload(std::vector<float>(shape.n_slots, 0.125f)).address;
        args.x = case_.upload(x.bytes).address;
        args.y = case_.output<float>(shape.n_rows).address();
        args.offset = experts.offsets[0];
        args.n_rows = shape.n_rows;
        args.n_columns = shape.n_columns;
        args.n_tokens = 1;
        args.n_slots = shape.n_slots;
        args.path = cell.path;
        return expert_work(cell, shape, {expert_matvec_sum(kernels_, args)}, 1, x.bytes.size());
    }

    Work prefill_experts(const KernelKey& cell, uint32_t n_tokens) {
        const ExpertShape shape = expert_shape(n_tokens);
        const ExpertInputs inputs = random_expert_inputs(case_, cell, shape, shape.n_slots);
        auto args = expert_args<ExpertMatmulArgs>(case_, cell, shape, inputs);
        args.tile_tokens =
            expert_tile_tokens(case_.plan(), {cell.path}, shape.n_pairs(), inputs.experts.table.n_experts);
        args.grouped = group_pairs(case_, cell, inputs, shape, args.tile_tokens);
        args.first_y = case_.output<float>(size_t{shape.n_pairs()} * shape.n_rows).address();
        args.gated = expert_matmul_gates(case_.plan(), cell.path);
        args.dispatch = args.gated ? kGated : kTwoMatrices;
        if (!args.gated)
            args.second_y = case_.output<float>(size_t{shape.n_pairs()} * shape.n_rows).address();
        return expert_work(cell, shape, {expert_matmul(kernels_, args)}, 2, inputs.x.bytes.size());
    }

    Work expert_work(const KernelKey& cell, const ExpertShape& shape, std::vector<Dispatch> dispatches,
                     uint32_t n_matrices, size_t activation_bytes) const {
        const uint32_t n_read = std::min(shape.n_pairs(), shape.n_experts);
        const double matrix = static_cast<double>(row_bytes(cell.type, shape.n_columns) * shape.n_rows);
        Work work;
        work.shape =
            fmt::format("{} x {}, {} of {} experts, {} token{}", shape.n_rows, shape.n_columns, shape.n_slots,
                        shape.n_experts, shape.n_tokens, shape.n_tokens == 1 ? "" : "s");
        work.dispatches = std::move(dispatches);
        work.bytes = matrix * n_matrices * n_read + static_cast<double>(activation_bytes) +
                     4.0 * n_matrices * shape.n_pairs() * shape.n_rows;
        work.operations = 2.0 * n_matrices * shape.n_pairs() * shape.n_rows * shape.n_columns;
        work.is_bound_by_memory = cell.op != Op::kExpertMatmul;
        return work;
    }

    KernelContext& kernels_;
    CaseContext case_;
    Shapes shapes_;
};

/// Seconds of the best of some launches, by timestamps.
double best_seconds(KernelContext& kernels, Bench& bench, const std::vector<Dispatch>& dispatches) {
    bench.memory.upload();
    Profiler profiler(kernels.shared_device());
    Scheduler scheduler(kernels.shared_device(), &profiler);
    Recorder recorder(kernels.shared_device(), &profiler);
    recorder.add(dispatches);
    const std::unique_ptr<CommandBuffer> commands = recorder.finish();
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i <= kRuns; ++i) {
        profiler.reset();
        scheduler.run(*commands);
        if (i == 0) continue;  // caches and clocks get warm
        double milliseconds = 0;
        for (const Profiler::Region& region : profiler.regions()) milliseconds += region.milliseconds;
        best = std::min(best, milliseconds / 1000);
    }
    return best;
}

/// A second.
std::string operations_text(double teraflops) {
    return teraflops < 1 ? fmt::format("{:.1f} GF/s", teraflops * 1000)
                         : fmt::format("{:.2f} TF/s", teraflops);
}

}  // namespace

double copy_speed(KernelContext& kernels) {
    Arena arena(kernels.shared_device(), MemoryKind::kDevice, "copies for the measured peak");
    const Allocation from = arena.allocate(kCopyBytes);
    const Allocation to = arena.allocate(kCopyBytes);
    Scheduler scheduler(kernels.shared_device());
    Recorder recorder(kernels.shared_device());
    recorder.copy(from, to);
    const std::unique_ptr<CommandBuffer> commands = recorder.finish();
    double best = 0;
    // By the host's clock: it is long enough.
    for (int i = 0; i <= kRuns; ++i) {
        const auto start = std::chrono::steady_clock::now();
        scheduler.run(*commands);
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
        best = std::max(best, 2.0 * kCopyBytes / elapsed.count());
    }
    return best * 1e-9;
}

std::vector<Speed> measure_speeds(KernelContext& kernels, Bench& bench, const KernelKey& cell,
                                  const std::vector<uint32_t>& n_tokens) {
    std::vector<Speed> speeds;
    if (!missing_for_kernels(kernels.plan(), cell.path).empty()) return speeds;
    Bencher bencher(kernels, bench);
    for (const Work& work : bencher.works(cell, n_tokens)) {
        Speed& speed = speeds.emplace_back();
        speed.cell = cell;
        speed.shape = work.shape;
        speed.is_bound_by_memory = work.is_bound_by_memory;
        speed.seconds = best_seconds(kernels, bench, work.dispatches);
        speed.gigabytes = work.bytes / speed.seconds * 1e-9;
        speed.teraflops = work.operations / speed.seconds * 1e-12;
    }
    return speeds;
}

void add_speed(SpeedReport& report, const Speed& speed) {
    if (speed.is_bound_by_memory) report.best_gigabytes = std::max(report.best_gigabytes, speed.gigabytes);
    report.best_teraflops = std::max(report.best_teraflops, speed.teraflops);
    report.speeds.push_back(speed);
}

SpeedReport measure_cells(KernelContext& kernels, const std::vector<KernelKey>& cells,
                          const std::vector<uint32_t>& n_tokens, const RunProgress& progress) {
    Bench bench(kernels);
    SpeedReport report;
    report.copy_gigabytes = report.best_gigabytes = copy_speed(kernels);
    for (size_t i = 0; i < cells.size(); ++i) {
        if (progress) progress(i, cells.size(), cell_name(cells[i]));
        for (const Speed& speed : measure_speeds(kernels, bench, cells[i], n_tokens))
            add_speed(report, speed);
    }
    return report;
}

double share_of_peak(const SpeedReport& report, const Speed& speed) {
    return speed.is_bound_by_memory ? speed.gigabytes / report.best_gigabytes
                                    : speed.teraflops / report.best_teraflops;
}

std::string speed_table(const SpeedReport& report) {
    std::string text =
        fmt::format("{:<36}{:>12}{:>12}{:>10}  {}\n", "kernel speed", "us", "", "of peak", "shape");
    for (const Speed& speed : report.speeds) {
        const std::string rate = speed.is_bound_by_memory ? fmt::format("{:.1f} GB/s", speed.gigabytes)
                                                          : operations_text(speed.teraflops);
        text += fmt::format("{:<36}{:>12.1f}{:>12}{:>9.0f}%  {}\n", cell_name(speed.cell),
                            speed.seconds * 1e6, rate, share_of_peak(report, speed) * 100, speed.shape);
    }
    text += fmt::format(
        "peak: memory {:.1f} GB/s, the higher of a driver copy ({:.1f} GB/s, reads and writes) and the "
        "fastest kernel above; arithmetic {}, the fastest kernel above\n\n",
        report.best_gigabytes, report.copy_gigabytes, operations_text(report.best_teraflops));
    return text;
}

}  // namespace vkmoe::conformance
