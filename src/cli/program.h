#pragma once

namespace vkmoe::cli {

/// Of a run that Ctrl-C ended: 128 + SIGINT.
constexpr int kInterrupted = 130;

/// The program `vkmoe`. Returns its exit code: 0, 1 after a failure (one line on stderr), 2 for a wrong
/// command line, kInterrupted.
int run_program(int argc, char** argv);

}  // namespace vkmoe::cli
