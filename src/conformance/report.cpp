#include "conformance/report.h"

#include "conformance/result_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <set>

namespace vkmoe::conformance {
namespace {

std::string_view outcome_name(Outcome outcome) {
    switch (outcome) {
        case Outcome::kOk:
            return "ok";
        case Outcome::kUnsupported:
            return "unsupported";
        case Outcome::kFailed:
            return "failed";
        case Outcome::kNotRun:
            return "not run";
    }
    return {};
}

std::array<size_t, 4> count_outcomes(const std::vector<CellResult>& cells) {
    std::array<size_t, 4> counts{};
    for (const CellResult& cell : cells) ++counts[static_cast<size_t>(outcome(cell))];
    return counts;
}

std::string vulkan_version(uint32_t version) {
    return fmt::format("{}.{}.{}", VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version),
                       VK_API_VERSION_PATCH(version));
}

std::string_view depth_name(Depth depth) {
    return depth == Depth::kQuick ? "quick" : "full";
}

/// NMSE, element and values of a failure, as far as it has them.
std::string details(const CaseFailure& failure) {
    std::string text;
    if (failure.nmse) text += fmt::format("; NMSE {:.3g}", *failure.nmse);
    if (failure.first_wrong) {
        text += fmt::format("; first wrong element {}: expected {}, got {}", *failure.first_wrong,
                            failure.expected, failure.got);
    }
    return text;
}

/// One op's cells: a row a type, a column a path.
std::string op_table(const std::vector<const CellResult*>& cells) {
    std::set<Path> paths;
    std::set<TensorType> types;
    std::map<std::pair<TensorType, Path>, std::string_view> outcomes;
    for (const CellResult* cell : cells) {
        paths.insert(cell->cell.path);
        types.insert(cell->cell.type);
        outcomes[{cell->cell.type, cell->cell.path}] = outcome_name(outcome(*cell));
    }
    std::string text = fmt::format("{:<20}", op_name(cells.front()->cell.op));
    for (Path path : paths) text += fmt::format("{:<14}", path_name(path));
    text += '\n';
    for (TensorType type : types) {
        text += fmt::format("  {:<18}", tensor_type_info(type).name);
        for (Path path : paths) {
            const auto found = outcomes.find({type, path});
            text += fmt::format("{:<14}", found == outcomes.end() ? "" : found->second);
        }
        text += '\n';
    }
    return text;
}

std::map<Op, std::vector<const CellResult*>> by_op(const std::vector<CellResult>& cells) {
    std::map<Op, std::vector<const CellResult*>> ops;
    for (const CellResult& cell : cells) ops[cell.cell.op].push_back(&cell);
    return ops;
}

std::string trimmed_lines(const std::string& text) {
    std::string result;
    for (size_t start = 0; start < text.size();) {
        const size_t end = text.find('\n', start);
        const size_t last = text.find_last_not_of(' ', end - 1);
        result += text.substr(start, last + 1 - start) + '\n';
        start = end + 1;
    }
    return result;
}

/// Reasons, and how many cells or cases each holds for.
std::string reasons(std::string_view title, const std::map<std::string, size_t>& counts) {
    std::string text;
    for (const auto& [reason, count] : counts) text += fmt::format("{} ({}): {}\n", title, count, reason);
    return text;
}

std::string xml_escaped(std::string_view text) {
    std::string escaped;
    for (char c : text) {
        switch (c) {
            case '&':
                escaped += "&amp;";
                break;
            case '<':
                escaped += "&lt;";
                break;
            case '>':
                escaped += "&gt;";
                break;
            case '"':
                escaped += "&quot;";
                break;
            default:
                // Driver strings may hold anything; XML may not.
                escaped +=
                    static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7F ? '?' : c;
        }
    }
    return escaped;
}

/// Errors that are no cell's.
std::vector<std::string> errors_of_run(const RunResult& result) {
    std::vector<std::string> errors = result.problems;
    if (!result.ended.empty()) errors.push_back(result.ended);
    return errors;
}

std::string junit_case(const Report& report, const CellResult& cell) {
    const std::string op(op_name(cell.cell.op));
    const std::string name =
        fmt::format("{}/{}", tensor_type_info(cell.cell.type).name, path_name(cell.cell.path));
    std::string text = fmt::format("    <testcase classname=\"vkmoe.{}\" name=\"{}\" time=\"{:.3f}\">", op,
                                   name, cell.seconds);
    switch (outcome(cell)) {
        case Outcome::kOk:
            break;
        case Outcome::kUnsupported:
            text += fmt::format("<skipped message=\"unsupported: {}\"/>", xml_escaped(cell.missing));
            break;
        case Outcome::kNotRun:
            text += fmt::format("<skipped message=\"not run: {}\"/>", xml_escaped(report.result.ended));
            break;
        case Outcome::kFailed:
            for (const CaseFailure& failure : cell.failures) {
                text += fmt::format("<failure message=\"{}\">{}</failure>",
                                    xml_escaped(fmt::format("{}: {}", failure.case_name, failure.message)),
                                    xml_escaped(fmt::format("{}; repeat: {}", details(failure),
                                                            repeat_command(report.facts, cell.cell))));
            }
            break;
    }
    return text + "</testcase>\n";
}

Json to_json(const RunFacts& facts, const CellResult& cell) {
    Json json;
    json["op"] = op_name(cell.cell.op);
    json["type"] = tensor_type_info(cell.cell.type).name;
    json["path"] = path_name(cell.cell.path);
    json["outcome"] = outcome_name(outcome(cell));
    json.update(to_json(cell));
    if (!cell.failures.empty())
        for (Json& failure : json["failures"]) failure["repeat"] = repeat_command(facts, cell.cell);
    return json;
}

Json to_json(const SpeedReport& speeds) {
    Json json;
    json["copy_gigabytes_per_second"] = speeds.copy_gigabytes;
    json["peak_gigabytes_per_second"] = speeds.best_gigabytes;
    json["peak_teraflops"] = speeds.best_teraflops;
    json["cells"] = Json::array();
    for (const Speed& speed : speeds.speeds) {
        Json entry;
        entry["op"] = op_name(speed.cell.op);
        entry["type"] = tensor_type_info(speed.cell.type).name;
        entry["path"] = path_name(speed.cell.path);
        entry.update(to_json(speed));
        entry["share_of_peak"] = share_of_peak(speeds, speed);
        json["cells"].push_back(std::move(entry));
    }
    return json;
}

}  // namespace

std::string date_now() {
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

std::vector<std::pair<std::string, std::string>> device_header(const RunFacts& facts) {
    return {
        {"vkmoe", facts.version},
        {"date", facts.date},
        {"device", facts.caps.name},
        {"driver", fmt::format("{} {}", facts.caps.driver_name, facts.caps.driver_info)},
        {"driver version", fmt::format("{:#x}", facts.caps.driver_version)},
        {"vendor and device", fmt::format("{:#06x} {:#06x}", facts.caps.vendor_id, facts.caps.device_id)},
        {"Vulkan", vulkan_version(facts.caps.api_version)},
    };
}

std::vector<std::pair<std::string, std::string>> header(const RunFacts& facts) {
    std::vector<std::pair<std::string, std::string>> pairs = device_header(facts);
    pairs.emplace_back("depth", depth_name(facts.options.depth));
    pairs.emplace_back("seed", fmt::format("{}", facts.options.seed));
    return pairs;
}

std::string repeat_command(const RunFacts& facts, const KernelKey& cell) {
    std::string command = "vkmoe conformance";
    if (!facts.device.empty()) command += fmt::format(" --device '{}'", facts.device);
    return command + fmt::format(" --op {} --type {} --path {} --{} --seed {}", op_name(cell.op),
                                 tensor_type_info(cell.type).name, path_name(cell.path),
                                 depth_name(facts.options.depth), facts.options.seed);
}

std::string text_report(const Report& report) {
    const RunResult& result = report.result;
    std::string text;
    for (const auto& [op, cells] : by_op(result.cells)) text += op_table(cells) + '\n';
    if (report.speeds) text += speed_table(*report.speeds);
    std::map<std::string, size_t> missing;
    std::map<std::string, size_t> skipped;
    for (const CellResult& cell : result.cells) {
        if (!cell.missing.empty())
            ++missing[fmt::format("path {} needs {}", path_name(cell.cell.path), cell.missing)];
        for (const CaseSkip& skip : cell.skipped)
            ++skipped[fmt::format("{}: {}", skip.case_name, skip.reason)];
        if (cell.failures.empty()) continue;
        text += fmt::format("FAILED {}\n", cell_name(cell.cell));
        for (const CaseFailure& failure : cell.failures) {
            text += fmt::format("  {}: {}{}\n", failure.case_name, failure.message,
                                failure.nmse ? fmt::format("; NMSE {:.3g}", *failure.nmse) : "");
        }
        text += fmt::format("  repeat: {}\n\n", repeat_command(report.facts, cell.cell));
    }
    text += reasons("unsupported cells", missing);
    for (const UnbuiltPath& path : unbuilt_paths())
        text += fmt::format("not built: path {}: {}\n", path_name(path.path), path.reason);
    text += reasons("skipped cases", skipped);
    for (const std::string& problem : result.problems) text += fmt::format("PROBLEM: {}\n", problem);
    if (!result.ended.empty()) text += fmt::format("ENDED EARLY: {}\n", result.ended);
    const std::array<size_t, 4> counts = count_outcomes(result.cells);
    text += fmt::format("{} ok, {} unsupported, {} failed", counts[0], counts[1], counts[2]);
    if (counts[3] != 0) text += fmt::format(", {} not run", counts[3]);
    text += fmt::format("; {:.1f} s, seed {}\n", result.seconds, report.facts.options.seed);
    return trimmed_lines(text);
}

std::string json_report(const Report& report) {
    Json json;
    for (const auto& [key, value] : header(report.facts)) json["run"][key] = value;
    json["run"]["seconds"] = report.result.seconds;
    const std::array<size_t, 4> counts = count_outcomes(report.result.cells);
    json["summary"] = {
        {"ok", counts[0]}, {"unsupported", counts[1]}, {"failed", counts[2]}, {"not run", counts[3]}};
    if (!report.result.ended.empty()) json["ended"] = report.result.ended;
    if (!report.result.problems.empty()) json["problems"] = report.result.problems;
    json["cells"] = Json::array();
    for (const CellResult& cell : report.result.cells) json["cells"].push_back(to_json(report.facts, cell));
    if (report.speeds) json["speeds"] = to_json(*report.speeds);
    return json_text(json, 2) + "\n";
}

std::string junit_report(const Report& report) {
    const std::array<size_t, 4> counts = count_outcomes(report.result.cells);
    std::string text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    text += fmt::format(
        "<testsuites name=\"vkmoe conformance\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" errors=\"{}\" "
        "time=\"{:.3f}\">\n",
        report.result.cells.size(), counts[2], counts[1] + counts[3], errors_of_run(report.result).size(),
        report.result.seconds);
    for (const auto& [op, cells] : by_op(report.result.cells)) {
        size_t failed = 0;
        size_t skipped = 0;
        double seconds = 0;
        for (const CellResult* cell : cells) {
            failed += outcome(*cell) == Outcome::kFailed ? 1 : 0;
            skipped += outcome(*cell) == Outcome::kUnsupported || outcome(*cell) == Outcome::kNotRun ? 1 : 0;
            seconds += cell->seconds;
        }
        text += fmt::format(
            "  <testsuite name=\"vkmoe.{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" errors=\"0\" "
            "time=\"{:.3f}\" timestamp=\"{}\">\n    <properties>\n",
            op_name(op), cells.size(), failed, skipped, seconds,
            report.facts.date.substr(0, report.facts.date.size() - 1));
        for (const auto& [key, value] : header(report.facts)) {
            text += fmt::format("      <property name=\"{}\" value=\"{}\"/>\n", xml_escaped(key),
                                xml_escaped(value));
        }
        text += "    </properties>\n";
        for (const CellResult* cell : cells) text += junit_case(report, *cell);
        text += "  </testsuite>\n";
    }
    if (const std::vector<std::string> errors = errors_of_run(report.result); !errors.empty()) {
        text += fmt::format(
            "  <testsuite name=\"vkmoe.run\" tests=\"1\" failures=\"0\" skipped=\"0\" errors=\"{}\" "
            "time=\"{:.3f}\">\n    <testcase classname=\"vkmoe.run\" name=\"ran to its end\">",
            errors.size(), report.result.seconds);
        for (const std::string& error : errors)
            text += fmt::format("<error message=\"{}\"/>", xml_escaped(error));
        text += "</testcase>\n  </testsuite>\n";
    }
    return text + "</testsuites>\n";
}

}  // namespace vkmoe::conformance
