#include "conformance/report.h"
#include "conformance/supervisor.h"
#include "conformance/worker.h"

#include "base/error.h"
#include "base/standard_streams.h"
#include "cli/commands.h"
#include "cli/conformance_compile.h"
#include "cli/console.h"
#include "cli/options.h"
#include "cli/output_option.h"
#include "cli/report_file.h"
#include "gpu/validation.h"
#include "vkmoe/vkmoe.h"

#include <fmt/ranges.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace vkmoe::cli {
namespace {

using namespace vkmoe::conformance;

// A submission of a quick case takes milliseconds on a GPU and at most seconds on a CPU driver; those of full
// ones read gigabytes.
constexpr double kQuickLimit = 60;
constexpr double kFullLimit = 600;
// A case has many submissions and pipelines, whose compilation no limit of Vulkan bounds, and its reference.
constexpr uint32_t kQuickCaseLimit = 300;
constexpr uint32_t kFullCaseLimit = 3600;
constexpr uint32_t kMostMeasuredTokens = 4096;

struct ConformanceOptions {
    std::string device;
    std::vector<std::string> ops;
    std::vector<std::string> types;
    std::vector<std::string> paths;
    bool quick = false;
    bool full = false;
    bool list = false;
    bool perf = false;
    std::vector<uint32_t> measured_tokens;
    bool in_process = false;
    bool worker = false;  // what a supervisor starts
    std::optional<uint32_t> case_limit;
    std::optional<uint32_t> seed;
    std::string json;
    std::string junit;
    CompileOnlyOptions compile;
};

std::vector<KernelKey> wanted_cells(const ConformanceOptions& options) {
    try {
        return find_cells(parse_filter(options.ops, options.types, options.paths));
    } catch (const Error& error) {
        throw CLI::ValidationError(error.what());
    }
}

void list_cells(const std::vector<KernelKey>& cells) {
    std::string text;
    for (const KernelKey& cell : cells) text += cell_name(cell) + '\n';
    StandardOutput().write(text);
}

RunOptions run_options(const ConformanceOptions& options) {
    RunOptions run;
    run.depth = options.full ? Depth::kFull : Depth::kQuick;
    run.seed = options.seed ? *options.seed : std::random_device{}();
    run.time_limit = options.full ? kFullLimit : kQuickLimit;
    run.case_limit = options.case_limit.value_or(options.full ? kFullCaseLimit : kQuickCaseLimit);
    run.speeds = {options.measured_tokens, !options.paths.empty()};
    if (std::getenv("VKMOE_GPU_TIMEOUT") != nullptr) run.time_limit = 0;  // that of every wait
    // Layers of 2023 crash when one thread frees commands while another submits (seen with 1.3.239 of the
    // layer).
    if (options.in_process && wanted_validation() == Validation::kSynchronization) run.n_threads = 1;
    return run;
}

std::unique_ptr<Runner> open_runner(const ConformanceOptions& options, const RunOptions& run) {
    if (options.in_process) return run_in_process(options.device, run);
    std::vector<std::string> worker{"vkmoe", "conformance", "--worker", fmt::format("--seed={}", run.seed)};
    if (options.full) worker.push_back("--full");
    if (!run.speeds.n_tokens.empty()) {
        worker.push_back("--perf");
        worker.push_back(fmt::format("--perf-tokens={}", fmt::join(run.speeds.n_tokens, ",")));
    }
    if (!options.paths.empty()) worker.push_back(fmt::format("--path={}", fmt::join(options.paths, ",")));
    if (!options.device.empty()) worker.push_back("--device=" + options.device);
    std::signal(SIGCHLD, SIG_DFL);  // how ignored children end cannot be known
    return run_in_workers(std::move(worker), run);
}

void print_header(const RunFacts& facts) {
    std::string text;
    for (const auto& [key, value] : header(facts)) text += fmt::format("{:<18} {}\n", key, value);
    StandardOutput().write(text + '\n');
}

void measure(Runner& runner, const std::vector<KernelKey>& cells, Report& report) {
    Progress progress("speeds");
    try {
        report.speeds = runner.measure(
            cells,
            [&](size_t done, size_t total, std::string_view cell) {
                progress.update(static_cast<double>(done) / static_cast<double>(total), cell);
            },
            report.result);
    } catch (const Error& error) {
        report.result.problems.push_back(fmt::format("the speeds could not be measured: {}", error.what()));
    }
}

void run_conformance(const CLI::App& command, const ConformanceOptions& options) {
    if (!options.compile.diff.empty()) return print_report_diff(command, options.compile.diff);
    if (options.worker) return serve_cells(options.device, run_options(options));
    const std::vector<KernelKey> cells = wanted_cells(options);
    if (options.list) return list_cells(cells);
    if (options.compile.wanted)
        return compile_only(options.compile, {options.device, cells, !options.paths.empty(), options.json});
    ReportFile json(options.json);
    ReportFile junit(options.junit);

    const RunOptions run = run_options(options);
    const std::unique_ptr<Runner> runner = open_runner(options, run);
    Report report;
    report.facts = {vkmoe_version(), date_now(), options.device, runner->caps(), run};
    print_header(report.facts);
    catch_interrupts();
    const auto write_reports = [&] {
        StandardOutput().write(text_report(report));
        json.write([&] { return json_report(report); });
        junit.write([&] { return junit_report(report); });
    };
    try {
        Progress progress("conformance");
        runner->run(
            cells,
            [&](size_t done, size_t total, std::string_view running) {
                progress.update(static_cast<double>(done) / static_cast<double>(total),
                                fmt::format("{} of {}  {}", done, total, running));
            },
            report.result);
        if (options.perf && report.result.ended.empty()) measure(*runner, cells, report);
        runner->close(report.result);
    } catch (const Interrupted& interrupted) {
        report.result.ended = interrupted.what();
        write_reports();
        throw;
    }
    write_reports();
    if (report.result.device_lost) {
        // What holds the device cannot be destroyed: some of that waits for it.
        print_standard_error("vkmoe: {}\n", report.result.ended);
        std::fflush(nullptr);
        std::_Exit(1);
    }
    if (!report.result.ended.empty()) throw std::runtime_error(report.result.ended);
    if (const uint64_t errors = runner->validation_errors(); errors != 0) {
        throw std::runtime_error(fmt::format(
            "the validation layer reported {} errors (see the lines that begin with 'validation: ')",
            errors));
    }
    size_t failed = 0;
    for (const CellResult& cell : report.result.cells) failed += outcome(cell) == Outcome::kFailed ? 1 : 0;
    if (failed != 0) throw std::runtime_error(fmt::format("{} of {} cells failed", failed, cells.size()));
    if (!report.result.problems.empty()) throw std::runtime_error(report.result.problems.front());
}

}  // namespace

void add_conformance_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand(
        "conformance",
        "Verify that a device computes every kernel correctly, against references in double precision");
    const auto options = std::make_shared<ConformanceOptions>();
    add_device_option(*command, options->device);
    const auto add_names = [&](const char* flag, std::vector<std::string>& names, const char* what) {
        command->add_option(flag, names, what)->delimiter(',')->type_name("NAME,...");
    };
    add_names("--op", options->ops, "Run only these operations");
    add_names("--type", options->types, "Run only these types of weights or of the KV cache");
    add_names("--path", options->paths, "Run only these kernel paths");
    CLI::Option* quick =
        command->add_flag("--quick", options->quick, "Run the cases that find most errors (default)");
    command->add_flag("--full", options->full, "Run more shapes, and buffers beyond 4 GiB")->excludes(quick);
    command->add_option("--json", options->json, "Write the report to FILE as JSON")
        ->check(output_file())
        ->type_name("FILE");
    command->add_option("--junit", options->junit, "Write the report to FILE in JUnit's XML format")
        ->check(output_file())
        ->type_name("FILE");
    CLI::Option* perf =
        command->add_flag("--perf", options->perf,
                          "Also measure the speed of the matrix kernels that the device's plan takes, or of "
                          "those on the paths of --path, on larger shapes");
    command
        ->add_option("--perf-tokens", options->measured_tokens,
                     "With --perf: numbers of tokens; each kernel is measured at those for which a step "
                     "takes it. The default is 1,512, or 1,64 on a CPU")
        ->needs(perf)
        ->delimiter(',')
        ->check(whole_number(1, kMostMeasuredTokens))
        ->type_name("N,...");
    command->add_option("--seed", options->seed, "Seed of all inputs; the default is a new one per run")
        ->check(whole_number(0, UINT32_MAX))
        ->type_name("N");
    CLI::Option* case_limit =
        command
            ->add_option(
                "--case-timeout", options->case_limit,
                "Seconds after which a case that hangs is ended, and its cell fails; the default is 300, or "
                "3600 with --full")
            ->check(whole_number(1, 1U << 24))
            ->type_name("SECONDS");
    command
        ->add_flag("--in-process", options->in_process,
                   "Run all cells in this process, for debuggers: a crash of the driver ends it")
        ->excludes(case_limit);
    command->add_flag("--worker", options->worker)->group("");  // hidden
    command->add_flag("--list", options->list, "List all cells (operation/type/path) without running them");
    add_compile_options(*command, options->compile);
    command->callback([command, options] { run_conformance(*command, *options); });
}

}  // namespace vkmoe::cli
