#include "conformance/pipeline_report.h"

#include "conformance/cells.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <tuple>

namespace vkmoe::conformance {
namespace {

using Json = nlohmann::ordered_json;
using Figure = ShaderStatistics::Figure;

std::string shown(const Figure& figure) {
    return figure ? fmt::format("{}", *figure) : "-";
}

/// The greater of two figures, where any is told.
void raise(Figure& figure, const Figure& other) {
    if (other && (!figure || *other > *figure)) figure = other;
}

std::string full_name(const PipelineResult& pipeline) {
    return fmt::format("{} [{}]", pipeline.kernel, fmt::join(pipeline.constants, ", "));
}

std::vector<const PipelineResult*> spilling_pipelines(const PipelineReport& report) {
    std::vector<const PipelineResult*> found;
    for (const PipelineResult& pipeline : report.pipelines)
        if (pipeline.statistics.spilling()) found.push_back(&pipeline);
    const auto rank = [](const PipelineResult* one) {
        const ShaderStatistics& figures = one->statistics;
        return std::tuple(one->in_plan, figures.spills.value_or(0), figures.scratch_bytes.value_or(0));
    };
    std::ranges::stable_sort(found, std::ranges::greater(), rank);
    return found;
}

std::string spill_table(const std::vector<const PipelineResult*>& spilling) {
    if (spilling.empty()) return {};
    std::string text = fmt::format("{:<72}{:>6}{:>8}{:>9}{:>10}{:>7}{:>13}\n", "spilling pipelines", "plan",
                                   "spills", "scratch", "registers", "waves", "instructions");
    for (const PipelineResult* one : spilling) {
        const ShaderStatistics& figures = one->statistics;
        text += fmt::format("{:<72}{:>6}{:>8}{:>9}{:>10}{:>7}{:>13}\n", full_name(*one),
                            one->in_plan ? "yes" : "no", shown(figures.spills), shown(figures.scratch_bytes),
                            shown(figures.registers), shown(figures.subgroups), shown(figures.instructions));
    }
    return text + '\n';
}

/// All pipelines of one operation and path.
struct FamilySummary {
    size_t n_pipelines = 0;
    size_t n_planned = 0;
    size_t n_failed = 0;
    size_t n_spilling = 0;
    uint64_t spills = 0;
    Figure registers;
    Figure shared_bytes;
    Figure fewest_subgroups;
    Figure instructions;
    double milliseconds = 0;
    double slowest = 0;

    void add(const PipelineResult& pipeline) {
        const ShaderStatistics& figures = pipeline.statistics;
        ++n_pipelines;
        n_planned += pipeline.in_plan ? 1 : 0;
        n_failed += pipeline.error.empty() ? 0 : 1;
        n_spilling += figures.spilling() ? 1 : 0;
        spills += figures.spills.value_or(0);
        raise(registers, figures.registers);
        raise(shared_bytes, figures.shared_bytes);
        raise(instructions, figures.instructions);
        if (figures.subgroups)
            fewest_subgroups = std::min(fewest_subgroups.value_or(*figures.subgroups), *figures.subgroups);
        milliseconds += pipeline.milliseconds;
        slowest = std::max(slowest, pipeline.milliseconds);
    }
};

std::string summary_table(const PipelineReport& report) {
    std::map<std::pair<Op, Path>, FamilySummary> families;
    for (const PipelineResult& pipeline : report.pipelines)
        if (pipeline.is_done) families[{pipeline.cell.op, pipeline.cell.path}].add(pipeline);
    const bool told = report.statistics == StatisticsState::kTold;
    std::string text = fmt::format("{:<20}{:<14}{:>9}{:>8}{:>8}{:>12}{:>10}", "operation", "path",
                                   "pipelines", "planned", "failed", "compile s", "slowest s");
    if (told)
        text += fmt::format("{:>10}{:>8}{:>11}{:>8}{:>8}{:>14}", "spilling", "spills", "registers", "shared",
                            "waves", "instructions");
    text += '\n';
    for (const auto& [family, summary] : families) {
        text += fmt::format("{:<20}{:<14}{:>9}{:>8}{:>8}{:>12.2f}{:>10.2f}", op_name(family.first),
                            path_name(family.second), summary.n_pipelines, summary.n_planned,
                            summary.n_failed, summary.milliseconds / 1000, summary.slowest / 1000);
        if (told)
            text += fmt::format("{:>10}{:>8}{:>11}{:>8}{:>8}{:>14}", summary.n_spilling, summary.spills,
                                shown(summary.registers), shown(summary.shared_bytes),
                                shown(summary.fewest_subgroups), shown(summary.instructions));
        text += '\n';
    }
    if (told)
        text +=
            "(registers, shared memory and instructions: the most of one pipeline; waves: the fewest "
            "subgroups in flight)\n";
    return text + '\n';
}

Json to_json(const ExecutableStatistic& statistic) {
    return std::visit([](auto value) { return Json(value); }, statistic.value);
}

Json to_json(const PipelineResult& pipeline) {
    Json json;
    json["kernel"] = pipeline.kernel;
    json["op"] = op_name(pipeline.cell.op);
    json["type"] = tensor_type_info(pipeline.cell.type).name;
    json["path"] = path_name(pipeline.cell.path);
    json["constants"] = pipeline.constants;
    json["planned"] = pipeline.in_plan;
    json["shapes"] = pipeline.shapes;
    json["tokens"] = pipeline.n_tokens;
    if (!pipeline.error.empty()) json["error"] = pipeline.error;
    json["milliseconds"] = pipeline.milliseconds;
    if (pipeline.statistics.subgroup_size != 0) json["subgroup_size"] = pipeline.statistics.subgroup_size;
    for (const FigureName& one : figure_names())
        if (const Figure& figure = pipeline.statistics.*one.figure) json[std::string(one.name)] = *figure;
    for (const PipelineExecutable& executable : pipeline.executables) {
        Json told;
        told["executable"] = executable.name;
        told["subgroup_size"] = executable.subgroup_size;
        for (const ExecutableStatistic& statistic : executable.statistics)
            told["statistics"][statistic.name] = to_json(statistic);
        json["driver"].push_back(std::move(told));
    }
    return json;
}

/// What the driver says of its statistics, once for all pipelines.
Json descriptions(const PipelineReport& report) {
    Json json = Json::object();
    for (const PipelineResult& pipeline : report.pipelines)
        for (const PipelineExecutable& executable : pipeline.executables)
            for (const ExecutableStatistic& statistic : executable.statistics)
                json[statistic.name] = statistic.description;
    return json;
}

std::string_view state_name(StatisticsState state) {
    switch (state) {
        case StatisticsState::kNotWanted:
            return "not wanted";
        case StatisticsState::kTold:
            return "told";
        case StatisticsState::kNotTold:
            return "not told by the driver";
    }
    return {};
}

}  // namespace

PipelineCounts count_pipelines(const PipelineReport& report) {
    PipelineCounts counts;
    for (const PipelineResult& pipeline : report.pipelines) {
        const bool spills = pipeline.statistics.spilling();
        counts.done += pipeline.is_done ? 1 : 0;
        counts.failed += pipeline.error.empty() ? 0 : 1;
        counts.spilling += spills ? 1 : 0;
        counts.spilling_in_plan += spills && pipeline.in_plan ? 1 : 0;
    }
    return counts;
}

std::string text_report(const PipelineReport& report) {
    std::string text;
    for (const PipelineResult& pipeline : report.pipelines)
        if (!pipeline.error.empty())
            text += fmt::format("FAILED {}: {}\n", full_name(pipeline), pipeline.error);
    if (!text.empty()) text += '\n';
    text += spill_table(spilling_pipelines(report));
    text += summary_table(report);
    for (const std::string& reason : report.left_out) text += fmt::format("left out: {}\n", reason);
    for (const UnbuiltPath& path : unbuilt_paths())
        text += fmt::format("not built: path {}: {}\n", path_name(path.path), path.reason);
    if (report.statistics == StatisticsState::kNotTold)
        text += "no statistics: the driver lacks VK_KHR_pipeline_executable_properties; compile times only\n";
    if (!report.ended.empty()) text += fmt::format("ENDED EARLY: {}\n", report.ended);
    const PipelineCounts counts = count_pipelines(report);
    text += fmt::format("{} pipelines, {} failed", counts.done, counts.failed);
    if (report.statistics == StatisticsState::kTold)
        text += fmt::format(", {} spilling ({} of the plan)", counts.spilling, counts.spilling_in_plan);
    return text + fmt::format("; {:.1f} s\n", report.seconds);
}

std::string json_report(const PipelineReport& report) {
    Json json;
    for (const auto& [key, value] : device_header(report.facts)) json["run"][key] = value;
    json["run"]["seconds"] = report.seconds;
    json["run"]["statistics"] = state_name(report.statistics);
    const PipelineCounts counts = count_pipelines(report);
    json["summary"] = {{"pipelines", counts.done},
                       {"failed", counts.failed},
                       {"spilling", counts.spilling},
                       {"spilling_in_plan", counts.spilling_in_plan}};
    if (!report.ended.empty()) json["ended"] = report.ended;
    json["left_out"] = report.left_out;
    json["descriptions"] = descriptions(report);
    // Names and descriptions come from the driver.
    const auto dump = [](const Json& value, int indent) {
        return value.dump(indent, ' ', false, Json::error_handler_t::replace);
    };
    // Pipelines last, a line each, so that people can search and compare them.
    std::string text = dump(json, 1);
    text.resize(text.rfind('}') - 1);
    text += ",\n \"pipelines\": [";
    bool is_first = true;
    for (const PipelineResult& pipeline : report.pipelines) {
        if (!pipeline.is_done) continue;
        text += (is_first ? "\n" : ",\n") + dump(to_json(pipeline), -1);
        is_first = false;
    }
    return text + "]\n}\n";
}

}  // namespace vkmoe::conformance
