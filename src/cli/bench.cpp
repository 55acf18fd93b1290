#include "base/error.h"
#include "base/input_file.h"
#include "base/output_file.h"
#include "cli/api.h"
#include "cli/batch_speeds.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/output_option.h"
#include "cli/pager_report.h"
#include "cli/spread.h"
#include "formats/gguf_value.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace vkmoe::cli {
namespace {

constexpr uint32_t kMaxBatch = 4096;

struct Options {
    std::string model;
    std::string file;
    uint32_t n_prompt = 512;
    uint32_t n_decode = 128;
    uint32_t n_repeats = 5;
    std::string batch;  // row counts; empty: prompt and decode are measured
    std::string svg;
    SessionOptions session;
    std::string device;
    LoadOptions load;
    bool json = false;

    /// Tokens before decoding, which begins from one even where no prompt is measured.
    uint32_t n_first() const { return std::max(n_prompt, 1u); }
    vkmoe_session_params session_params() const { return session.params(n_first() + n_decode); }
};

/// Of one part of the work, over all repeats.
struct Measured {
    std::vector<double> tokens_per_second;
    vkmoe_pager_stats pager{};  // of the last repeat
};

/// The first n tokens of the text, or random ones: the same each time.
std::vector<int32_t> prompt_tokens(const Options& options, const vkmoe_model* model, size_t n) {
    if (!options.file.empty()) {
        std::vector<int32_t> tokens = tokenize(model, read_text(options.file), VKMOE_TOKENIZE_ADD_SPECIAL);
        if (tokens.size() < n) {
            fail(ErrorCode::kInvalidArgument,
                 "'{}' has {} tokens, fewer than {}; give more text or a smaller -p", options.file,
                 tokens.size(), n);
        }
        tokens.resize(n);
        return tokens;
    }
    std::mt19937 random(1);
    std::uniform_int_distribution<int32_t> any(0, static_cast<int32_t>(model_info(model).n_vocabulary) - 1);
    std::vector<int32_t> tokens(n);
    for (int32_t& token : tokens) token = any(random);
    return tokens;
}

bool goes_on(int32_t, const char*, size_t, void*) {
    return !interrupted();
}

class Bench {
  public:
    Bench(const Options& options, vkmoe_model* model)
        : options_(options),
          tokens_(prompt_tokens(options, model, options.n_first())),
          session_(create_session(model, options.session_params())) {
        vkmoe_sampling_default(&greedy_, sizeof greedy_);
        greedy_.temperature = 0;
        greedy_.ignore_end = true;
    }

    void run() {
        Progress progress("bench");
        const uint32_t n_runs = 1 + options_.n_repeats;
        for (uint32_t i = 0; i < n_runs; ++i) {
            measure_once();
            // The first run makes pipelines and records command buffers: it only warms up.
            if (i == 0) prompt_ = decode_ = {};
            progress.update((i + 1.0) / n_runs);
        }
    }

    const Measured& prompt() const { return prompt_; }
    const Measured& decode() const { return decode_; }
    vkmoe_pager_stats pager() const { return session_pager_stats(session_.get()); }

  private:
    void measure_once() {
        check(vkmoe_session_truncate(session_.get(), 0));
        measure(prompt_, options_.n_prompt,
                [&] { check(vkmoe_session_feed(session_.get(), tokens_.data(), tokens_.size(), nullptr)); });
        measure(decode_, options_.n_decode, [&] {
            check(vkmoe_session_generate(session_.get(), &greedy_, options_.n_decode, goes_on, nullptr));
        });
    }

    template <typename Work>
    void measure(Measured& measured, uint32_t n_tokens, const Work& work) {
        const vkmoe_pager_stats before = pager();
        const auto start = std::chrono::steady_clock::now();
        work();
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        measured.tokens_per_second.push_back(n_tokens / seconds.count());
        measured.pager = pager_difference(before, pager());
    }

    const Options& options_;
    std::vector<int32_t> tokens_;
    SessionHandle session_;
    vkmoe_sampling greedy_{};
    Measured prompt_;
    Measured decode_;
};

std::string describe(std::string_view what, uint32_t n_tokens, const Measured& measured) {
    if (n_tokens == 0) return {};
    const Spread speed = spread_of(measured.tokens_per_second);
    return fmt::format("{} of {} tokens: {:.2f} tok/s (median of {}; {:.2f} to {:.2f})\n", what, n_tokens,
                       speed.median, measured.tokens_per_second.size(), speed.least, speed.most);
}

/// "model: ..." and "device: ...", as all reports begin.
std::string describe(const vkmoe_model_info& info) {
    return fmt::format("model: {} ({}), {} parameters, {} in device memory\ndevice: {}, {}\n",
                       printable(info.name, 200), info.architecture,
                       human_count(static_cast<double>(info.n_parameters)), human_bytes(info.weight_bytes),
                       info.device, info.driver);
}

std::string describe(const Options& options, const vkmoe_model_info& info, const Bench& bench) {
    std::string text = describe(info);
    text += describe("prompt", options.n_prompt, bench.prompt());
    text += describe("decode", options.n_decode, bench.decode());
    // What paging costs is seen best where tokens come one by one.
    return text + describe_pager(options.n_decode != 0 ? bench.decode().pager : bench.prompt().pager);
}

nlohmann::ordered_json to_json(const vkmoe_model_info& info) {
    return {{"model", info.name},
            {"architecture", info.architecture},
            {"parameters", info.n_parameters},
            {"weight_bytes", info.weight_bytes},
            {"device", info.device},
            {"driver", info.driver},
            {"vkmoe", vkmoe_version()}};
}

nlohmann::ordered_json to_json(uint32_t n_tokens, const Measured& measured) {
    if (n_tokens == 0) return nullptr;
    const Spread speed = spread_of(measured.tokens_per_second);
    return {{"tokens", n_tokens},
            {"tokens_per_second",
             {{"median", speed.median},
              {"least", speed.least},
              {"most", speed.most},
              {"all", measured.tokens_per_second}}},
            {"pager", pager_json(measured.pager)}};
}

std::string to_json(const Options& options, const vkmoe_model_info& info, const Bench& bench) {
    const vkmoe_pager_stats memory = bench.pager();
    nlohmann::ordered_json json = to_json(info);
    json.update({{"micro_batch", options.session.n_micro_batch},
                 {"kv", options.session.kv_type},
                 {"prompt", to_json(options.n_prompt, bench.prompt())},
                 {"decode", to_json(options.n_decode, bench.decode())},
                 {"peak_device_bytes", memory.peak_device_bytes}});
    return json_text(json);
}

/// Measures steps of several numbers of rows, each right after the prompt.
void run_batches(const Options& options) {
    const std::vector<uint32_t> row_counts = parse_row_counts(options.batch, kMaxBatch);
    std::optional<OutputFile> svg;
    if (!options.svg.empty()) svg.emplace(options.svg);
    catch_interrupts();
    const uint32_t most = row_counts.back();
    SessionOptions shape = options.session;
    shape.n_micro_batch = std::max(shape.n_micro_batch, most);
    const vkmoe_session_params params = shape.params(options.n_prompt + most);
    const ModelHandle model = load_model(options.model, options.device, options.load, params);
    const std::vector<int32_t> tokens = prompt_tokens(options, model.get(), options.n_prompt + most);
    const SessionHandle session = create_session(model.get(), params);
    const auto feed = [&](size_t first, size_t n) {
        const auto start = std::chrono::steady_clock::now();
        check(vkmoe_session_feed(session.get(), tokens.data() + first, n, nullptr));
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    Progress progress("bench");
    feed(0, options.n_prompt);
    const std::vector<BatchSpeed> speeds = measure_batches(
        row_counts, options.n_repeats,
        [&](uint32_t n_rows) {
            check(vkmoe_session_truncate(session.get(), options.n_prompt));
            return feed(options.n_prompt, n_rows);
        },
        [&](double done) { progress.update(done); });
    const vkmoe_model_info info = model_info(model.get());
    if (options.json) {
        nlohmann::ordered_json json = to_json(info);
        json.update({{"kv", options.session.kv_type}, {"context", options.n_prompt}});
        json.update(batch_json(speeds));
        StandardOutput().write(json_text(json));
    } else {
        StandardOutput().write(fmt::format("{}steps after {} tokens: median of {}\n{}", describe(info),
                                           options.n_prompt, options.n_repeats, batch_table(speeds)));
    }
    if (svg) {
        svg->write(
            batch_svg(fmt::format("Speed of {} by rows", printable(info.name, 60)), info.device, speeds));
        svg->commit();
    }
}

void run_bench(const Options& options) {
    if (!options.batch.empty()) return run_batches(options);
    if (options.n_prompt == 0 && options.n_decode == 0)
        fail(ErrorCode::kInvalidArgument, "nothing to measure; give -p or -n");
    catch_interrupts();
    const ModelHandle model =
        load_model(options.model, options.device, options.load, options.session_params());
    const vkmoe_model_info info = model_info(model.get());
    Bench bench(options, model.get());
    bench.run();
    StandardOutput().write(options.json ? to_json(options, info, bench) : describe(options, info, bench));
}

}  // namespace

void add_bench_command(CLI::App& app) {
    constexpr uint32_t kMaxTokens = 1U << 20;
    CLI::App* command = app.add_subcommand(
        "bench", "Measure prefill and greedy decode speed in tokens per second, after a warm-up run");
    const auto options = std::make_shared<Options>();
    add_model_option(*command, options->model);
    command
        ->add_option("-p,--prompt-tokens", options->n_prompt,
                     "Number of prompt tokens; 0 measures decode only")
        ->check(whole_number(0, kMaxTokens))
        ->type_name("N");
    CLI::Option* decode = command
                              ->add_option("-n,--tokens", options->n_decode,
                                           "Number of tokens to decode; 0 measures prefill only")
                              ->check(whole_number(0, kMaxTokens))
                              ->type_name("N");
    command->add_option("-r,--repeats", options->n_repeats, "Number of measured repeats")
        ->check(whole_number(1, 1000))
        ->type_name("N");
    command
        ->add_option("-f,--file", options->file,
                     "Text file for the prompt. The default is random tokens, which route unlike real text; "
                     "give a text "
                     "to measure the cost of paging")
        ->check(existing_text())
        ->type_name("FILE");
    add_session_options(*command, options->session);
    add_device_option(*command, options->device);
    add_load_options(*command, options->load);
    CLI::Option* batch =
        command
            ->add_option(
                "--batch", options->batch,
                "Measure single steps of so many rows instead, each after -p tokens: numbers such as 1,2,4,8 "
                "and ranges such as 1-64. Says where one more row makes a step over 1.15 times as long a row")
            ->excludes(decode)
            ->type_name("N-N|N,...");
    command
        ->add_option("--svg", options->svg, "With --batch: write a plot of tokens per second by rows to FILE")
        ->needs(batch)
        ->check(output_file())
        ->type_name("FILE");
    command->add_flag("--json", options->json,
                      "Print JSON, with speeds in tokens per second and sizes in bytes");
    command->callback([options] { run_bench(*options); });
}

}  // namespace vkmoe::cli
