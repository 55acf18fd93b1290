#include "cli/batch_speeds.h"

#include "base/error.h"
#include "cli/line_plot.h"
#include "cli/spread.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace vkmoe::cli {
namespace {

constexpr double kCliff = 1.15;

}  // namespace

std::vector<uint32_t> parse_row_counts(std::string_view text, uint32_t most) {
    const auto refuse = [&] {
        fail(ErrorCode::kInvalidArgument,
             "--batch: '{}' is not a list of numbers from 1 to {}; write it as 1-64 or 1,2,4,8", text, most);
    };
    const auto number = [&](std::string_view word) {
        uint32_t value = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
        if (error != std::errc() || end != word.data() + word.size() || value == 0 || value > most) refuse();
        return value;
    };
    std::set<uint32_t> counts;
    for (std::string_view rest = text;;) {
        const size_t comma = rest.find(',');
        const std::string_view part = rest.substr(0, comma);
        const size_t dash = part.find('-');
        const uint32_t first = number(part.substr(0, dash));
        const uint32_t last = dash == std::string_view::npos ? first : number(part.substr(dash + 1));
        if (last < first) refuse();
        for (uint32_t n = first; n <= last; ++n) counts.insert(n);
        if (comma == std::string_view::npos) break;
        rest.remove_prefix(comma + 1);
    }
    return {counts.begin(), counts.end()};
}

double BatchSpeed::median_seconds() const {
    return spread_of(seconds).median;
}

double BatchSpeed::tokens_per_second() const {
    return n_rows / median_seconds();
}

std::vector<BatchSpeed> measure_batches(const std::vector<uint32_t>& row_counts, uint32_t n_repeats,
                                        const std::function<double(uint32_t n_rows)>& step,
                                        const std::function<void(double done)>& progress) {
    std::vector<BatchSpeed> speeds;
    for (const uint32_t n_rows : row_counts) speeds.push_back({n_rows, {}});
    const double n_steps = static_cast<double>(speeds.size()) * (1.0 + n_repeats);
    double n_done = 0;
    const auto run = [&](uint32_t n_rows) {
        const double seconds = step(n_rows);
        progress(++n_done / n_steps);
        return seconds;
    };
    for (const BatchSpeed& speed : speeds) run(speed.n_rows);
    for (uint32_t i = 0; i < n_repeats; ++i) {
        for (size_t k = 0; k < speeds.size(); ++k) {
            BatchSpeed& speed = speeds[i % 2 == 0 ? k : speeds.size() - 1 - k];
            speed.seconds.push_back(run(speed.n_rows));
        }
    }
    return speeds;
}

std::vector<Cliff> find_cliffs(const std::vector<BatchSpeed>& speeds) {
    std::vector<Cliff> cliffs;
    for (size_t i = 1; i < speeds.size(); ++i) {
        const double ratio = speeds[i].median_seconds() / speeds[i - 1].median_seconds();
        if (ratio > kCliff * speeds[i].n_rows / speeds[i - 1].n_rows)
            cliffs.push_back({speeds[i - 1].n_rows, speeds[i].n_rows, ratio});
    }
    return cliffs;
}

std::string batch_table(const std::vector<BatchSpeed>& speeds) {
    const std::vector<Cliff> cliffs = find_cliffs(speeds);
    std::string text = fmt::format("{:>6}{:>12}{:>12}\n", "rows", "ms", "tok/s");
    for (const BatchSpeed& speed : speeds) {
        text += fmt::format("{:>6}{:>12.2f}{:>12.2f}", speed.n_rows, 1000 * speed.median_seconds(),
                            speed.tokens_per_second());
        const auto cliff = std::ranges::find(cliffs, speed.n_rows, &Cliff::to);
        if (cliff != cliffs.end())
            text += fmt::format("  cliff: {:.2f} times the time of {}", cliff->ratio, cliff->from);
        text += '\n';
    }
    if (cliffs.empty())
        return text + "no cliff: no step takes over 1.15 times as long a row as the one before it\n";
    std::vector<std::string> names;
    for (const Cliff& cliff : cliffs) names.push_back(fmt::format("{} to {} rows", cliff.from, cliff.to));
    return text + fmt::format("cliff{} at {}\n", cliffs.size() == 1 ? "" : "s", fmt::join(names, ", "));
}

nlohmann::ordered_json batch_json(const std::vector<BatchSpeed>& speeds) {
    nlohmann::ordered_json json;
    for (const BatchSpeed& speed : speeds) {
        const Spread seconds = spread_of(speed.seconds);
        json["steps"].push_back({{"rows", speed.n_rows},
                                 {"tokens_per_second", speed.tokens_per_second()},
                                 {"seconds",
                                  {{"median", seconds.median},
                                   {"least", seconds.least},
                                   {"most", seconds.most},
                                   {"all", speed.seconds}}}});
    }
    json["cliffs"] = nlohmann::ordered_json::array();
    for (const Cliff& cliff : find_cliffs(speeds))
        json["cliffs"].push_back({{"from", cliff.from}, {"to", cliff.to}, {"ratio", cliff.ratio}});
    return json;
}

std::string batch_svg(const std::string& title, const std::string& name,
                      const std::vector<BatchSpeed>& speeds) {
    LinePlot::Line line{name, {}};
    double most = 0;
    for (const BatchSpeed& speed : speeds) {
        line.points.push_back({speed.n_rows, speed.tokens_per_second()});
        most = std::max(most, speed.tokens_per_second());
    }
    const LinePlot plot{title,
                        LinePlot::Axis::of_numbers("rows of a step", speeds.back().n_rows),
                        LinePlot::Axis::of_numbers("tokens a second", most),
                        {std::move(line)}};
    return plot.svg();
}

}  // namespace vkmoe::cli
