#include "cli/conformance_compile.h"

#include "base/input_file.h"
#include "base/standard_streams.h"
#include "cli/console.h"
#include "cli/options.h"
#include "cli/report_file.h"
#include "conformance/compile.h"
#include "conformance/report_diff.h"
#include "gpu/validation.h"
#include "vkmoe/vkmoe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace vkmoe::cli {
namespace {

using namespace vkmoe::conformance;

/// The shape that stands for all where --shapes is not given: its matrices and heads are of usual sizes.
constexpr std::string_view kUsualShape = "Qwen3-30B-A3B";

/// Caches of shaders that drivers keep on disk: with them compile times would be those of reading a file.
/// Each driver looks at its variable when it is loaded.
struct DriverCache {
    const char* variable;
    const char* value;
    const char* driver;
};
constexpr DriverCache kDriverCaches[] = {
    {"MESA_SHADER_CACHE_DISABLE", "true", "Mesa's"},
    {"__GL_SHADER_DISK_CACHE", "0", "NVIDIA's"},
};

void disable_driver_caches() {
    for (const DriverCache& cache : kDriverCaches) setenv(cache.variable, cache.value, 0);
}

std::vector<Step> wanted_steps(bool all_shapes) {
    std::vector<Step> steps;
    for (const PublishedShape& shape : published_shapes()) {
        if (!all_shapes && shape.name != kUsualShape) continue;
        const std::vector<Step> of_shape = steps_of(shape);
        steps.insert(steps.end(), of_shape.begin(), of_shape.end());
    }
    return steps;
}

void print_header(const RunFacts& facts) {
    std::string text;
    for (const auto& [key, value] : device_header(facts)) text += fmt::format("{:<18} {}\n", key, value);
    StandardOutput().write(text + '\n');
}

std::string read_report(const std::string& path) {
    const std::vector<std::byte> bytes = read_whole_file(path);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Ends the subcommand with exit code 1 where the report is bad.
void judge(const PipelineReport& report) {
    const PipelineCounts counts = count_pipelines(report);
    if (const uint64_t errors = validation_error_count(); errors != 0)
        throw std::runtime_error(fmt::format(
            "the validation layer reported {} errors (see the lines that begin with 'validation: ')",
            errors));
    if (counts.failed != 0)
        throw std::runtime_error(fmt::format("{} of {} pipelines failed", counts.failed, counts.done));
    if (counts.spilling_in_plan != 0)
        throw std::runtime_error(fmt::format("{} pipelines of this device's plan spill registers to memory",
                                             counts.spilling_in_plan));
}

}  // namespace

void add_compile_options(CLI::App& command, CompileOnlyOptions& options) {
    CLI::Option* compile = command.add_flag(
        "--compile-only", options.wanted,
        "Create the pipelines of this device's plan without running them, and report compile times. The exit "
        "code is 1 if a pipeline fails or, with --statistics, if one of the plan spills registers");
    for (const char* of_runs :
         {"--quick", "--full", "--junit", "--perf", "--seed", "--case-timeout", "--in-process", "--list"})
        compile->excludes(command.get_option(of_runs));
    const auto add = [&](const char* name, bool& flag, const char* description) {
        command.add_flag(name, flag, description)->needs(compile);
    };
    add("--statistics", options.statistics,
        "Also report registers, spills, shared memory, occupancy and code size, as the driver states them");
    add("--shapes", options.shapes,
        "Create the pipelines for all published models that synth knows instead of one usual shape");
    add("--all-paths", options.all_paths,
        "Create the pipelines of every path that the device supports; those outside of the plan do not "
        "affect the exit code when they spill");
    command
        .add_option(
            "--diff", options.diff,
            "Compare two JSON reports and run nothing; the exit code is 1 if something fails or spills "
            "only in the second. No other option may be given")
        ->expected(2)
        ->check(existing_file())
        ->type_name("FILE");
}

void compile_only(const CompileOnlyOptions& options, const CompileOnlyRun& run) {
    ReportFile json(run.json);
    disable_driver_caches();
    KernelContext kernels(Device::create(run.device, {.capture_statistics = options.statistics}),
                          KernelUse::kCompileOnly);
    const Device& device = kernels.device();
    CompileOptions compile;
    compile.cells = run.cells;
    if (!options.all_paths && !run.names_paths)
        std::erase_if(compile.cells,
                      [&](const KernelKey& cell) { return !is_planned(kernels.plan(), cell); });
    compile.steps = wanted_steps(options.shapes);

    PipelineReport report;
    report.facts.version = vkmoe_version();
    report.facts.date = date_now();
    report.facts.device = run.device;
    report.facts.caps = device.caps();
    report.statistics = !options.statistics            ? StatisticsState::kNotWanted
                        : device.captures_statistics() ? StatisticsState::kTold
                                                       : StatisticsState::kNotTold;
    print_header(report.facts);
    catch_interrupts();
    const auto write_reports = [&] {
        StandardOutput().write(text_report(report));
        json.write([&] { return json_report(report); });
    };
    try {
        Progress progress("compiling");
        compile_pipelines(
            kernels, compile,
            [&](size_t done, size_t total, std::string_view pipeline) {
                progress.update(static_cast<double>(done) / static_cast<double>(std::max<size_t>(total, 1)),
                                fmt::format("{} of {}  {}", done, total, pipeline));
            },
            report);
    } catch (const Interrupted& interrupted) {
        report.ended = interrupted.what();
        write_reports();
        throw;
    }
    write_reports();
    judge(report);
}

void print_report_diff(const CLI::App& command, const std::vector<std::string>& files) {
    // Not by CLI::Option::excludes: the help would say so at every option.
    for (const CLI::Option* option : command.get_options())
        if (option->count() != 0 && option->get_name() != "--diff")
            throw CLI::ExcludesError("--diff", option->get_name());
    const std::string& before = files.front();
    const std::string& after = files.back();
    const StoredReport first = parse_report(read_report(before), before);
    const StoredReport second = parse_report(read_report(after), after);
    const ReportDiff diff = diff_reports(first, second);
    StandardOutput().write(fmt::format("first:  {}\nsecond: {}\n\n{}", first.run, second.run, diff.text));
    if (diff.is_worse)
        throw std::runtime_error(fmt::format("'{}' fails or spills where '{}' did not", after, before));
}

}  // namespace vkmoe::cli
