#pragma once

#include <CLI/CLI.hpp>

namespace vkmoe::cli {

/// Marks an option as the path of a file that the command writes.
CLI::Validator output_file();

/// Throws CLI::ValidationError for a command with an output (see output_file) that is the same file, by any
/// path or link, as an input (see existing_file), another part of a split model that is an input, or another
/// output.
void refuse_inputs_as_outputs(CLI::App& command);

}  // namespace vkmoe::cli
