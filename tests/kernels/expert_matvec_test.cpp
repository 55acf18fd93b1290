#include "kernels/expert_matvec.h"

#include "conformance/experts.h"
#include "kernels/kernel_fixture.h"

#include <fmt/format.h>

namespace vkmoe {
namespace {

const bool registered = register_cells_in_turn(Op::kExpertMatvec);

using ExpertMatvecTest = KernelTest;

/// So that a step of a few tokens gives what steps of one give, and paged experts what resident ones give.
TEST_F(ExpertMatvecTest, SortedPairsAddUpAsOthersDo) {
    constexpr TensorType kType = TensorType::kQ4_K;
    conformance::CaseContext& c = test_case();
    const conformance::ExpertShape shape{3, 8, 2, 33, 1024};
    for (const Path path : paths(Op::kExpertMatvec, kType)) {
        if (path == Path::kScalar) continue;  // sorts for the tiles of expert_matmul
        const KernelKey cell{Op::kExpertMatvec, kType, path};
        const conformance::ExpertInputs inputs =
            conformance::random_expert_inputs(c, cell, shape, shape.n_slots);
        for (const auto& [tile_tokens, is_gated] : {std::pair{4u, true}, {8u, false}}) {
            SCOPED_TRACE(fmt::format("{}, tiles of {} tokens", path_name(path), tile_tokens));
            const size_t n_numbers = size_t{shape.n_pairs()} * shape.n_rows;
            auto args = conformance::expert_args<ExpertMatvecArgs>(c, cell, shape, inputs);
            auto expected = c.output<float>(n_numbers);
            args.y = expected.address();
            args.gated = is_gated;
            auto sorted = conformance::expert_args<ExpertMatmulArgs>(c, cell, shape, inputs);
            auto actual = c.output<float>(n_numbers);
            sorted.grouped = conformance::group_pairs(c, cell, inputs, shape, tile_tokens);
            sorted.tile_tokens = tile_tokens;
            sorted.in_registers = true;
            sorted.dispatch = conformance::kOneMatrix;
            sorted.first_y = actual.address();
            sorted.gated = is_gated;
            c.run({expert_matvec(c.kernels(), args), expert_matmul(c.kernels(), sorted)});
            EXPECT_EQ(actual.read(), expected.read());
        }
    }
}

TEST_F(ExpertMatvecTest, RefusesWhatDoesNotFit) {
    ExpertMatvecArgs good;
    good.type = TensorType::kQ8_0;
    good.experts = {0x10000, 4, {0x100000, 0x200000}};
    good.ids = 0x20000;
    good.x = 0x30000;
    good.y = 0x40000;
    good.n_rows = 5;
    good.n_columns = 96;
    good.n_pairs = 6;
    good.x_divisor = 2;
    const auto refused = refusing(expert_matvec, good);
    refused([](ExpertMatvecArgs& args) { args.n_pairs = 0; });
    refused([](ExpertMatvecArgs& args) { args.x_divisor = 0; });
    refused([](ExpertMatvecArgs& args) { args.x_divisor = 4; });
    refused([](ExpertMatvecArgs& args) { args.n_rows = 0; });
    refused([](ExpertMatvecArgs& args) { args.n_columns = 48; });
    refused([](ExpertMatvecArgs& args) { args.second_offset = uint64_t{1} << 32; });
}

}  // namespace
}  // namespace vkmoe
