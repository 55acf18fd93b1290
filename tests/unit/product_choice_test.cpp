#include "kernels/product_choice.h"

#include "formats/published_shapes.h"
#include "gpu/plan.h"
#include "unit/invented_gpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace vkmoe {
namespace {

constexpr uint32_t kMostTokens = 64;
constexpr TensorType kTypes[] = {TensorType::kQ4_K, TensorType::kQ8_0, TensorType::kF16};

struct NamedPlan {
    std::string name;
    DevicePlan plan;
    bool is_cpu = false;
    uint32_t batch = 16;        // that registers hold at least, or a tile if they hold fewer
    double most_of_few = 1.45;  // experts that are read for each that is chosen, of a few tokens
};

std::vector<NamedPlan> plans() {
    std::vector<NamedPlan> plans;
    for (const auto& [name, vendor] : {std::pair{"AMD", 0x1002u}, {"NVIDIA", 0x10deu}, {"Intel", 0x8086u}}) {
        DeviceCaps caps = invented_gpu();
        caps.vendor_id = vendor;
        caps.core_count = 40;
        if (vendor == 0x8086u) caps.min_subgroup_size = 8;
        plans.push_back({name, make_plan(caps, std::nullopt)});
        caps.integer_dot_accelerated = false;
        plans.push_back(
            {std::string(name) + " that emulates integer dot products", make_plan(caps, std::nullopt)});
        if (vendor != 0x8086u) continue;
        plans.back().batch = 4;
        plans.back().most_of_few = 1.7;  // registers hold gate's and up's sums of 2 tokens
    }
    DeviceCaps cpu = invented_gpu();
    cpu.type = VK_PHYSICAL_DEVICE_TYPE_CPU;
    cpu.subgroup_size = cpu.min_subgroup_size = cpu.max_subgroup_size = 8;
    cpu.core_count = 2;
    plans.push_back({"a CPU", make_plan(cpu, std::nullopt), true, 8, 2.3});
    cpu.driver_id = VK_DRIVER_ID_MESA_LLVMPIPE;
    cpu.driver_version = VK_MAKE_API_VERSION(0, 26, 0, 0);
    plans.push_back({"a CPU with scalar loads", make_plan(cpu, std::nullopt), true, 6});
    return plans;
}

ExpertLayerShape layer_of(const PublishedShape& shape, TensorType type) {
    return {.gate_type = type,
            .up_type = type,
            .down_type = type,
            .n_embedding = shape.n_embedding,
            .n_feed_forward = shape.n_expert_feed_forward,
            .n_experts = shape.n_experts,
            .n_used = shape.n_experts_used};
}

bool divides(const PublishedShape& shape, TensorType type) {
    const uint32_t unit = tensor_type_info(type).block_elements;
    return shape.n_embedding % unit == 0 && shape.n_expert_feed_forward % unit == 0;
}

/// Calls for each plan, published shape and type whose blocks divide its rows.
template <typename Call>
void for_each_layer(const Call& call) {
    for (const NamedPlan& named : plans())
        for (const PublishedShape& shape : published_shapes())
            for (const TensorType type : kTypes) {
                if (!divides(shape, type)) continue;
                SCOPED_TRACE(named.name + ", " + std::string(shape.name) + ", " +
                             std::string(tensor_type_info(type).name));
                call(named, layer_of(shape, type));
            }
}

TEST(ProductChoice, ExpertsAreReadAboutAsOftenAsTheyAreChosen) {
    for_each_layer([](const NamedPlan& named, const ExpertLayerShape& shape) {
        const DevicePlan& plan = named.plan;
        const double expert = static_cast<double>(shape.gate_up_bytes() + shape.down_bytes());
        const auto least = [&](uint32_t n_tokens) { return distinct_experts(shape, n_tokens) * expert; };
        const auto bytes = [&](uint32_t n_tokens) {
            return expert_bytes_read(choose_experts(plan, shape, n_tokens), shape, n_tokens);
        };
        EXPECT_NEAR(bytes(1), least(1), 1);
        for (uint32_t n = 1; n <= kMostTokens; ++n) {
            // Down is read by pairs as long as its order of summing is that of one token, on a CPU gate and
            // up are, too. Pairs of an expert fill tiles of 16 tokens to more than a half. A CPU's are of 4.
            const double mean = static_cast<double>(n) * shape.n_used / shape.n_experts;
            const double most = std::max(n <= plan.registers.few_tokens ? named.most_of_few : 1.25,
                                         1 + mean / (named.is_cpu ? 4 : 32));
            EXPECT_LE(bytes(n), most * least(n)) << n << " tokens";
            if (n == kMostTokens) continue;
            EXPECT_LE(bytes(n + 1) / bytes(n), 1.15 * least(n + 1) / least(n)) << n << " tokens and one more";
        }
    });
}

TEST(ProductChoice, ExpectedTilesAreThoseOfARoutingThatIsCounted) {
    // 1 of 2 experts a token: 3 tokens make (3, 0), (2, 1), (1, 2) and (0, 3) with 1, 3, 3 and 1 in 8.
    const ExpertLayerShape shape{.n_embedding = 32, .n_feed_forward = 32, .n_experts = 2, .n_used = 1};
    const double expert = static_cast<double>(shape.gate_up_bytes() + shape.down_bytes());
    const auto tiles = [&](uint32_t tile_tokens) {
        return expert_bytes_read({ExpertForm::kTiles, ExpertForm::kTiles, tile_tokens}, shape, 3) / expert;
    };
    EXPECT_NEAR(tiles(1), 3, 1e-9);
    EXPECT_NEAR(tiles(2), 2, 1e-9);
    EXPECT_NEAR(tiles(4), (1 + 2 * 3 + 2 * 3 + 1) / 8.0, 1e-9);
    EXPECT_NEAR(distinct_experts(shape, 3), tiles(4), 1e-9);
    EXPECT_NEAR(expert_bytes_read({}, shape, 3) / expert, 3, 1e-9) << "pair by pair";
}

TEST(ProductChoice, DenseWeightsAreReadOnceForATileOfTokensThatIsNotMostlyEmpty) {
    for (const NamedPlan& named : plans()) {
        SCOPED_TRACE(named.name);
        for (const PublishedShape& shape : published_shapes())
            for (const TensorType type : kTypes)
                for (uint32_t n = 1; n <= kMostTokens; ++n) {
                    const uint32_t tile = dense_tile_tokens(named.plan, type, shape.n_embedding, n);
                    const uint32_t n_reads = (n + tile - 1) / tile;
                    EXPECT_LE(n_reads, (n + named.batch - 1) / named.batch)
                        << shape.name << ", " << n << " tokens";
                    // Where registers hold fewer, the least tile is of 32.
                    if (!named.is_cpu && named.plan.registers.batch.usual < 16) continue;
                    EXPECT_LT(n_reads * tile, 2 * n)
                        << shape.name << ", " << n << " tokens, tiles of " << tile;
                }
    }
}

TEST(ProductChoice, RegistersHoldFewerTokensOnSomeDevices) {
    const auto most = [](const DeviceCaps& caps, TensorType type, std::optional<Path> path = {}) {
        uint32_t n_tokens = 1;
        while (dense_op(make_plan(caps, std::nullopt), type, n_tokens + 1, path) == Op::kMatvec) ++n_tokens;
        return n_tokens;
    };
    DeviceCaps caps = invented_gpu();
    EXPECT_EQ(most(caps, TensorType::kQ4_K), 16u);
    EXPECT_EQ(most(caps, TensorType::kQ2_K), 8u);
    EXPECT_EQ(most(caps, TensorType::kQ4_K, Path::kScalar), 8u) << "each invocation has all of a row's sums";
    caps.vendor_id = 0x8086;
    EXPECT_EQ(most(caps, TensorType::kQ4_K), 8u);
    caps.vendor_id = 0x1002;
    EXPECT_EQ(most(caps, TensorType::kQ4_K), 16u);
    caps.integer_dot_accelerated = false;
    EXPECT_EQ(most(caps, TensorType::kQ4_K), 12u);
    caps.type = VK_PHYSICAL_DEVICE_TYPE_CPU;
    EXPECT_EQ(most(caps, TensorType::kQ2_K), 16u) << "in two batches";
}

TEST(ProductChoice, AnotherPathThanThePlansCanBeAskedFor) {
    const DevicePlan plan = make_plan(invented_gpu(), std::nullopt);
    const ExpertLayerShape layer{.gate_type = TensorType::kQ4_K,
                                 .up_type = TensorType::kQ4_K,
                                 .down_type = TensorType::kQ4_K,
                                 .n_embedding = 2048,
                                 .n_feed_forward = 768,
                                 .n_experts = 128,
                                 .n_used = 8};
    EXPECT_EQ(choose_experts(plan, layer, 16).gate_up, ExpertForm::kRegisters);
    EXPECT_EQ(choose_experts(plan, layer, 16, Path::kSubgroup).gate_up, ExpertForm::kRegisters);
    const ExpertChoice scalar = choose_experts(plan, layer, 16, Path::kScalar);
    EXPECT_EQ(scalar.gate_up, ExpertForm::kTiles);
    EXPECT_EQ(scalar.tile_tokens, plan.registers.tile_tokens);
}

TEST(ProductChoice, AFewTokensAddUpAsOneDoes) {
    for_each_layer([](const NamedPlan& named, const ExpertLayerShape& shape) {
        const DevicePlan& plan = named.plan;
        for (uint32_t n = 1; n <= plan.registers.few_tokens; ++n) {
            EXPECT_EQ(dense_op(plan, shape.down_type, n), Op::kMatvec);
            EXPECT_EQ(expert_op(choose_experts(plan, shape, n).gate_up), Op::kExpertMatvec);
            EXPECT_EQ(choose_experts(plan, shape, n).down, ExpertForm::kPairs);
        }
        EXPECT_NE(choose_experts(plan, shape, plan.registers.few_tokens + 1).down, ExpertForm::kPairs);
    });
}

}  // namespace
}  // namespace vkmoe
