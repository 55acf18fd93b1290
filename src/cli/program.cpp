#include "cli/program.h"

#include "base/standard_streams.h"
#include "cli/build_info.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/output_option.h"
#include "cli/suggestion.h"
#include "formats/gguf_value.h"

#include <cxxabi.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <new>
#include <sstream>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

namespace vkmoe::cli {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr size_t kMaxMessage = 2000;
constexpr std::string_view kOutOfMemory =
    "vkmoe: out of host memory; close other programs or use a smaller model or context\n";
// The commands that print nothing to stdout.
constexpr std::array<std::string_view, 2> kSilentCommands = {"logits", "synth"};

constexpr std::string_view kFooter = R"(Every subcommand has --help.

Where a subcommand reads a text, `-f -` reads it from the standard input. `-p` takes a text as it is: backslash escapes
such as \n are not replaced. Write $'one\ntwo' in bash, or put the text into a file.

Exit codes: 0 success, 1 failure, 2 wrong command line, 130 interrupted by Ctrl-C.)";

/// One line whatever the message holds: paths and names in it come from outside. Never throws, for handlers
/// call it.
int fail_with(std::string_view message) noexcept {
    try {
        write_standard_error(fmt::format("vkmoe: {}\n", printable(message, kMaxMessage)));
    } catch (...) {
        write_standard_error(kOutOfMemory);
    }
    return kFailed;
}

/// The first argument, where it should be a subcommand and is none.
std::string refuse_subcommand(const CLI::App& app, std::string_view first) {
    std::vector<std::string> words = {"--help", "--version"};
    for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
        words.push_back(sub->get_name());
    if (first.empty() || first.starts_with('-') || std::ranges::find(words, first) != words.end()) return {};
    const std::string meant = suggest(first, words);
    return fmt::format("unknown subcommand '{}'{} (see vkmoe --help)", first,
                       meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant));
}

/// Help and version go to stdout; everything else that stops the parser is a wrong command line.
int end_of_parsing(const CLI::App& app, const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
        std::ostringstream text;
        app.exit(error, text, text);
        StandardOutput().write(text.str());
        return 0;
    }
    std::string command = "vkmoe";
    for (const CLI::App* sub : app.get_subcommands()) command += " " + sub->get_name();
    fail_with(fmt::format("{} (see {} --help)", error.what(), command));
    return kUsage;
}

/// Refuses, before any work of the command, streams and files that it could not write to in the end.
void check_outputs(CLI::App& command) {
    const bool prints = std::ranges::find(kSilentCommands, command.get_name()) == kSilentCommands.end();
    if (prints) StandardOutput();
    refuse_inputs_as_outputs(command);
}

void add_commands(CLI::App& app) {
    app.set_version_flag("--version", version_line());
    app.footer(std::string(kFooter));
    app.require_subcommand(1);
    app.option_defaults()->always_capture_default();
    add_run_command(app);
    add_devices_command(app);
    add_inspect_command(app);
    add_plan_command(app);
    add_tokenize_command(app);
    add_logits_command(app);
    add_perplexity_command(app);
    add_bench_command(app);
    add_routes_command(app);
    add_pager_sim_command(app);
    add_synth_command(app);
    add_conformance_command(app);
    for (CLI::App* command : app.get_subcommands({}))
        command->parse_complete_callback([command] { check_outputs(*command); });
}

int run_command(int argc, char** argv) noexcept {
    try {
        CLI::App app("Runs quantized Mixture-of-Experts language models on any GPU with a Vulkan 1.3 driver.",
                     "vkmoe");
        add_commands(app);
        if (const std::string refusal = refuse_subcommand(app, argc > 1 ? argv[1] : ""); !refusal.empty()) {
            fail_with(refusal);
            return kUsage;
        }
        try {
            app.parse(argc, argv);
        } catch (const CLI::ParseError& error) {
            return end_of_parsing(app, error);
        }
        return 0;
    } catch (const ClosedOutput&) {
        return kFailed;
    } catch (const std::bad_alloc&) {
        write_standard_error(kOutOfMemory);
        return kFailed;
    } catch (const std::exception& error) {
        return fail_with(error.what());
    } catch (...) {
        return fail_with("an unknown exception");
    }
}

/// The terminate handler. Destructors of libraries, nlohmann::json's among them, need memory themselves and
/// cannot report that there is none.
[[noreturn]] void end_without_memory() {
    const std::type_info* thrown = abi::__cxa_current_exception_type();
    if (thrown == nullptr || *thrown != typeid(std::bad_alloc)) std::abort();
    write_standard_error(kOutOfMemory);
    std::_Exit(kFailed);
}

}  // namespace

int run_program(int argc, char** argv) {
    if (!open_standard_streams()) return kFailed;  // with no stream to say so
    std::set_terminate(end_without_memory);
    ignore_write_signals();
    const int code = run_command(argc, argv);
    // Also where the command ended well, or for another reason: Ctrl-C reaches the reader of a pipe too.
    return interrupted() ? kInterrupted : code;
}

}  // namespace vkmoe::cli
