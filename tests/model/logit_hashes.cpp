// Hashes of logits, to show that a change of the code keeps every bit. Run by hand:
//
//   logit_hashes write FILE      before the change
//   logit_hashes compare FILE    after it; names the first difference and exits with 1
//
// Both run small random models of every architecture and the bundled one, resident and paged by the device
// and by the host, on prompts of several lengths with decoded tokens after them. --only TEXT limits them to
// cases whose name contains TEXT ("olmoe", "paged by host"). Hashes of different devices, drivers or
// VKMOE_PATH differ, so the file names all three and compare refuses another's.

#include "base/error.h"
#include "engine/session.h"
#include "experts/pager.h"
#include "model/paged_memory.h"
#include "model/tiny_models.h"
#include "unit/temp_folder.h"

#include <fmt/format.h>
#include <xxhash.h>
#include <CLI/CLI.hpp>

#include <fstream>
#include <functional>

namespace vkmoe {
namespace {

constexpr size_t kPromptLengths[] = {1, 8, 30, 600};
constexpr int kDecodedTokens = 4;

struct Paging {
    const char* name;
    PagerMode mode;
};
constexpr Paging kPagings[] = {{"resident", PagerMode::kAuto},
                               {"paged by device", PagerMode::kDevice},
                               {"paged by host", PagerMode::kHost}};

struct Tested {
    std::string name;
    std::string path;
    TensorType kv_type = TensorType::kF16;
};

struct TinyCase {
    const char* name;
    TinyModel model;
    TensorType kv_type = TensorType::kF16;
};

std::vector<TinyCase> tiny_cases() {
    const auto of = [](const char* architecture, uint32_t n_experts, TensorType type) {
        return TinyModel{.architecture = architecture,
                         .n_layers = 3,
                         .n_context = 1024,
                         .n_experts = n_experts,
                         .n_experts_used = 3}
            .with_type(type);
    };
    TinyModel mixed = of("qwen3moe", 12, TensorType::kQ4_K);
    mixed.up_type = TensorType::kQ8_0;
    return {{"llama without experts", of("llama", 0, TensorType::kQ4_K)},
            {"llama", of("llama", 12, TensorType::kQ4_K)},
            {"qwen3moe", of("qwen3moe", 12, TensorType::kQ4_K)},
            {"qwen3moe of mixed types", mixed},
            {"qwen3moe in F32", of("qwen3moe", 12, TensorType::kF32), TensorType::kF32},
            {"olmoe", of("olmoe", 12, TensorType::kQ8_0), TensorType::kQ8_0}};
}

std::vector<Tested> write_models(const TempFolder& folder) {
    std::vector<Tested> models;
    for (const TinyCase& tiny : tiny_cases()) {
        const std::string path = folder / fmt::format("{}.gguf", models.size());
        make_tiny_file(tiny.model).write(path);
        models.push_back({tiny.name, path, tiny.kv_type});
    }
    models.push_back({"bundled model", VKMOE_SOURCE_DIR "/samples/models/babel-moe-14m-f16.gguf"});
    return models;
}

SessionParams session_params(const Tested& tested) {
    return {.n_context = 700, .kv_type = tested.kv_type};
}

/// Null: such a model is not paged.
std::shared_ptr<Model> load(const Tested& tested, PagerMode mode) {
    if (mode == PagerMode::kAuto) return Model::load(tested.path);
    ModelParams params{.pager = mode};
    {
        const auto measured = Model::load(tested.path, params);
        if (measured->pager() == nullptr) return nullptr;
        // So that most records are missed, and prompts stream through the ring.
        params.vram_budget = vram_budget(*measured, session_params(tested), all_slots(*measured) / 3);
    }
    return Model::load(tested.path, params);
}

template <typename T>
uint64_t hash_of(std::span<const T> values) {
    return XXH3_64bits(values.data(), values.size_bytes());
}

/// Called with each case's name and hash, in the same order in every run.
using Report = std::function<void(const std::string& name, uint64_t hash)>;

void hash_prompt(Session& session, size_t n_tokens, const std::string& name, const Report& report) {
    const uint32_t n_vocabulary = session.model().hyper().n_vocabulary;
    std::vector<int32_t> prompt(n_tokens);
    for (size_t i = 0; i < n_tokens; ++i)
        prompt[i] = static_cast<int32_t>((i * i * 31 + i * 7 + n_tokens) % n_vocabulary);
    std::vector<float> logits(n_tokens * n_vocabulary);
    session.truncate(0);
    session.feed(prompt, logits);
    report(name + ", all logits", hash_of(std::span<const float>(logits)));
    report(name + ", last logits", hash_of(session.logits()));
    for (int i = 0; i < kDecodedTokens; ++i) {
        session.feed_written(static_cast<int32_t>((i * 71 + 5) % n_vocabulary));
        report(fmt::format("{}, decoded token {}", name, i), hash_of(session.logits()));
    }
    std::vector<int32_t> greedy{11};
    for (int i = 0; i < kDecodedTokens; ++i) greedy.push_back(session.feed_greedy(greedy.back()));
    report(name + ", greedy tokens", hash_of(std::span<const int32_t>(greedy)));
    const std::vector<uint64_t> counts = session.expert_counts();
    if (!counts.empty()) report(name + ", counts of experts", hash_of(std::span<const uint64_t>(counts)));
}

void hash_all(const std::string& only, const Report& report) {
    const TempFolder folder;
    for (const Tested& tested : write_models(folder)) {
        for (const Paging& paging : kPagings) {
            const std::string name = fmt::format("{}, {}", tested.name, paging.name);
            if (name.find(only) == std::string::npos) continue;
            const auto model = load(tested, paging.mode);
            if (model == nullptr) continue;
            Session session(model, session_params(tested));
            for (const size_t n : kPromptLengths)
                hash_prompt(session, n, fmt::format("{}, prompt of {}", name, n), report);
        }
    }
}

/// The line that a file begins with.
std::string header() {
    const char* path = std::getenv("VKMOE_PATH");
    const std::shared_ptr<Device> device = Device::create();
    const DeviceCaps& caps = device->caps();
    return fmt::format("# logits on {}, {}, VKMOE_PATH={}", caps.name, caps.driver_info, path ? path : "");
}

std::string line_of(const std::string& name, uint64_t hash) {
    return fmt::format("{:016x}  {}", hash, name);
}

void write_hashes(const std::string& path, const std::string& only) {
    std::ofstream file(path);
    file << header() << '\n';
    size_t n = 0;
    hash_all(only, [&](const std::string& name, uint64_t hash) {
        file << line_of(name, hash) << '\n';
        ++n;
    });
    if (!file.flush()) fail(ErrorCode::kIo, "{}: cannot be written", path);
    if (n == 0) fail(ErrorCode::kInvalidArgument, "no case's name contains '{}'", only);
    fmt::print("{} hashes written\n", n);
}

void compare_hashes(const std::string& path, const std::string& only) {
    std::ifstream file(path);
    std::string line;
    if (!std::getline(file, line)) fail(ErrorCode::kIo, "{}: cannot be read", path);
    if (line != header())
        fail(ErrorCode::kInvalidArgument, "{}: begins with '{}', but this run would write '{}'", path, line,
             header());
    const auto next = [&] {
        while (std::getline(file, line)) {
            if (line.find(only) != std::string::npos) return true;
        }
        return false;
    };
    size_t n = 0;
    hash_all(only, [&](const std::string& name, uint64_t hash) {
        const std::string here = line_of(name, hash);
        if (!next()) fail(ErrorCode::kInvalidArgument, "{}: ends before '{}'", path, here);
        if (line != here)
            fail(ErrorCode::kInvalidArgument, "the first difference, after {} equal hashes:\nwas {}\nis  {}",
                 n, line, here);
        ++n;
    });
    if (next())
        fail(ErrorCode::kInvalidArgument, "{}: goes on with '{}', which this run has not", path, line);
    if (n == 0) fail(ErrorCode::kInvalidArgument, "no case's name contains '{}'", only);
    fmt::print("{} hashes are the same\n", n);
}

}  // namespace
}  // namespace vkmoe

int main(int argc, char** argv) {
    CLI::App app{"Writes and compares hashes of logits, to show that a change of the code keeps every bit"};
    app.require_subcommand(1);
    std::string path;
    std::string only;
    CLI::App* write = app.add_subcommand("write", "Write the hashes to FILE");
    CLI::App* compare = app.add_subcommand("compare", "Compare with FILE and name the first difference");
    for (CLI::App* command : {write, compare}) {
        command->add_option("FILE", path)->required();
        command->add_option("--only", only, "Only cases whose name contains TEXT")->option_text("TEXT");
    }
    CLI11_PARSE(app, argc, argv);
    try {
        if (write->parsed()) vkmoe::write_hashes(path, only);
        if (compare->parsed()) vkmoe::compare_hashes(path, only);
    } catch (const std::exception& error) {
        fmt::print(stderr, "logit_hashes: {}\n", error.what());
        return 1;
    }
    return 0;
}
