#pragma once

namespace vkmoe::cli {

/// The program `vkmoe`. Returns its exit code: 0, 1 after a failure (one line on stderr), 2 for a wrong
/// command line.
int run_program(int argc, char** argv);

}  // namespace vkmoe::cli
