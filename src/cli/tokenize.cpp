#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "formats/gguf.h"
#include "text/tokenizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <vector>

namespace vkmoe::cli {

void add_tokenize_command(CLI::App& app) {
    struct Options {
        std::string model;
        TextOption text;
        bool no_special = false;
        bool json = false;
    };
    CLI::App* command = app.add_subcommand("tokenize", "Show the tokens of a text; needs no device");
    const auto options = std::make_shared<Options>();
    add_model_option(*command, options->model);
    add_text_option(*command, options->text, "Text");
    command->add_flag("--no-special", options->no_special,
                      "Add no begin or end tokens, and treat the names of special tokens as plain text");
    command->add_flag("--json", options->json,
                      "Print a JSON array of ids, the input of `vkmoe logits --tokens`");
    command->callback([options] {
        const GgufFile file(options->model);
        const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file);
        const bool special = !options->no_special;
        const std::vector<int32_t> ids = tokenizer->encode(options->text.read(), special, special);
        std::string out;
        if (options->json) {
            out = fmt::format("[{}]\n", fmt::join(ids, ", "));
        } else {
            for (const int32_t id : ids)
                out += fmt::format("{:>7}  '{}'\n", id, printable(tokenizer->token_bytes(id, true)));
        }
        StandardOutput().write(out);
    });
}

}  // namespace vkmoe::cli
