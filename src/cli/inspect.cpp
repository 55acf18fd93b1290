#include "base/error.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/expert_sizes.h"
#include "cli/gguf_json.h"
#include "cli/json_text.h"
#include "cli/options.h"
#include "formats/gguf.h"
#include "model/file_check.h"
#include "model/tensor_names.h"
#include "text/complete_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vkmoe::cli {
namespace {

using Lines = std::vector<std::pair<std::string, std::string>>;

struct TypeShare {
    size_t tensors = 0;
    uint64_t bytes = 0;
};

/// Reads <architecture>.NAME where it is there and a number.
class ArchitectureKeys {
  public:
    explicit ArchitectureKeys(const GgufFile& file)
        : file_(file), architecture_(file.get_or<std::string>("general.architecture", "")) {}

    const std::string& architecture() const { return architecture_; }

    std::optional<uint64_t> number(std::string_view name) const {
        const GgufValue* value = file_.find(fmt::format("{}.{}", architecture_, name));
        return value == nullptr ? std::nullopt : value->uniform<uint64_t>();
    }

  private:
    const GgufFile& file_;
    std::string architecture_;
};

/// Parameters of which a token meets only its experts' share.
double parameters_at_work(const GgufFile& file, uint64_t n_experts, uint64_t n_used) {
    double total = 0;
    for (const GgufTensor& tensor : file.tensors()) {
        const double share =
            is_of_experts(tensor.name) ? static_cast<double>(n_used) / static_cast<double>(n_experts) : 1.0;
        total += share * static_cast<double>(tensor.n_elements());
    }
    return total;
}

std::string parameters(const GgufFile& file, const ArchitectureKeys& keys) {
    double total = 0;
    for (const GgufTensor& tensor : file.tensors()) total += static_cast<double>(tensor.n_elements());
    std::string text = human_count(total);
    const auto n_experts = keys.number("expert_count");
    const auto n_used = keys.number("expert_used_count");
    if (n_experts.value_or(0) != 0 && n_used) {
        text +=
            fmt::format(", {} active per token", human_count(parameters_at_work(file, *n_experts, *n_used)));
    }
    return text;
}

std::string heads(const ArchitectureKeys& keys) {
    const uint64_t n_heads = keys.number("attention.head_count").value_or(0);
    std::string text = std::to_string(n_heads);
    if (const auto n_kv = keys.number("attention.head_count_kv")) text += fmt::format(", {} KV heads", *n_kv);
    auto dimensions = keys.number("attention.key_length");
    if (!dimensions && n_heads != 0) dimensions = keys.number("embedding_length").value_or(0) / n_heads;
    return dimensions ? text + fmt::format(", {} dimensions each", *dimensions) : text;
}

std::string vocabulary(const GgufFile& file) {
    const GgufValue* tokens = file.find("tokenizer.ggml.tokens");
    if (tokens == nullptr || tokens->array() == nullptr) return "none in the file";
    std::string text =
        fmt::format("{} tokens, {}", tokens->array()->size(),
                    printable(file.get_or<std::string>("tokenizer.ggml.model", "of an unknown kind")));
    try {
        VocabularyData data = read_vocabulary(file);
        const VocabularyFindings findings = complete_vocabulary(data);
        // The same warnings as where a tokenizer is made.
        for (const std::string& warning : findings.warnings) log_warn("{}: {}", file.path(), warning);
        if (!data.pre.empty()) text += fmt::format(" with pre-tokenizer {}", printable(data.pre));
        if (findings.pre_recognized) text += " (recognized by its tokens; the file does not name it)";
    } catch (const Error& error) {
        log_warn("{}", error.what());
    }
    return text;
}

Lines summary(const GgufFile& file, const FileCheck& check) {
    const ArchitectureKeys keys(file);
    Lines lines;
    std::string parts = file.n_parts() == 1 ? "" : fmt::format(" in {} files", file.n_parts());
    lines.emplace_back("file", fmt::format("{} (GGUF v{}, {}{})", printable(file.path()), file.version(),
                                           human_bytes(file.file_bytes()), parts));
    lines.emplace_back("name", printable(file.get_or<std::string>("general.name", "")));
    lines.emplace_back("supported", check.refusal.empty() ? "yes" : "no: " + check.refusal);
    if (keys.architecture().empty()) return lines;
    lines.emplace_back("architecture", printable(keys.architecture()));
    lines.emplace_back("parameters", parameters(file, keys));
    const auto add_number = [&](const char* title, std::string_view key) {
        if (const auto value = keys.number(key)) lines.emplace_back(title, std::to_string(*value));
    };
    add_number("layers", "block_count");
    add_number("embedding", "embedding_length");
    lines.emplace_back("heads", heads(keys));
    if (const auto n_experts = keys.number("expert_count"); n_experts.value_or(0) != 0) {
        std::string text = fmt::format("{} per layer, {} active per token", *n_experts,
                                       keys.number("expert_used_count").value_or(0));
        auto width = keys.number("expert_feed_forward_length");
        if (!width) width = keys.number("feed_forward_length");
        if (width) text += fmt::format(", size {}", *width);
        lines.emplace_back("experts", text);
    } else {
        add_number("feed forward", "feed_forward_length");
    }
    add_number("context", "context_length");
    lines.emplace_back("vocabulary", vocabulary(file));
    return lines;
}

Lines tensor_types(const GgufFile& file) {
    std::map<std::string_view, TypeShare> shares;
    uint64_t total = 0;
    for (const GgufTensor& tensor : file.tensors()) {
        TypeShare& share = shares[tensor_type_info(tensor.type).name];
        ++share.tensors;
        share.bytes += tensor.n_bytes;
        total += tensor.n_bytes;
    }
    std::vector<std::pair<std::string_view, TypeShare>> ordered(shares.begin(), shares.end());
    std::ranges::sort(ordered, [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
    Lines lines;
    for (const auto& [name, share] : ordered) {
        lines.emplace_back(
            name, fmt::format("{:>5} tensors  {:>12}  {:5.1f}%", share.tensors, human_bytes(share.bytes),
                              100.0 * static_cast<double>(share.bytes) / static_cast<double>(total)));
    }
    return lines;
}

/// "3.00 MiB in 24 layers, 3.38 MiB in 24 layers"
std::string by_class(const ExpertSizes& sizes, uint64_t n_experts) {
    std::string text;
    for (const ExpertClass& size : sizes.classes) {
        text += fmt::format("{}{}", text.empty() ? "" : ", ", human_bytes(size.expert_bytes * n_experts));
        if (sizes.classes.size() > 1)
            text += fmt::format(" in {} layer{}", size.n_layers, size.n_layers == 1 ? "" : "s");
    }
    return text;
}

Lines memory(const GgufFile& file, const FileCheck& check) {
    const ExpertSizes sizes = expert_sizes(file);
    if (sizes.classes.empty()) return {{"all weights", human_bytes(sizes.dense_bytes)}};
    Lines lines = {{"dense weights", human_bytes(sizes.dense_bytes)},
                   {"one expert", by_class(sizes, 1)},
                   {"experts per layer", by_class(sizes, sizes.n_experts)},
                   {"all experts", human_bytes(sizes.all_experts())}};
    if (check.refusal.empty()) {
        lines.emplace_back(
            "minimum", fmt::format("{} on the device, with the {} active experts of one token in one layer; "
                                   "a session takes more (see vkmoe plan)",
                                   human_bytes(sizes.least_bytes()), sizes.n_used));
    }
    return lines;
}

std::string describe_file(const GgufFile& file) {
    const FileCheck check = check_file(file);
    std::string text;
    const auto append = [&text](const Lines& lines, std::string_view indent, size_t width) {
        for (const auto& [title, value] : lines)
            text += fmt::format("{}{:<{}}  {}\n", indent, title, width, value);
    };
    append(summary(file, check), "", 12);
    text += "tensors\n";
    append(tensor_types(file), "  ", 10);
    text += "weights\n";
    append(memory(file, check), "  ", 17);
    if (!check.warnings.empty()) text += "warnings\n";
    for (const std::string& warning : check.warnings) text += fmt::format("  {}\n", warning);
    text += "metadata\n";
    Lines metadata;
    size_t width = 0;
    for (const GgufEntry& entry : file.entries()) {
        metadata.emplace_back(printable(entry.key), describe(entry.value));
        width = std::max(width, metadata.back().first.size());
    }
    append(metadata, "  ", width);
    return text;
}

}  // namespace

void add_inspect_command(CLI::App& app) {
    struct Options {
        std::string path;
        bool json = false;
    };
    CLI::App* command = app.add_subcommand("inspect", "Show the contents of a model file; needs no device");
    const auto options = std::make_shared<Options>();
    command->add_option("MODEL", options->path, "GGUF model file; any part of a split model")
        ->required()
        ->check(existing_file())
        ->type_name("FILE");
    command->add_flag("--json", options->json, "Print all metadata and every tensor as JSON");
    command->callback([options] {
        const GgufFile file(options->path);
        StandardOutput().write(options->json ? json_text(gguf_to_json(file), 1) : describe_file(file));
    });
}

}  // namespace vkmoe::cli
