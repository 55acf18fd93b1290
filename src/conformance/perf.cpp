#include "conformance/perf.h"

#include "base/error.h"
#include "conformance/activations.h"
#include "conformance/compile.h"
#include "conformance/experts.h"
#include "conformance/matrix_product.h"
#include "kernels/expert_matmul.h"
#include "kernels/expert_matvec_sum.h"
#include "kernels/linear_shape.h"
#include "kernels/matmul.h"
#include "kernels/product_choice.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <limits>
#include <numeric>
#include <set>

namespace vkmoe::conformance {
namespace {

constexpr int kRuns = 5;
constexpr uint64_t kCopyBytes = 256ull << 20;

/// A launch to measure, and what it moves and computes.
struct Work {
    uint32_t n_tokens = 0;
    std::string form;
    std::string shape;
    std::vector<Dispatch> dispatches;
    double bytes = 0;
    double operations = 0;
    bool is_bound_by_memory = false;
};

/// Tokens by each weight, up to which memory bounds a product.
constexpr double kMostBoundByMemory = 8;

/// Of a model of some 30 billion weights, as far as they show: few tokens by a matrix larger than most
/// caches, many by one of attention, and a fourth of a layer's experts.
struct Shapes {
    uint32_t n_decode_rows = 32768;
    uint32_t n_rows = 4096;
    uint32_t n_columns = 2048;
    uint32_t n_experts = 32;
    uint32_t n_expert_rows = 768;
    uint32_t n_slots = 8;
    uint32_t n_tokens = 512;  // of a prompt
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

    /// Whether a step of so many tokens takes the cell's operation.
    bool takes(const KernelKey& cell, uint32_t n_tokens) const {
        switch (cell.op) {
            case Op::kMatvec:
            case Op::kMatmul:
                return dense_op(case_.plan(), cell.type, n_tokens, cell.path) == cell.op;
            case Op::kExpertMatvec:
            case Op::kExpertMatmul:
                return expert_op(choice(cell, n_tokens).gate_up) == cell.op;
            case Op::kExpertMatvecSum:
                return choice(cell, n_tokens).down == ExpertForm::kPairs;
            default:
                return false;
        }
    }

    /// Of a cell that a step of so many tokens takes. It lasts until the next Bencher is made.
    Work work(const KernelKey& cell, uint32_t n_tokens) {
        if (cell.op == Op::kMatvec || cell.op == Op::kMatmul) return product(cell, n_tokens);
        if (cell.op == Op::kExpertMatvecSum) return sum_of_experts(cell, n_tokens);
        const ExpertChoice chosen = choice(cell, n_tokens);
        return chosen.gate_up == ExpertForm::kPairs ? pairs(cell, n_tokens)
                                                    : sorted_pairs(cell, n_tokens, chosen.tile_tokens);
    }

  private:
    ExpertShape expert_shape(uint32_t n_tokens) const {
        return {shapes_.n_experts, n_tokens, shapes_.n_slots, shapes_.n_expert_rows, shapes_.n_columns};
    }

    ExpertChoice choice(const KernelKey& cell, uint32_t n_tokens) const {
        return choose_experts(case_.plan(),
                              {.gate_type = cell.type,
                               .up_type = cell.type,
                               .down_type = cell.type,
                               .n_embedding = shapes_.n_columns,
                               .n_feed_forward = shapes_.n_expert_rows,
                               .n_experts = shapes_.n_experts,
                               .n_used = shapes_.n_slots},
                              n_tokens, cell.path);
    }

    StoredActivations activations(const KernelKey& cell, uint32_t n_rows, uint32_t n_columns) {
        return random_stored_activations(case_.random(), cell.path, n_rows, n_columns);
    }

    Work product(const KernelKey& cell, uint32_t n_tokens) {
        const bool is_few = cell.op == Op::kMatvec;
        const uint32_t n_rows = is_few ? shapes_.n_decode_rows : shapes_.n_rows;
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
        if (const uint64_t bytes = split_sums_bytes(case_.plan()); bytes != 0)
            args.split_sums = case_.output<float>(bytes / sizeof(float)).memory();
        args.path = cell.path;
        Work work;
        work.n_tokens = n_tokens;
        work.form = is_few ? "registers" : "tiles";
        work.shape = fmt::format("{} x {}", args.n_rows, args.n_columns);
        work.dispatches = linear_product(kernels_, args);
        work.bytes = static_cast<double>(weights.bytes.size() + x.bytes.size()) + 4.0 * n_tokens * n_rows;
        work.operations = 2.0 * n_tokens * n_rows * shapes_.n_columns;
        work.is_bound_by_memory = n_tokens <= kMostBoundByMemory;
        return work;
    }

    /// Each token's experts, all different.
    std::vector<uint32_t> random_routes(const ExpertShape& shape) {
        std::vector<uint32_t> experts(shape.n_experts);
        std::iota(experts.begin(), experts.end(), 0);
        std::vector<uint32_t> ids;
        for (uint32_t token = 0; token < shape.n_tokens; ++token)
            std::ranges::sample(experts, std::back_inserter(ids), shape.n_slots, case_.random());
        return ids;
    }

    ExpertInputs inputs(const KernelKey& cell, const ExpertShape& shape) {
        ExpertInputs inputs = random_expert_inputs(case_, cell, shape, shape.n_slots);
        inputs.ids = random_routes(shape);
        return inputs;
    }

    Work pairs(const KernelKey& cell, uint32_t n_tokens) {
        const ExpertShape shape = expert_shape(n_tokens);
        const ExpertInputs in = inputs(cell, shape);
        auto args = expert_args<ExpertMatvecArgs>(case_, cell, shape, in);
        args.y = case_.output<float>(size_t{shape.n_pairs()} * shape.n_rows).address();
        args.gated = true;
        return expert_work("pairs", cell, shape, in.ids, {expert_matvec(kernels_, args)}, 2,
                           in.x.bytes.size());
    }

    Work sum_of_experts(const KernelKey& cell, uint32_t n_tokens) {
        const ExpertShape shape = expert_shape(n_tokens);
        const StoredExperts experts = upload_experts(case_, cell.type, shape);
        const StoredActivations x = activations(cell, shape.n_pairs(), shape.n_columns);
        const std::vector<uint32_t> ids = random_routes(shape);
        ExpertMatvecSumArgs args;
        args.type = cell.type;
        args.experts = experts.table;
        args.ids = case_.upload(ids).address;
        args.weights = case_.upload(std::vector<float>(shape.n_pairs(), 0.125f)).address;
        args.x = case_.upload(x.bytes).address;
        args.y = case_.output<float>(size_t{n_tokens} * shape.n_rows).address();
        args.offset = experts.offsets[0];
        args.n_rows = shape.n_rows;
        args.n_columns = shape.n_columns;
        args.n_tokens = n_tokens;
        args.n_slots = shape.n_slots;
        args.path = cell.path;
        return expert_work("pairs", cell, shape, ids, {expert_matvec_sum(kernels_, args)}, 1, x.bytes.size());
    }

    Work sorted_pairs(const KernelKey& cell, uint32_t n_tokens, uint32_t tile_tokens) {
        const ExpertShape shape = expert_shape(n_tokens);
        const ExpertInputs in = inputs(cell, shape);
        auto args = expert_args<ExpertMatmulArgs>(case_, cell, shape, in);
        args.in_registers = cell.op == Op::kExpertMatvec;
        args.tile_tokens = tile_tokens;
        args.grouped = group_pairs(case_, cell, in, shape, args.tile_tokens);
        args.first_y = case_.output<float>(size_t{shape.n_pairs()} * shape.n_rows).address();
        args.gated = args.in_registers || expert_matmul_gates(case_.plan(), cell.path);
        args.dispatch = args.gated ? kGated : kTwoMatrices;
        if (!args.gated)
            args.second_y = case_.output<float>(size_t{shape.n_pairs()} * shape.n_rows).address();
        return expert_work(args.in_registers ? "registers" : "tiles", cell, shape, in.ids,
                           {expert_matmul(kernels_, args)}, 2, in.x.bytes.size());
    }

    Work expert_work(std::string form, const KernelKey& cell, const ExpertShape& shape,
                     const std::vector<uint32_t>& ids, std::vector<Dispatch> dispatches, uint32_t n_matrices,
                     size_t activation_bytes) const {
        const size_t n_read = std::set<uint32_t>(ids.begin(), ids.end()).size();
        const auto matrix = static_cast<double>(row_bytes(cell.type, shape.n_columns) * shape.n_rows);
        Work work;
        work.n_tokens = shape.n_tokens;
        work.form = std::move(form);
        work.shape = fmt::format("{} x {}, {} of {} experts", shape.n_rows, shape.n_columns, shape.n_slots,
                                 shape.n_experts);
        work.dispatches = std::move(dispatches);
        work.bytes = matrix * n_matrices * static_cast<double>(n_read) +
                     static_cast<double>(activation_bytes) +
                     4.0 * n_matrices * shape.n_pairs() * shape.n_rows;
        work.operations = 2.0 * n_matrices * shape.n_pairs() * shape.n_rows * shape.n_columns;
        work.is_bound_by_memory = shape.n_pairs() <= kMostBoundByMemory * static_cast<double>(n_read);
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

std::string rate_text(double rate) {
    return fmt::format("{:.{}f}", rate, rate < 10 ? 2 : rate < 1000 ? 1 : 0);
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
                                  const SpeedOptions& options) {
    std::vector<Speed> speeds;
    if (!missing_for_kernels(kernels.plan(), cell.path).empty()) return speeds;
    if (!options.other_paths && !is_planned(kernels.plan(), cell)) return speeds;
    std::vector<uint32_t> n_tokens = options.n_tokens;
    if (n_tokens.empty()) n_tokens = {1, shapes_for(kernels.device().caps()).n_tokens};
    for (const uint32_t n : n_tokens) {
        Bencher bencher(kernels, bench);
        if (!bencher.takes(cell, n)) continue;
        const Work work = bencher.work(cell, n);
        Speed& speed = speeds.emplace_back();
        speed.cell = cell;
        speed.n_tokens = work.n_tokens;
        speed.form = work.form;
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
                          const SpeedOptions& options, const RunProgress& progress) {
    Bench bench(kernels);
    SpeedReport report;
    report.copy_gigabytes = report.best_gigabytes = copy_speed(kernels);
    for (size_t i = 0; i < cells.size(); ++i) {
        if (progress) progress(i, cells.size(), cell_name(cells[i]));
        for (const Speed& speed : measure_speeds(kernels, bench, cells[i], options)) add_speed(report, speed);
    }
    return report;
}

double share_of_peak(const SpeedReport& report, const Speed& speed) {
    return speed.is_bound_by_memory ? speed.gigabytes / report.best_gigabytes
                                    : speed.teraflops / report.best_teraflops;
}

std::string speed_table(const SpeedReport& report) {
    if (report.speeds.empty())
        return "no kernel speed was measured: no step takes one of these kernels for these numbers of "
               "tokens\n\n";
    std::string text = fmt::format("{:<36}{:>7}  {:<10}{:>12}{:>10}{:>12}  {:<15}  {}\n", "kernel speed",
                                   "tokens", "form", "us", "GB/s", "GFLOP/s", "of peak", "shape");
    for (const Speed& speed : report.speeds) {
        const std::string share = fmt::format("{:.0f}% {}", share_of_peak(report, speed) * 100,
                                              speed.is_bound_by_memory ? "memory" : "arithmetic");
        text += fmt::format("{:<36}{:>7}  {:<10}{:>12.1f}{:>10}{:>12}  {:<15}  {}\n", cell_name(speed.cell),
                            speed.n_tokens, speed.form, speed.seconds * 1e6, rate_text(speed.gigabytes),
                            rate_text(speed.teraflops * 1000), share, speed.shape);
    }
    text += fmt::format(
        "peak: memory {:.1f} GB/s, the higher of a driver copy ({:.1f} GB/s, reads and writes) and the "
        "fastest kernel above; arithmetic {} GFLOP/s, the fastest kernel above\n\n",
        report.best_gigabytes, report.copy_gigabytes, rate_text(report.best_teraflops * 1000));
    return text;
}

}  // namespace vkmoe::conformance
