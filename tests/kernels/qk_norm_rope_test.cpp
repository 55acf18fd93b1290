#include "kernels/qk_norm_rope.h"

#include "base/error.h"
#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kQkNormRope);

using QkNormRopeTest = KernelTest;

TEST_F(QkNormRopeTest, OneOfTheDeepCases) {
    run_a_deep_case(Op::kQkNormRope);
}

TEST_F(QkNormRopeTest, RopeTableIsTurnsInFixedPoint) {
    // A quarter turn a position: base^0 * scale / (2 pi).
    const std::vector<uint32_t> table =
        rope_table(4, 16, 3.14159265358979323846 / 2, std::vector<float>{1.0f, 0.5f});
    ASSERT_EQ(table.size(), 4u);
    const auto turns = [&](size_t pair) { return table[2 * pair] * 0x1p-32 + table[2 * pair + 1] * 0x1p-64; };
    EXPECT_NEAR(turns(0), 0.25, 1e-15);
    EXPECT_NEAR(turns(1), 0.25 / 4 / 0.5, 1e-15);
    EXPECT_THROW(rope_table(3, 10000), Error);
    EXPECT_THROW(rope_table(4, 0), Error);
    EXPECT_THROW(rope_table(4, 10000, 1, std::vector<float>{1.0f}), Error);
    EXPECT_THROW(rope_table(4, 10000, 1, std::vector<float>{1.0f, 0.0f}), Error);
}

TEST_F(QkNormRopeTest, RefusesWhatDoesNotFit) {
    QkNormRopeArgs good;
    good.q = good.k = good.v = good.q_out = good.positions = good.rope_table = good.k_cache = good.v_cache =
        0x1000;
    good.n_tokens = 1;
    good.n_heads = 4;
    good.n_kv_heads = 2;
    good.head_dim = good.rope_dims = 64;
    good.n_context = 16;
    const auto refused = refusing(qk_norm_rope, good);
    refused([](QkNormRopeArgs& args) { args.q = 0; });
    refused([](QkNormRopeArgs& args) { args.v_cache += 4; });
    refused([](QkNormRopeArgs& args) { args.rope_table = 0; });
    refused([](QkNormRopeArgs& args) { args.rope_dims = 66; });
    refused([](QkNormRopeArgs& args) { args.rope_dims = 31; });
    refused([](QkNormRopeArgs& args) { args.head_dim = 288; });
    refused([](QkNormRopeArgs& args) { args.n_heads = 5; });
    refused([](QkNormRopeArgs& args) { args.k_stride = 100; });
    refused([](QkNormRopeArgs& args) { args.kv_type = TensorType::kBF16; });
}

}  // namespace
}  // namespace vkmoe
