#include "base/error.h"
#include "base/input_file.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "cli/output_option.h"
#include "engine/session.h"
#include "experts/trace.h"
#include "gpu/plan.h"
#include "model/look_ahead.h"
#include "model/weights.h"
#include "text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace vkmoe::cli {
namespace {

// As many as are computed by the kernels of decode: more would add numbers up in another order, and where two
// experts are nearly equal a router would choose the other one.
constexpr uint32_t kBatch = RegisterPlan{}.few_tokens;

struct Options {
    std::string model;
    std::vector<std::string> files;
    std::string trace;
    size_t n_tokens = 0;
    uint32_t n_context = 0;
    std::string device;
    LoadOptions load;
};

/// How many of the experts that were used the look-ahead had named.
class Recall {
  public:
    void add(const Routes& routes) {
        for (uint32_t token = 0; token < routes.n_tokens; ++token) {
            for (uint32_t layer = 0; layer + 1 < routes.n_layers; ++layer) add(routes, token, layer);
        }
    }
    bool is_empty() const { return n_used_ == 0; }
    std::string describe(const TraceShape& shape) const {
        const auto share = [&](uint64_t n) { return static_cast<double>(n) / static_cast<double>(n_used_); };
        return fmt::format(
            "look-ahead: {:.1f}% of the experts used are among its top {} predictions, {:.1f}% among all "
            "{}\n",
            100 * share(at_used_), shape.n_used, 100 * share(at_all_), shape.n_predicted);
    }

  private:
    void add(const Routes& routes, uint32_t token, uint32_t layer) {
        const size_t row = size_t{token} * (routes.n_layers - 1) + layer;
        const auto named = std::span(routes.predicted).subspan(row * routes.n_predicted, routes.n_predicted);
        const size_t next = size_t{token} * routes.n_layers + layer + 1;
        for (const uint32_t used : std::span(routes.ids).subspan(next * routes.n_used, routes.n_used)) {
            const auto rank = std::ranges::find(named, used) - named.begin();
            if (rank < static_cast<std::ptrdiff_t>(routes.n_used)) ++at_used_;
            if (rank < static_cast<std::ptrdiff_t>(named.size())) ++at_all_;
            ++n_used_;
        }
    }

    uint64_t n_used_ = 0;
    uint64_t at_used_ = 0;
    uint64_t at_all_ = 0;
};

std::shared_ptr<Model> load(const Options& options) {
    Progress progress("loading");
    ModelParams params = options.load.model_params(
        options.model, options.device,
        {.n_context = options.n_context, .micro_batch = kBatch, .look_ahead = true});
    params.progress = [&](float done) {
        progress.update(double{done});
        return true;
    };
    return Model::load(options.model, params);
}

/// The first tokens of a text, as many as are wanted.
std::vector<int32_t> read_tokens(const Options& options, const Tokenizer& tokenizer,
                                 const std::string& file) {
    std::vector<int32_t> tokens = tokenizer.encode(read_text(file), true, false);
    if (tokens.empty())
        fail(ErrorCode::kInvalidArgument, "'{}' contains no tokens; give a file with text", file);
    if (options.n_tokens != 0) tokens.resize(std::min(tokens.size(), options.n_tokens));
    return tokens;
}

void add_to_trace(TraceWriter& trace, const Routes& routes) {
    const size_t used = size_t{routes.n_layers} * routes.n_used;
    const size_t predicted = size_t{routes.n_layers - 1} * routes.n_predicted;
    for (size_t token = 0; token < routes.n_tokens; ++token) {
        trace.add_token(std::span(routes.ids).subspan(token * used, used),
                        std::span(routes.predicted).subspan(token * predicted, predicted),
                        std::span(routes.probabilities).subspan(token * predicted, predicted));
    }
}

void record(const Options& options) {
    catch_interrupts();
    const std::shared_ptr<Model> model = load(options);
    const HyperParameters& hyper = model->hyper();
    if (hyper.n_experts == 0)
        fail(ErrorCode::kInvalidArgument, "'{}' is a dense model and has no expert routes to record",
             options.model);
    const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(model->file());
    std::vector<std::vector<int32_t>> texts;
    size_t n_tokens = 0;
    for (const std::string& file : options.files) {
        texts.push_back(read_tokens(options, *tokenizer, file));
        n_tokens += texts.back().size();
    }
    const TraceShape shape{.n_layers = static_cast<uint32_t>(expert_layers(model->weights()).size()),
                           .n_experts = hyper.n_experts,
                           .n_used = hyper.n_experts_used,
                           .n_predicted = look_ahead_width(hyper),
                           .model = hyper.name};
    TraceWriter trace(options.trace, shape);
    Session session(model, {.n_context = options.n_context, .n_micro_batch = kBatch, .look_ahead = true});
    Recall recall;
    Progress progress("routes");
    for (const std::vector<int32_t>& tokens : texts) {
        for (size_t done = 0; done < tokens.size();) {
            // What does not fit into the context goes on in a new one.
            if (done == 0 || session.position() == session.n_context()) {
                session.truncate(0);
                trace.begin_sequence();
            }
            const size_t room = session.n_context() - session.position();
            const size_t n = std::min({size_t{kBatch}, room, tokens.size() - done});
            session.feed(std::span(tokens).subspan(done, n));
            const Routes routes = session.routes();
            add_to_trace(trace, routes);
            recall.add(routes);
            done += n;
            progress.update(static_cast<double>(trace.n_tokens()) / static_cast<double>(n_tokens));
        }
    }
    trace.finish();
    std::string report = fmt::format("{}: {} tokens, {} of {} experts active in each of {} layers\n",
                                     options.trace, n_tokens, shape.n_used, shape.n_experts, shape.n_layers);
    if (!recall.is_empty()) report += recall.describe(shape);
    StandardOutput().write(report);
}

}  // namespace

void add_routes_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand(
        "routes",
        "Record the experts that a model uses for each token of a text, and those that its look-ahead "
        "predicts, as a trace for `vkmoe pager-sim`");
    const auto options = std::make_shared<Options>();
    add_model_option(*command, options->model);
    command->add_option("-f,--file", options->files, "Text file; repeatable")
        ->required()
        ->check(existing_text())
        ->type_name("FILE");
    command->add_option("--trace", options->trace, "Write the trace to FILE")
        ->required()
        ->check(output_file())
        ->type_name("FILE");
    command->add_option("-n,--tokens", options->n_tokens, "Use at most N tokens of each text; 0 uses all")
        ->check(whole_number(0));
    command
        ->add_option(
            "-c,--context", options->n_context,
            "Context size in tokens; a longer text continues in a new context; 0 means 4096, or the model's "
            "trained context if that is shorter")
        ->check(whole_number(0, 1U << 30));
    add_device_option(*command, options->device);
    add_load_options(*command, options->load);
    command->callback([options] { record(*options); });
}

}  // namespace vkmoe::cli
