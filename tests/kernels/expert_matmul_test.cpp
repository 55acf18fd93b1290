#include "kernels/expert_matmul.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells_in_turn(Op::kExpertMatmul);

using ExpertMatmulTest = KernelTest;

TEST_F(ExpertMatmulTest, RefusesWhatDoesNotFit) {
    ExpertMatmulArgs good;
    good.type = TensorType::kQ8_0;
    good.experts = {0x10000, 4, {0x100000, 0x200000}};
    good.grouped.arguments = output(6 * sizeof(uint32_t)).memory();
    good.grouped.pairs = output(6 * sizeof(uint32_t)).memory();
    good.grouped.tiles = output(6 * 4 * sizeof(uint32_t)).memory();
    good.x = 0x30000;
    good.first_y = 0x40000;
    good.tile_tokens = 8;
    good.n_rows = 5;
    good.n_columns = 96;
    good.n_pairs = 6;
    good.x_divisor = 2;
    const auto refused = refusing(expert_matmul, good);
    refused([](ExpertMatmulArgs& args) { args.n_pairs = 0; });
    refused([](ExpertMatmulArgs& args) { args.x_divisor = 0; });
    refused([](ExpertMatmulArgs& args) { args.x_divisor = 4; });
    refused([](ExpertMatmulArgs& args) { args.n_rows = 0; });
    refused([](ExpertMatmulArgs& args) {
        args.gated = true;
        args.path = Path::kCoopmat2;
    });
    refused([](ExpertMatmulArgs& args) { args.n_columns = 48; });
    refused([](ExpertMatmulArgs& args) { args.tile_tokens = 0; });
    refused([](ExpertMatmulArgs& args) { args.tile_tokens = 4096; });
    refused([](ExpertMatmulArgs& args) {
        args.in_registers = true;
        args.tile_tokens = 16;
    });
    refused([](ExpertMatmulArgs& args) { args.first_offset = uint64_t{1} << 32; });
}

}  // namespace
}  // namespace vkmoe
