#pragma once

#include "model/model.h"
#include "vkmoe/vkmoe.h"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace vkmoe::cli {

/// -m MODEL, required: a file that exists.
void add_model_option(CLI::App& command, std::string& path);
/// --device INDEX|NAME
void add_device_option(CLI::App& command, std::string& device);

/// -p TEXT or -f FILE, one of them.
struct TextOption {
    std::string text;
    std::string file;

    /// The text, or all bytes of the file. Throws Error(kIo), naming it, for a file that cannot be read.
    std::string read() const;
};
void add_text_option(CLI::App& command, TextOption& option, const std::string& what);

/// All bytes of a file, a pipe or, for "-", the standard input. Throws as TextOption::read.
std::string read_text(const std::string& path);

/// --micro-batch and --kv.
struct SessionOptions {
    uint32_t n_micro_batch = 512;
    std::string kv_type = "f16";

    vkmoe_session_params params(uint32_t n_context) const;
    /// The same for Model::load.
    SessionShape shape(uint32_t n_context) const;
    TensorType cache_type() const;
};
void add_session_options(CLI::App& command, SessionOptions& options);

/// How a model is loaded: --vram-budget, --ram-budget, --pager, --prefetch and --ignore-key.
struct LoadOptions {
    std::string vram_budget;  ///< as parse_memory_size takes it; empty: the default
    std::string ram_budget;
    std::string pager = "auto";
    std::string prefetch = "auto";
    std::vector<std::string> ignored_keys;

    /// In bytes, 0 for the default. A share is one of the memory of the device that `device` names as
    /// --device does; throws Error(kNoDevice) as choose_device.
    uint64_t vram_bytes(const std::string& device) const;
    /// In bytes, 0 for the default. A share is one of the machine's memory.
    uint64_t ram_bytes() const;
    /// What of a RAM budget is not for the model in this file: what the program and the driver take now, and
    /// what they come to take. 0 where none is given.
    uint64_t ram_reserve(const std::string& model) const;
    PagerMode pager_mode() const;
    Prefetch prefetch_wish() const;
    /// For Model::load; the same as load_model gives the C API.
    ModelParams model_params(const std::string& model, const std::string& device,
                             const SessionShape& session) const;
};
void add_load_options(CLI::App& command, LoadOptions& options);

/// Checks that an option is a path that can be reached and is not a folder. It marks the option as the path
/// of a file that the command reads.
CLI::Validator existing_file();
/// The same, or "-" for the standard input: for files that read_text reads.
CLI::Validator existing_text();
/// The mark: the validator's name.
constexpr const char* kInputMark = "input";

/// Checks that an option is a whole number from `low` to `high`. (CLI11 itself may take -1 for 2^32 - 1.)
CLI::Validator whole_number(uint64_t low, uint64_t high = std::numeric_limits<uint64_t>::max());

/// Checks that an option is a number from `low` to `high` as a float; the bounds themselves are out where
/// said. A number other than 0 that rounds to 0 is refused too.
CLI::Validator number_in_range(double low, bool low_open, double high, bool high_open,
                               const std::string& description);

}  // namespace vkmoe::cli
