#include "conformance/report_diff.h"

#include "base/error.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

namespace vkmoe::conformance {
namespace {

using Json = nlohmann::json;
using Pipeline = StoredReport::Pipeline;
using Figure = ShaderStatistics::Figure;

// Compile times differ from run to run.
constexpr double kLeastSlower = 1.5;
constexpr double kLeastMilliseconds = 100;

/// How much a difference matters: first what comes first.
enum class Importance {
    kFails,
    kSpills,
    kSpillsMore,
    kWorks,  ///< and failed before
    kSpillsLess,
    kFigures,
    kCompileTime,
    kOnlyAfter,
    kOnlyBefore,
    kCount
};

struct Difference {
    Importance importance;
    double size = 0;  ///< among those of one importance
    std::string text;
};

std::string full_name(const Pipeline& pipeline) {
    return fmt::format("{} [{}]", pipeline.kernel, fmt::join(pipeline.constants, ", "));
}

std::string shown(const Figure& figure) {
    return figure ? fmt::format("{}", *figure) : "none";
}

double relative_change(const Figure& before, const Figure& after) {
    const double from = static_cast<double>(before.value_or(0));
    const double to = static_cast<double>(after.value_or(0));
    return std::abs(to - from) / std::max({from, to, 1.0});
}

/// "registers 64 -> 96, instructions 1000 -> 1200" and by how much the largest of them changed.
std::pair<std::string, double> changed_figures(const Pipeline& before, const Pipeline& after) {
    std::vector<std::string> changes;
    double largest = 0;
    const auto note = [&](std::string_view name, const Figure& from, const Figure& to) {
        if (from == to) return;
        changes.push_back(fmt::format("{} {} -> {}", name, shown(from), shown(to)));
        largest = std::max(largest, relative_change(from, to));
    };
    note("subgroup_size", before.statistics.subgroup_size, after.statistics.subgroup_size);
    for (const FigureName& one : figure_names())
        note(one.name, before.statistics.*one.figure, after.statistics.*one.figure);
    return {fmt::format("{}", fmt::join(changes, ", ")), largest};
}

/// Nothing where the two are the same.
std::optional<Difference> compare(const Pipeline& before, const Pipeline& after) {
    std::string name = full_name(after);
    if (before.constants != after.constants)
        name += fmt::format(" (before: [{}])", fmt::join(before.constants, ", "));
    if (!after.error.empty() && before.error.empty())
        return Difference{Importance::kFails, 0, fmt::format("FAILS {}: {}", name, after.error)};
    if (!after.error.empty()) return std::nullopt;
    if (!before.error.empty())
        return Difference{Importance::kWorks, 0, fmt::format("no longer fails {}", name)};

    const auto [changes, largest] = changed_figures(before, after);
    const ShaderStatistics& from = before.statistics;
    const ShaderStatistics& to = after.statistics;
    const auto difference = [&, &changes = changes](Importance importance, double size, const char* what) {
        return Difference{importance, size, fmt::format("{} {}: {}", what, name, changes)};
    };
    const auto spilled = [](const ShaderStatistics& figures) {
        return static_cast<double>(figures.spills.value_or(figures.scratch_bytes.value_or(0)));
    };
    if (to.spilling() && !from.spilling()) return difference(Importance::kSpills, spilled(to), "SPILLS");
    if (spilled(to) > spilled(from))
        return difference(Importance::kSpillsMore, spilled(to) - spilled(from), "spills more");
    if (from.spilling() && !to.spilling())
        return difference(Importance::kSpillsLess, spilled(from), "no longer spills");
    if (spilled(to) < spilled(from))
        return difference(Importance::kSpillsLess, spilled(from) - spilled(to), "spills less");
    if (!changes.empty()) return difference(Importance::kFigures, largest, "changed");
    const double less = std::min(before.milliseconds, after.milliseconds);
    const double more = std::max(before.milliseconds, after.milliseconds);
    if (more - less < kLeastMilliseconds || more < less * kLeastSlower) return std::nullopt;
    return Difference{
        Importance::kCompileTime, more - less,
        fmt::format("compile time {}: {:.0f} -> {:.0f} ms", name, before.milliseconds, after.milliseconds)};
}

Difference new_pipeline(const Pipeline& after) {
    const std::string name = full_name(after);
    if (!after.error.empty())
        return {Importance::kFails, 0, fmt::format("FAILS, new {}: {}", name, after.error)};
    const ShaderStatistics& figures = after.statistics;
    if (figures.spilling() && after.in_plan)
        return {Importance::kSpills, static_cast<double>(figures.spills.value_or(1)),
                fmt::format("SPILLS, new {}: spills {}, scratch_bytes {}", name, shown(figures.spills),
                            shown(figures.scratch_bytes))};
    return {Importance::kOnlyAfter, 0, fmt::format("only in the second {}", name)};
}

/// Pipelines of two reports that belong together: those of a kernel with the same constants, and where one
/// of a kernel is left on each side those two, for then its constants have changed.
class Pairing {
  public:
    Pairing(const StoredReport& before, const StoredReport& after) {
        std::map<std::pair<std::string, std::vector<uint32_t>>, const Pipeline*> waiting;
        for (const Pipeline& one : before.pipelines) waiting[{one.kernel, one.constants}] = &one;
        std::map<std::string, std::vector<const Pipeline*>> added;
        for (const Pipeline& one : after.pipelines) {
            const auto found = waiting.find({one.kernel, one.constants});
            if (found == waiting.end()) {
                added[one.kernel].push_back(&one);
                continue;
            }
            pairs.emplace_back(found->second, &one);
            waiting.erase(found);
        }
        std::map<std::string, std::vector<const Pipeline*>> gone;
        for (const auto& [key, one] : waiting) gone[key.first].push_back(one);
        for (const auto& [kernel, news] : added) {
            std::vector<const Pipeline*>& olds = gone[kernel];
            if (olds.size() == 1 && news.size() == 1) {
                pairs.emplace_back(olds.front(), news.front());
                olds.clear();
            } else {
                only_after.insert(only_after.end(), news.begin(), news.end());
            }
        }
        for (const auto& [kernel, olds] : gone)
            only_before.insert(only_before.end(), olds.begin(), olds.end());
    }

    std::vector<std::pair<const Pipeline*, const Pipeline*>> pairs;
    std::vector<const Pipeline*> only_before;
    std::vector<const Pipeline*> only_after;
};

std::vector<Difference> pipeline_differences(const StoredReport& before, const StoredReport& after) {
    std::vector<Difference> differences;
    const Pairing pairing(before, after);
    for (const auto& [from, to] : pairing.pairs)
        if (std::optional<Difference> difference = compare(*from, *to))
            differences.push_back(std::move(*difference));
    for (const Pipeline* one : pairing.only_after) differences.push_back(new_pipeline(*one));
    for (const Pipeline* one : pairing.only_before)
        differences.push_back(
            {Importance::kOnlyBefore, 0, fmt::format("only in the first {}", full_name(*one))});
    return differences;
}

std::vector<Difference> cell_differences(const StoredReport& before, const StoredReport& after) {
    std::map<std::string_view, std::string_view> outcomes;
    for (const StoredReport::Cell& cell : before.cells) outcomes[cell.name] = cell.outcome;
    const auto is_bad = [](std::string_view outcome) { return outcome != "ok" && outcome != "unsupported"; };
    std::vector<Difference> differences;
    for (const StoredReport::Cell& cell : after.cells) {
        const auto found = outcomes.find(cell.name);
        const bool is_new = found == outcomes.end();
        const std::string_view old = is_new ? "absent" : found->second;
        if (!is_new) outcomes.erase(found);
        if (old == cell.outcome) continue;
        const Importance importance = is_bad(cell.outcome) ? Importance::kFails
                                      : is_new             ? Importance::kOnlyAfter
                                      : is_bad(old)        ? Importance::kWorks
                                                           : Importance::kFigures;
        // A cell that was not run and now fails, or the reverse, was bad before.
        if (importance == Importance::kFails && !is_new && is_bad(old)) {
            differences.push_back(
                {Importance::kFigures, 0, fmt::format("{}: {} -> {}", cell.name, old, cell.outcome)});
            continue;
        }
        differences.push_back({importance, 0, fmt::format("{}: {} -> {}", cell.name, old, cell.outcome)});
    }
    for (const auto& [name, outcome] : outcomes)
        differences.push_back({Importance::kOnlyBefore, 0, fmt::format("only in the first: {}", name)});
    return differences;
}

/// A number or text of a report. Reports may come from other versions, or from an editor.
template <typename T>
T value_of(const Json& json, const char* key, const T& otherwise) {
    return json.contains(key) ? json.at(key).get<T>() : otherwise;
}

Pipeline pipeline_of(const Json& json) {
    Pipeline pipeline;
    pipeline.kernel = json.at("kernel").get<std::string>();
    pipeline.constants = json.at("constants").get<std::vector<uint32_t>>();
    pipeline.in_plan = json.at("planned").get<bool>();
    pipeline.error = value_of<std::string>(json, "error", {});
    pipeline.milliseconds = json.at("milliseconds").get<double>();
    pipeline.statistics.subgroup_size = value_of<uint32_t>(json, "subgroup_size", 0);
    for (const FigureName& one : figure_names())
        if (const std::string name(one.name); json.contains(name))
            pipeline.statistics.*one.figure = json.at(name).get<uint64_t>();
    return pipeline;
}

StoredReport::Cell cell_of(const Json& json) {
    return {fmt::format("{}/{}/{}", json.at("op").get<std::string>(), json.at("type").get<std::string>(),
                        json.at("path").get<std::string>()),
            json.at("outcome").get<std::string>()};
}

}  // namespace

StoredReport parse_report(std::string_view text, const std::string& file) {
    StoredReport report;
    try {
        const Json json = Json::parse(text);
        const Json& run = json.at("run");
        report.run = fmt::format("{}, {}, vkmoe {}, {}", run.at("device").get<std::string>(),
                                 run.at("driver").get<std::string>(), run.at("vkmoe").get<std::string>(),
                                 run.at("date").get<std::string>());
        report.is_of_pipelines = json.contains("pipelines");
        if (report.is_of_pipelines) {
            for (const Json& one : json.at("pipelines")) report.pipelines.push_back(pipeline_of(one));
        } else {
            for (const Json& one : json.at("cells")) report.cells.push_back(cell_of(one));
        }
    } catch (const Json::exception&) {
        fail(ErrorCode::kBadFile,
             "'{}' is not a report of vkmoe conformance; create one with vkmoe conformance --json", file);
    }
    return report;
}

ReportDiff diff_reports(const StoredReport& before, const StoredReport& after) {
    if (before.is_of_pipelines != after.is_of_pipelines)
        fail(ErrorCode::kInvalidArgument,
             "one of the reports is of --compile-only and the other is not; compare reports of one kind");
    std::vector<Difference> differences =
        after.is_of_pipelines ? pipeline_differences(before, after) : cell_differences(before, after);
    std::ranges::stable_sort(differences, [](const Difference& left, const Difference& right) {
        return std::pair(left.importance, -left.size) < std::pair(right.importance, -right.size);
    });
    ReportDiff diff;
    std::array<size_t, static_cast<size_t>(Importance::kCount)> counts{};
    for (const Difference& difference : differences) {
        diff.text += difference.text + '\n';
        ++counts[static_cast<size_t>(difference.importance)];
    }
    const auto count = [&counts](Importance importance) { return counts[static_cast<size_t>(importance)]; };
    diff.is_worse = count(Importance::kFails) + count(Importance::kSpills) != 0;
    diff.text += fmt::format(
        "{} differences: {} newly failing, {} newly spilling, {} spilling more, {} spilling "
        "less\n",
        differences.size(), count(Importance::kFails), count(Importance::kSpills),
        count(Importance::kSpillsMore), count(Importance::kSpillsLess));
    return diff;
}

}  // namespace vkmoe::conformance
