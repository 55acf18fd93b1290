#include "base/error.h"
#include "base/input_file.h"
#include "base/output_file.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/npy.h"
#include "cli/options.h"
#include "cli/output_option.h"
#include "cli/token_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vkmoe::cli {
namespace {

struct Options {
    std::string model;
    std::string tokens;
    std::string output;
    uint32_t n_context = 0;
    std::optional<size_t> split;
    SessionOptions session;
    std::string device;
    LoadOptions load;
    bool allow_nonfinite = false;
};

void write_logits(const Options& options) {
    const std::string json = read_text(options.tokens);
    catch_interrupts();
    // Opened first: a folder that is not there should not cost the computation.
    OutputFile output(options.output);
    // An array has a comma less than elements; whether they are tokens only the model tells.
    const size_t n_context =
        options.n_context != 0 ? options.n_context : static_cast<size_t>(std::ranges::count(json, ',')) + 1;
    vkmoe_session_params params = options.session.params(static_cast<uint32_t>(n_context));
    params.allow_nonfinite = options.allow_nonfinite ? 1 : 0;
    const ModelHandle model = load_model(options.model, options.device, options.load, params);
    const uint32_t n_vocabulary = model_info(model.get()).n_vocabulary;
    const std::vector<int32_t> tokens = parse_tokens(json, options.tokens, n_vocabulary);
    if (tokens.size() > n_context) {
        fail(ErrorCode::kInvalidArgument, "'{}' has {} tokens, more than the context of {}; use a larger -c",
             options.tokens, tokens.size(), n_context);
    }
    const SessionHandle session = create_session(model.get(), params);

    const size_t n_at_once = std::min(options.split.value_or(tokens.size()), tokens.size());
    std::vector<float> logits;
    Progress progress("logits");
    output.write(npy_header(tokens.size(), n_vocabulary));
    for (size_t done = 0; done < tokens.size();) {
        // No more than a micro-batch of rows in memory.
        const size_t n =
            done < n_at_once ? std::min<size_t>(options.session.n_micro_batch, n_at_once - done) : 1;
        logits.resize(n * n_vocabulary);
        check(vkmoe_session_feed(session.get(), tokens.data() + done, n, logits.data()));
        output.write(std::as_bytes(std::span(logits)));
        done += n;
        progress.update(static_cast<double>(done) / static_cast<double>(tokens.size()));
    }
    output.commit();
}

}  // namespace

void add_logits_command(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("logits", "Write a model's logits after each token to a NumPy file");
    const auto options = std::make_shared<Options>();
    options->session.kv_type = "f32";
    add_model_option(*command, options->model);
    command->add_option("--tokens", options->tokens, "File with a JSON array of token ids")
        ->required()
        ->check(existing_text())
        ->type_name("FILE");
    command
        ->add_option("-o,--output", options->output, "Write the logits to FILE, float32 [tokens, vocabulary]")
        ->required()
        ->check(output_file())
        ->type_name("FILE");
    command
        ->add_option("-c,--context", options->n_context,
                     "Context size in tokens; 0 means the number of tokens in the file")
        ->check(whole_number(0, 1U << 30));
    command
        ->add_option("--split", options->split,
                     "Feed the first N tokens as one batch and the rest one at a time")
        ->check(whole_number(0, 1U << 30))
        ->type_name("N");
    command->add_flag("--allow-nonfinite", options->allow_nonfinite,
                      "Write logits that are NaN or infinite instead of failing");
    add_session_options(*command, options->session);
    add_device_option(*command, options->device);
    add_load_options(*command, options->load);
    command->callback([options] { write_logits(*options); });
}

}  // namespace vkmoe::cli
