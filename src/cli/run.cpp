#include "base/standard_streams.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/expert_use.h"
#include "cli/options.h"
#include "cli/pager_report.h"
#include "cli/router_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace vkmoe::cli {
namespace {

// The context where none is asked for, as the C API has it.
constexpr uint32_t kDefaultContext = 4096;
constexpr uint32_t kMaxCount = 1U << 30;

struct Options {
    std::string model;
    TextOption prompt;
    size_t n_tokens = 256;
    uint32_t n_context = 0;
    SessionOptions session;
    vkmoe_sampling sampling{};
    std::string device;
    LoadOptions load;
    bool profile = false;
    bool no_prompt = false;
    RouterReportOption router_report;
};

/// What the callback of vkmoe_session_generate works on. Exceptions may not pass through C.
struct Stream {
    StandardOutput out;
    std::exception_ptr failure;
    bool ends_line = false;

    bool write(std::string_view text) noexcept {
        try {
            out.write(text);
            if (!text.empty()) ends_line = text.back() == '\n';
            return true;
        } catch (...) {
            failure = std::current_exception();
            return false;
        }
    }
};

bool on_token(int32_t, const char* text, size_t n_bytes, void* user) {
    return static_cast<Stream*>(user)->write({text, n_bytes}) && !interrupted();
}

/// In portions, so that there is a bar to see and a Ctrl-C is heard.
void feed_prompt(vkmoe_session* session, const std::vector<int32_t>& tokens, size_t portion) {
    Progress progress("prompt");
    for (size_t done = 0; done < tokens.size();) {
        const size_t n = std::min(portion, tokens.size() - done);
        check(vkmoe_session_feed(session, tokens.data() + done, n, nullptr));
        done += n;
        progress.update(static_cast<double>(done) / static_cast<double>(tokens.size()));
    }
}

std::string speed(uint64_t n_tokens, double seconds) {
    const std::string_view noun = n_tokens == 1 ? "token" : "tokens";
    if (n_tokens == 0 || seconds <= 0) return fmt::format("{} {}", n_tokens, noun);
    return fmt::format("{} {}, {:.1f} tok/s", n_tokens, noun, static_cast<double>(n_tokens) / seconds);
}

void print_statistics(vkmoe_session* session, const vkmoe_model_info& info) {
    const vkmoe_session_stats stats = session_stats(session);
    print_standard_error("prompt {}; decode {}\n", speed(stats.prompt_tokens, stats.prompt_seconds),
                         speed(stats.decoded_tokens, stats.decode_seconds));
    print_standard_error("{}", describe_pager(session_pager_stats(session)));
    if (info.n_experts != 0) {
        std::vector<uint64_t> counts(size_t{info.n_layers} * info.n_experts);
        check(vkmoe_session_expert_counts(session, counts.data(), counts.size()));
        print_standard_error("{}\n", describe_expert_use(counts, info.n_experts));
    }
    print_standard_error("{}", vkmoe_session_profile(session));
}

void run(const Options& options) {
    const std::string prompt = options.prompt.read();
    catch_interrupts();
    vkmoe_session_params params = options.session.params(options.n_context);
    params.profile = options.profile;
    params.router_statistics = options.router_report.wanted;
    const ModelHandle model = load_model(options.model, options.device, options.load, params);
    const vkmoe_model_info info = model_info(model.get());
    const std::vector<int32_t> tokens =
        tokenize(model.get(), prompt, VKMOE_TOKENIZE_ADD_SPECIAL | VKMOE_TOKENIZE_PARSE_SPECIAL);
    if (tokens.empty()) throw std::runtime_error("the prompt has no tokens; give a text with -p or -f");
    const uint32_t n_context =
        options.n_context != 0 ? options.n_context : std::min(kDefaultContext, info.n_context_train);
    if (tokens.size() > n_context) {
        throw std::runtime_error(fmt::format(
            "the prompt has {} tokens, more than the context of {}; shorten it or use a larger -c",
            tokens.size(), n_context));
    }
    RouterReport router_report(options.router_report, info);
    params.n_context = n_context;
    const SessionHandle session = create_session(model.get(), params);
    feed_prompt(session.get(), tokens, options.session.n_micro_batch);

    Stream stream;
    if (!options.no_prompt) stream.out.write(prompt);
    const vkmoe_status status =
        vkmoe_session_generate(session.get(), &options.sampling, options.n_tokens, on_token, &stream);
    if (stream.failure) std::rethrow_exception(stream.failure);
    if (status != VKMOE_CANCELLED) check(status);
    if (!stream.ends_line) stream.out.write("\n");
    if (status == VKMOE_OK && vkmoe_session_position(session.get()) == n_context)
        print_standard_error("the context of {} tokens is full\n", n_context);
    print_statistics(session.get(), info);
    router_report.finish(session.get());
}

void add_sampling_options(CLI::App& command, vkmoe_sampling& sampling) {
    constexpr double kLargest = std::numeric_limits<float>::max();
    command
        .add_option("--temp", sampling.temperature,
                    "Sampling temperature; 0 selects the most likely token (greedy)")
        ->check(number_in_range(0, false, kLargest, false, "of 0 or more"));
    command.add_option("--top-k", sampling.top_k, "Sample from the K most likely tokens; 0 means all tokens")
        ->check(whole_number(0, kMaxCount));
    command
        .add_option("--top-p", sampling.top_p,
                    "Sample from the smallest set of tokens with this total probability (nucleus sampling)")
        ->check(number_in_range(0, true, 1, false, "above 0 and at most 1"));
    command
        .add_option("--min-p", sampling.min_p,
                    "Exclude tokens whose probability is below this fraction of the most likely token's")
        ->check(number_in_range(0, false, 1, false, "from 0 to 1"));
    command
        .add_option("--repeat-penalty", sampling.repetition_penalty,
                    "Penalty on the logits of recent tokens; 1 disables it")
        ->check(number_in_range(0, true, kLargest, false, "above 0"));
    command
        .add_option("--repeat-window", sampling.repetition_window,
                    "Number of recent tokens that the penalty considers")
        ->check(whole_number(0, kMaxCount));
    command
        .add_option("--seed", sampling.seed,
                    "Random seed; the same seed, prompt and options give the same text on one device")
        ->check(whole_number(0));
    command.add_flag("--ignore-end", sampling.ignore_end, "Continue after an end-of-text token");
}

}  // namespace

void add_run_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand(
        "run",
        "Generate text from a prompt; text goes to stdout, device, speed and expert statistics to stderr");
    const auto options = std::make_shared<Options>();
    vkmoe_sampling_default(&options->sampling, sizeof options->sampling);
    add_model_option(*command, options->model);
    add_text_option(*command, options->prompt, "Prompt");
    command->add_option("-n,--tokens", options->n_tokens, "Generate at most N tokens")
        ->check(whole_number(0));
    command
        ->add_option("-c,--context", options->n_context,
                     "Context size in tokens, for prompt and generated text; 0 means 4096, or the model's "
                     "trained context "
                     "if that is shorter")
        ->check(whole_number(0, 1U << 30));
    add_sampling_options(*command, options->sampling);
    add_session_options(*command, options->session);
    add_device_option(*command, options->device);
    add_load_options(*command, options->load);
    add_router_report_option(*command, options->router_report);
    command->add_flag("--profile", options->profile, "Print GPU time by region");
    command->add_flag("--no-prompt", options->no_prompt, "Do not print the prompt before the text");
    command->callback([options] { run(*options); });
}

}  // namespace vkmoe::cli
