#include "cli/program.h"

int main(int argc, char** argv) {
    return vkmoe::cli::run_program(argc, argv);
}
