#include "base/error.h"
#include "base/output_file.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/json_text.h"
#include "cli/line_plot.h"
#include "cli/options.h"
#include "cli/output_option.h"
#include "experts/simulate.h"
#include "formats/gguf_value.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe::cli {
namespace {

constexpr size_t kMaxName = 60;

struct Options {
    std::vector<std::string> traces;
    std::vector<std::string> slots = {"12.5%", "25%", "37.5%", "50%", "62.5%", "75%", "87.5%", "100%"};
    std::vector<std::string> policies = {"lru", "lfu", "vkmoe", "belady"};
    uint32_t link = 0;
    std::string svg;
    std::string json;
};

/// A column of the table: a policy, perhaps with a link that fetches ahead.
struct Column {
    std::string name;
    CachePolicy policy = CachePolicy::kOurs;
    uint32_t link_records = 0;
};

/// A row: what every column reached with so many slots, all traces added up.
struct Row {
    uint32_t n_slots = 0;
    double share = 0;
    std::vector<SimulationResult> results;
};

std::optional<double> number_in(std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// "16", or "25%" of the experts.
uint32_t parse_slots(std::string_view text, const TraceShape& shape) {
    const uint32_t n_experts = shape.n_layers * shape.n_experts;
    const bool is_share = !text.empty() && text.back() == '%';
    const std::optional<double> value = number_in(is_share ? text.substr(0, text.size() - 1) : text);
    const double n = value ? is_share ? *value / 100 * n_experts : *value : 0;
    if (!value || !(n >= 1) || n > n_experts || (!is_share && n != static_cast<uint32_t>(n))) {
        fail(
            ErrorCode::kInvalidArgument,
            "--slots: '{}' is neither a number of slots from {} to {} nor a share of all experts such as 25%",
            printable(text, kMaxName), shape.n_used, n_experts);
    }
    const auto n_slots = static_cast<uint32_t>(n);
    if (n_slots < shape.n_used) {
        fail(ErrorCode::kInvalidArgument,
             "--slots: '{}' is {} of {} experts, fewer than the {} that are active per token in a layer",
             printable(text, kMaxName), n_slots, n_experts, shape.n_used);
    }
    return n_slots;
}

std::vector<RoutingTrace> read_traces(const std::vector<std::string>& paths) {
    std::vector<RoutingTrace> traces;
    for (const std::string& path : paths) {
        traces.push_back(read_trace(path));
        const TraceShape& first = traces.front().shape;
        const TraceShape& shape = traces.back().shape;
        if (shape.n_layers != first.n_layers || shape.n_experts != first.n_experts ||
            shape.n_used != first.n_used) {
            fail(ErrorCode::kInvalidArgument,
                 "'{}' has {} layers with {} of {} experts active per token, but '{}' has {} layers with {} "
                 "of "
                 "{}; all traces must come from one model",
                 path, shape.n_layers, shape.n_used, shape.n_experts, paths.front(), first.n_layers,
                 first.n_used, first.n_experts);
        }
        if (uint64_t{shape.n_layers} * shape.n_experts > (1U << 24)) {
            fail(ErrorCode::kUnsupported, "'{}' has {} layers of {} experts, which is too many to replay",
                 path, shape.n_layers, shape.n_experts);
        }
    }
    return traces;
}

std::vector<Column> columns_of(const Options& options) {
    std::vector<Column> columns;
    for (const CachePolicy policy :
         {CachePolicy::kLru, CachePolicy::kLfu, CachePolicy::kOurs, CachePolicy::kBelady}) {
        const std::string name(name_of(policy));
        if (std::find(options.policies.begin(), options.policies.end(), name) == options.policies.end())
            continue;
        columns.push_back({name, policy, 0});
        if (policy == CachePolicy::kOurs && options.link > 0)
            columns.push_back({fmt::format("vkmoe+link {}", options.link), policy, options.link});
    }
    return columns;
}

std::vector<Row> replay(const std::vector<RoutingTrace>& traces, const Options& options,
                        const std::vector<Column>& columns) {
    const TraceShape& shape = traces.front().shape;
    std::vector<uint32_t> sizes;
    for (const std::string& text : options.slots) sizes.push_back(parse_slots(text, shape));
    std::sort(sizes.begin(), sizes.end());
    sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
    Progress progress("pager-sim");
    std::vector<Row> rows;
    for (size_t i = 0; i < sizes.size(); ++i) {
        Row row{sizes[i], static_cast<double>(sizes[i]) / (shape.n_layers * shape.n_experts), {}};
        for (const Column& column : columns) {
            SimulationResult& sum = row.results.emplace_back();
            for (const RoutingTrace& trace : traces)
                sum += simulate(trace, {column.policy, row.n_slots, column.link_records});
        }
        rows.push_back(std::move(row));
        progress.update(static_cast<double>(i + 1) / static_cast<double>(sizes.size()));
    }
    return rows;
}

/// A cell a column, in the columns' widths.
template <typename Cell>
std::string table(std::string_view title, const std::vector<Column>& columns, const std::vector<Row>& rows,
                  const Cell& cell) {
    std::string text = fmt::format("\n{}\n{:>7} {:>7}", title, "slots", "share");
    for (const Column& column : columns)
        text += fmt::format(" {:>{}}", column.name, std::max<size_t>(column.name.size(), 7));
    text += '\n';
    for (const Row& row : rows) {
        text += fmt::format("{:>7} {:>6.1f}%", row.n_slots, 100 * row.share);
        for (size_t i = 0; i < columns.size(); ++i)
            text += fmt::format(" {:>{}}", cell(row.results[i]), std::max<size_t>(columns[i].name.size(), 7));
        text += '\n';
    }
    return text;
}

std::string report(const std::vector<RoutingTrace>& traces, size_t n_tokens,
                   const std::vector<Column>& columns, const std::vector<Row>& rows) {
    const TraceShape& shape = traces.front().shape;
    std::string text =
        fmt::format("{}: {} layers, {} of {} experts active per token; {} tokens in {} trace{}\n",
                    printable(shape.model, kMaxName), shape.n_layers, shape.n_used, shape.n_experts, n_tokens,
                    traces.size(), traces.size() == 1 ? "" : "s");
    text += table("hit rate", columns, rows,
                  [](const SimulationResult& result) { return fmt::format("{:.3f}", result.hit_rate()); });
    text += table("evictions per token", columns, rows, [&](const SimulationResult& result) {
        return fmt::format("{:.2f}", static_cast<double>(result.n_evictions) / static_cast<double>(n_tokens));
    });
    const bool any_link =
        std::any_of(columns.begin(), columns.end(), [](const Column& c) { return c.link_records > 0; });
    if (any_link) {
        text += table(
            "share of prefetched experts that were used", columns, rows, [](const SimulationResult& result) {
                return result.n_prefetched == 0 ? "-" : fmt::format("{:.3f}", result.prefetched_used_share());
            });
    }
    return text;
}

std::string json_of(const std::vector<RoutingTrace>& traces, size_t n_tokens,
                    const std::vector<Column>& columns, const std::vector<Row>& rows) {
    const TraceShape& shape = traces.front().shape;
    nlohmann::ordered_json json = {{"model", shape.model},         {"n_layers", shape.n_layers},
                                   {"n_experts", shape.n_experts}, {"n_experts_used", shape.n_used},
                                   {"n_traces", traces.size()},    {"n_tokens", n_tokens}};
    nlohmann::ordered_json& list = json["results"] = nlohmann::ordered_json::array();
    for (const Row& row : rows) {
        for (size_t i = 0; i < columns.size(); ++i) {
            const SimulationResult& result = row.results[i];
            list.push_back({{"n_slots", row.n_slots},
                            {"share", row.share},
                            {"policy", name_of(columns[i].policy)},
                            {"link", columns[i].link_records},
                            {"hit_rate", result.hit_rate()},
                            {"n_hits", result.n_hits},
                            {"n_misses", result.n_misses},
                            {"n_evictions", result.n_evictions},
                            {"n_prefetched", result.n_prefetched},
                            {"n_prefetched_used", result.n_prefetched_used}});
        }
    }
    return json_text(json);
}

std::string svg_of(const TraceShape& shape, const std::vector<Column>& columns,
                   const std::vector<Row>& rows) {
    LinePlot plot{fmt::format("Hit rates of {}", printable(shape.model, kMaxName)),
                  {"share of the experts that fit in slots"},
                  {"hit rate"},
                  {}};
    for (size_t i = 0; i < columns.size(); ++i) {
        LinePlot::Line line{columns[i].name, {}};
        for (const Row& row : rows) line.points.push_back({row.share, row.results[i].hit_rate()});
        plot.lines.push_back(std::move(line));
    }
    return plot.svg();
}

void write_text(const std::string& path, const std::string& text) {
    OutputFile file(path);
    file.write(text);
    file.commit();
}

void run_simulation(const Options& options) {
    const std::vector<RoutingTrace> traces = read_traces(options.traces);
    const std::vector<Column> columns = columns_of(options);
    size_t n_tokens = 0;
    for (const RoutingTrace& trace : traces) n_tokens += trace.n_tokens;
    const std::vector<Row> rows = replay(traces, options, columns);
    StandardOutput().write(report(traces, n_tokens, columns, rows));
    if (!options.json.empty()) write_text(options.json, json_of(traces, n_tokens, columns, rows));
    if (!options.svg.empty()) write_text(options.svg, svg_of(traces.front().shape, columns, rows));
}

}  // namespace

void add_pager_sim_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand(
        "pager-sim",
        "Replay routing traces (see `vkmoe routes`) against simulated expert caches of several sizes and "
        "eviction policies, and print their hit rates; needs no device");
    const auto options = std::make_shared<Options>();
    command->add_option("--trace", options->traces, "Routing trace; several traces of one model are combined")
        ->required()
        ->check(existing_file())
        ->type_name("FILE");
    command
        ->add_option("--slots", options->slots,
                     "Cache sizes: numbers of experts, or shares of all experts such as 25%")
        ->delimiter(',')
        ->type_name("N|P%,...");
    command
        ->add_option(
            "--policy", options->policies,
            "Eviction policies: lru (least recently used), lfu (least frequently used), vkmoe (the policy of "
            "vkmoe), belady (optimal: evicts the expert whose next use is furthest in the future)")
        ->delimiter(',')
        ->check(CLI::IsMember({"lru", "lfu", "vkmoe", "belady"}))
        ->type_name("NAME,...");
    command
        ->add_option("--link", options->link,
                     "Also simulate prefetching over a link that copies N experts in the time of one layer: "
                     "misses first, then experts that the look-ahead predicts; 0 disables it")
        ->check(whole_number(0, 1U << 20));
    command->add_option("--svg", options->svg, "Write a plot of the hit rates to FILE")
        ->check(output_file())
        ->type_name("FILE");
    command->add_option("--json", options->json, "Write all results to FILE as JSON")
        ->check(output_file())
        ->type_name("FILE");
    command->callback([options] { run_simulation(*options); });
}

}  // namespace vkmoe::cli
