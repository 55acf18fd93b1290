#pragma once

#include <CLI/CLI.hpp>

namespace vkmoe::cli {

// One file a subcommand. Each adds itself to the program; its work is done in the subcommand's callback,
// which throws when it fails.
void add_devices_command(CLI::App& app);
void add_inspect_command(CLI::App& app);
void add_tokenize_command(CLI::App& app);
void add_run_command(CLI::App& app);
void add_plan_command(CLI::App& app);
void add_logits_command(CLI::App& app);
void add_perplexity_command(CLI::App& app);
void add_bench_command(CLI::App& app);
void add_routes_command(CLI::App& app);
void add_pager_sim_command(CLI::App& app);
void add_synth_command(CLI::App& app);
void add_conformance_command(CLI::App& app);

}  // namespace vkmoe::cli
