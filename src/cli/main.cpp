#include "cli/console.h"
#include "cli/program.h"

int main(int argc, char** argv) {
    const int code = vkmoe::cli::run_program(argc, argv);
    if (code == vkmoe::cli::kInterrupted) vkmoe::cli::end_by_interrupt();
    return code;
}
