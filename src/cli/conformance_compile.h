#pragma once

#include "kernels/kernel_table.h"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace vkmoe::cli {

/// --compile-only, the options that go with it, and --diff.
struct CompileOnlyOptions {
    bool wanted = false;
    bool statistics = false;
    bool shapes = false;
    bool all_paths = false;
    std::vector<std::string> diff;  ///< two files, or none
};

/// Adds them to the subcommand, after all others of it.
void add_compile_options(CLI::App& command, CompileOnlyOptions& options);

/// What --device, --op, --type, --path and --json say.
struct CompileOnlyRun {
    std::string device;
    std::vector<KernelKey> cells;
    bool names_paths = false;  ///< --path was given
    std::string json;
};

/// Makes pipelines and prints a report. Throws where any failed, and where one of the plan spills.
void compile_only(const CompileOnlyOptions& options, const CompileOnlyRun& run);

/// Prints how two reports differ. Throws where the second is worse, and where the subcommand was given more
/// than --diff.
void print_report_diff(const CLI::App& command, const std::vector<std::string>& files);

}  // namespace vkmoe::cli
