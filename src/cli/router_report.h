#pragma once

#include "base/output_file.h"
#include "vkmoe/vkmoe.h"

#include <CLI/CLI.hpp>

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vkmoe::cli {

/// --router-statistics [FILE]
struct RouterReportOption {
    bool wanted = false;
    std::string file;  // empty: only the table
};
void add_router_report_option(CLI::App& command, RouterReportOption& option);

/// vkmoe_router_statistics of a layer, with its arrays.
struct RouterLayer {
    uint32_t layer = 0;
    std::vector<uint64_t> counts;
    std::vector<double> probabilities;
    vkmoe_router_statistics figures{};
};

/// A line a layer that routed something.
std::string router_table(std::span<const RouterLayer> layers);
/// All figures, an object a layer; what is not finite is null.
std::string router_json(const std::string& model, std::span<const RouterLayer> layers);

/// Prints the figures of load balance to stderr and writes the file, once a session is done.
class RouterReport {
  public:
    /// Opens the file: where it cannot be written this throws, before any work. Throws for a model without
    /// experts.
    RouterReport(const RouterReportOption& option, const vkmoe_model_info& info);

    bool is_wanted() const { return wanted_; }
    /// Does nothing where it is not wanted.
    void finish(vkmoe_session* session);

  private:
    bool wanted_;
    std::string model_;
    uint32_t n_layers_;
    uint32_t n_experts_;
    std::optional<OutputFile> file_;
};

}  // namespace vkmoe::cli
