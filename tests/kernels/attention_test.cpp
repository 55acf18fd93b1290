#include "kernels/attention.h"

#include "base/error.h"
#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kAttention) && register_cells(Op::kAttentionReduce);

using AttentionTest = KernelTest;

TEST_F(AttentionTest, OneOfTheDeepCases) {
    run_a_deep_case(Op::kAttention);
}

TEST_F(AttentionTest, SplitsFillTheDeviceAndNoMore) {
    const DevicePlan& plan = context().plan();
    EXPECT_EQ(attention_splits(plan, 1, 32, 4, 1), 1u);
    EXPECT_EQ(attention_splits(plan, 4096, 32, 4, 8192), 1u);
    EXPECT_GE(attention_splits(plan, 1, 32, 4, 8192), 4u);
    EXPECT_LE(attention_splits(plan, 1, 32, 4, 1u << 20), 256u);
    EXPECT_EQ(attention_scratch_bytes(3, 4, 64, 1, false), 0u);
    EXPECT_EQ(attention_scratch_bytes(1, 4, 64, 8, false), 4u * 8 * (2 + 64) * sizeof(float));
}

TEST_F(AttentionTest, RefusesWhatDoesNotFit) {
    AttentionArgs good;
    good.q = good.k_cache = good.v_cache = good.positions = good.out = good.scratch = 0x1000;
    good.n_tokens = 1;
    good.n_heads = 4;
    good.n_kv_heads = 2;
    good.head_dim = 64;
    good.n_context = 16;
    const auto refused = refusing(attention, good);
    refused([](AttentionArgs& args) { args.q = 0; });
    refused([](AttentionArgs& args) { args.k_cache += 4; });
    refused([](AttentionArgs& args) { args.out = 0; });
    refused([](AttentionArgs& args) { args.head_dim = 48; });
    refused([](AttentionArgs& args) { args.head_dim = 288; });
    refused([](AttentionArgs& args) { args.n_heads = 5; });
    refused([](AttentionArgs& args) { args.n_splits = 0; });
    refused([](AttentionArgs& args) { args.q_stride = 128; });
    refused([](AttentionArgs& args) { args.kv_type = TensorType::kQ4_K; });
    refused([](AttentionArgs& args) {
        args.n_splits = 2;
        args.scratch = 0;
    });
    EXPECT_NO_THROW(attention_reduce(context(), good));
    good.scratch = 0;
    EXPECT_THROW(attention_reduce(context(), good), Error);
}

}  // namespace
}  // namespace vkmoe
