#include "cli/output_option.h"

#include "base/standard_streams.h"
#include "cli/options.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace vkmoe::cli {
namespace {

constexpr const char* kOutputMark = "output";
constexpr std::array<std::string_view, 3> kStandardOutput = {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"};

/// A path and the option that gave it.
struct GivenPath {
    std::string option;
    std::string path;
};

bool has_mark(CLI::Option& option, const std::string& mark) {
    try {
        return option.get_validator(mark) != nullptr;
    } catch (const CLI::OptionNotFound&) {
        return false;
    }
}

/// Those of the options with the mark, also in groups of options.
void collect(CLI::App& command, const std::string& mark, std::vector<GivenPath>& paths) {
    for (CLI::Option* option : command.get_options()) {
        if (!has_mark(*option, mark)) continue;
        for (const std::string& path : option->results())
            if (!path.empty()) paths.push_back({option->get_name(), path});
    }
    for (CLI::App* group : command.get_subcommands({})) collect(*group, mark, paths);
}

std::vector<GivenPath> paths_of(CLI::App& command, const std::string& mark) {
    std::vector<GivenPath> paths;
    collect(command, mark, paths);
    return paths;
}

/// All parts of the split model that a path names one part of, by their names.
std::vector<std::string> parts_of(const std::string& path) {
    static const std::regex kPart("(.*)-[0-9]{5}-of-([0-9]{5})\\.gguf");
    std::smatch match;
    if (!std::regex_match(path, match, kPart)) return {path};
    const int n_parts = std::stoi(match[2]);
    std::vector<std::string> parts;
    for (int i = 1; i <= n_parts; ++i)
        parts.push_back(fmt::format("{}-{:05}-of-{:05}.gguf", match[1].str(), i, n_parts));
    return parts;
}

/// Of a regular file, its device and number; nothing for other files, such as /dev/null, which may be read
/// and written at once.
struct FileId {
    dev_t device;
    ino_t number;
    bool operator==(const FileId&) const = default;
};

std::optional<FileId> regular_file(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    return FileId{status.st_dev, status.st_ino};
}

/// Whether two outputs are or will be one regular file.
bool would_be_one(const std::string& a, const std::string& b) {
    std::error_code error;
    if (std::filesystem::exists(a, error)) return regular_file(a) && regular_file(a) == regular_file(b);
    return std::filesystem::weakly_canonical(a, error) == std::filesystem::weakly_canonical(b, error) &&
           !error;
}

}  // namespace

CLI::Validator output_file() {
    return CLI::Validator([](std::string&) { return std::string(); }, "", kOutputMark);
}

void refuse_inputs_as_outputs(CLI::App& command) {
    const std::vector<GivenPath> outputs = paths_of(command, kOutputMark);
    const std::vector<GivenPath> inputs = paths_of(command, kInputMark);
    for (size_t i = 0; i < outputs.size(); ++i) {
        const GivenPath& output = outputs[i];
        if (standard_output_was_closed() &&
            std::ranges::find(kStandardOutput, output.path) != kStandardOutput.end())
            throw CLI::ValidationError(output.option, fmt::format("'{}' is closed", output.path));
        for (size_t other = 0; other < i; ++other) {
            if (!would_be_one(output.path, outputs[other].path)) continue;
            throw CLI::ValidationError(
                output.option, fmt::format("'{}' is also written by {}; give another path", output.path,
                                           outputs[other].option));
        }
        const std::optional<FileId> written = regular_file(output.path);
        if (!written) continue;
        for (const GivenPath& input : inputs) {
            for (const std::string& part : parts_of(input.path)) {
                if (regular_file(part) != written) continue;
                throw CLI::ValidationError(
                    output.option, fmt::format("'{}' is an input, '{}' of {}; give another path", output.path,
                                               part, input.option));
            }
        }
    }
}

}  // namespace vkmoe::cli
