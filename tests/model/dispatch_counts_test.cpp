// How many dispatches, barriers and command buffers a layer takes. More of them is a cost that no test of
// results sees.

#include "engine/session.h"
#include "experts/pager.h"
#include "model/batch_builder.h"
#include "model/paged_memory.h"
#include "model/tiny_models.h"
#include "sched/program.h"
#include "unit/temp_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ostream>

namespace vkmoe {

// GoogleTest prints counts byte by byte otherwise.
static void PrintTo(const Program::Counts& counts, std::ostream* out) {
    *out << '{' << counts.dispatches << ", " << counts.barriers << ", " << counts.command_buffers << '}';
}

namespace {

constexpr SessionParams kSession{.n_context = 700, .n_micro_batch = 64};
constexpr uint32_t kPrefillTokens = 64;

using Counts = Program::Counts;

struct Pinned {
    const char* architecture = "";
    bool has_experts = true;
    PagerMode mode = PagerMode::kAuto;  ///< kAuto: experts are resident
    Counts decode;
    Counts prefill;  ///< with half of the experts in slots, and the others streamed

    friend std::ostream& operator<<(std::ostream& out, const Pinned& pinned) { return out << pinned.name(); }
    std::string name() const {
        return fmt::format("{}{}{}", architecture, has_experts ? "" : "Dense",
                           mode == PagerMode::kAuto     ? ""
                           : mode == PagerMode::kDevice ? "PagedByDevice"
                                                        : "PagedByHost");
    }
};

class DispatchCounts : public testing::TestWithParam<Pinned> {
  protected:
    std::shared_ptr<Model> load(uint32_t n_layers) const {
        TinyModel model{.architecture = GetParam().architecture,
                        .n_layers = n_layers,
                        .n_context = 1024,
                        .n_experts = GetParam().has_experts ? 12u : 0u,
                        .n_experts_used = 3};
        const std::string path = folder_ / fmt::format("{}.gguf", n_layers);
        make_tiny_file(model.with_type(TensorType::kQ4_K)).write(path);
        if (GetParam().mode == PagerMode::kAuto) return Model::load(path);
        ModelParams params{.pager = GetParam().mode, .prefetch = Prefetch::kOff};
        {
            const auto measured = Model::load(path, params);
            params.vram_budget = vram_budget(*measured, kSession, all_slots(*measured) / 2);
        }
        return Model::load(path, params);
    }

    static Counts counts_of(const Model& model, uint32_t n_tokens) {
        const SessionShape shape = session_shape(model, kSession);
        const std::shared_ptr<Device>& device = model.kernels().shared_device();
        Workspace workspace(model, shape);
        KvCache cache(device, model.hyper(), shape.kv_type, shape.n_context);
        const Pager::Use use(model.pager());
        BatchBuilder batch(model, workspace, cache, n_tokens);
        model.add_layers(batch);
        return Program(device, nullptr, batch.take_parts()).counts();
    }

    /// The difference that one more layer makes.
    static Counts of_a_layer(const Model& fewer, const Model& more, uint32_t n_tokens) {
        const Counts less = counts_of(fewer, n_tokens);
        const Counts all = counts_of(more, n_tokens);
        return {all.dispatches - less.dispatches, all.barriers - less.barriers,
                all.command_buffers - less.command_buffers};
    }

    TempFolder folder_;
};

TEST_P(DispatchCounts, OfALayerArePinned) {
    const auto two = load(2);
    const auto three = load(3);
    if (two->kernels().device().caps().type != VK_PHYSICAL_DEVICE_TYPE_CPU)
        GTEST_SKIP()
            << "the numbers are those of the drivers on a CPU; a GPU's plan may choose other kernels";
    EXPECT_EQ(of_a_layer(*two, *three, 1), GetParam().decode);
    EXPECT_EQ(of_a_layer(*two, *three, kPrefillTokens), GetParam().prefill);
}

INSTANTIATE_TEST_SUITE_P(Layers, DispatchCounts,
                         testing::Values(Pinned{"llama", false, PagerMode::kAuto, {13, 10, 0}, {13, 10, 0}},
                                         Pinned{"llama", true, PagerMode::kAuto, {14, 12, 0}, {16, 14, 0}},
                                         Pinned{"llama", true, PagerMode::kDevice, {17, 14, 0}, {90, 64, 0}},
                                         Pinned{"llama", true, PagerMode::kHost, {15, 12, 2}, {20, 16, 3}},
                                         Pinned{"qwen3moe", true, PagerMode::kAuto, {14, 12, 0}, {16, 14, 0}},
                                         Pinned{
                                             "qwen3moe", true, PagerMode::kDevice, {17, 14, 0}, {90, 64, 0}},
                                         Pinned{"qwen3moe", true, PagerMode::kHost, {15, 12, 2}, {20, 16, 3}},
                                         Pinned{"olmoe", true, PagerMode::kAuto, {16, 13, 0}, {18, 15, 0}},
                                         Pinned{"olmoe", true, PagerMode::kDevice, {19, 15, 0}, {92, 65, 0}},
                                         Pinned{"olmoe", true, PagerMode::kHost, {17, 13, 2}, {22, 17, 3}}),
                         [](const auto& tested) { return tested.param.name(); });

}  // namespace
}  // namespace vkmoe
