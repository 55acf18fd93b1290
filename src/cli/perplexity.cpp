#include "base/error.h"
#include "base/input_file.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/likelihood.h"
#include "cli/options.h"
#include "cli/router_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vkmoe::cli {
namespace {

// Rows of logits that are fetched at once are held to so many numbers, 64 MiB.
constexpr size_t kMaxLogits = size_t{1} << 24;

struct Options {
    std::string model;
    std::string file;
    uint32_t n_context = 512;
    SessionOptions session;
    std::string device;
    LoadOptions load;
    RouterReportOption router_report;
};

/// The token that the model puts before a text, if any.
std::optional<int32_t> begin_token(const vkmoe_model* model) {
    const std::vector<int32_t> plain = tokenize(model, "a", 0);
    const std::vector<int32_t> special = tokenize(model, "a", VKMOE_TOKENIZE_ADD_SPECIAL);
    const bool has_begin =
        special.size() > plain.size() && !std::equal(plain.begin(), plain.end(), special.begin());
    return has_begin ? std::optional(special.front()) : std::nullopt;
}

/// Scores the second half of a chunk, each token but the chunk's first half by what comes before it: every
/// token that is scored has at least half a context to go by.
void score_chunk(vkmoe_session* session, uint32_t n_vocabulary, std::span<const int32_t> chunk,
                 PerplexityEstimate& estimate) {
    check(vkmoe_session_truncate(session, 0));
    const size_t first = chunk.size() / 2;
    check(vkmoe_session_feed(session, chunk.data(), first, nullptr));
    const size_t portion = std::clamp<size_t>(kMaxLogits / n_vocabulary, 1, chunk.size());
    std::vector<float> logits;
    // After the last token nothing is there to be predicted.
    const size_t end = chunk.size() - 1;
    for (size_t at = first; at < end; at += portion) {
        const size_t n = std::min(portion, end - at);
        logits.resize(n * n_vocabulary);
        check(vkmoe_session_feed(session, chunk.data() + at, n, logits.data()));
        for (size_t i = 0; i < n; ++i) {
            const std::span row = std::span(logits).subspan(i * n_vocabulary, n_vocabulary);
            estimate.add(negative_log_likelihood(row, chunk[at + i + 1]));
        }
    }
}

void measure(const Options& options) {
    const std::string text = read_text(options.file);
    catch_interrupts();
    vkmoe_session_params params = options.session.params(options.n_context);
    params.router_statistics = options.router_report.wanted;
    const ModelHandle model = load_model(options.model, options.device, options.load, params);
    const vkmoe_model_info info = model_info(model.get());
    const uint32_t n_vocabulary = info.n_vocabulary;
    RouterReport router_report(options.router_report, info);
    std::vector<int32_t> tokens = tokenize(model.get(), text, VKMOE_TOKENIZE_ADD_SPECIAL);
    const size_t n_context = options.n_context;
    const size_t n_chunks = tokens.size() / n_context;
    if (n_chunks == 0) {
        fail(ErrorCode::kInvalidArgument,
             "'{}' has {} tokens, fewer than one context of {}; give more text or a smaller -c", options.file,
             tokens.size(), n_context);
    }
    const std::optional<int32_t> begin = begin_token(model.get());
    const SessionHandle session = create_session(model.get(), params);

    const auto start = std::chrono::steady_clock::now();
    PerplexityEstimate estimate;
    {
        Progress progress("perplexity");
        for (size_t i = 0; i < n_chunks; ++i) {
            const std::span<int32_t> chunk = std::span(tokens).subspan(i * n_context, n_context);
            if (begin) chunk[0] = *begin;
            score_chunk(session.get(), n_vocabulary, chunk, estimate);
            progress.update(static_cast<double>(i + 1) / static_cast<double>(n_chunks),
                            fmt::format("PPL {:.4f} +/- {:.4f}", estimate.perplexity(), estimate.error()));
        }
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const size_t n_tokens = n_chunks * n_context;
    StandardOutput().write(fmt::format(
        "estimate: PPL = {:.4f} +/- {:.5f} ({} tokens, {:.1f} s, {:.1f} tok/s)\n", estimate.perplexity(),
        estimate.error(), n_tokens, seconds, static_cast<double>(n_tokens) / seconds));
    router_report.finish(session.get());
}

}  // namespace

void add_perplexity_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand("perplexity",
                                           "Compute the perplexity of a text the way llama-perplexity does: "
                                           "the text is split into contexts, and "
                                           "the second half of each context is scored");
    const auto options = std::make_shared<Options>();
    add_model_option(*command, options->model);
    command->add_option("-f,--file", options->file, "Text file; - reads standard input")
        ->required()
        ->check(existing_text())
        ->type_name("FILE");
    command->add_option("-c,--context", options->n_context, "Context size in tokens")
        ->check(whole_number(8, 1U << 20));
    add_session_options(*command, options->session);
    add_router_report_option(*command, options->router_report);
    add_device_option(*command, options->device);
    add_load_options(*command, options->load);
    command->callback([options] { measure(*options); });
}

}  // namespace vkmoe::cli
