// That `vkmoe conformance --compile-only` makes every pipeline that steps of a model take, with the same
// constants.

#include "conformance/cells.h"
#include "conformance/compile.h"
#include "conformance/pipeline_requests.h"
#include "engine/session.h"
#include "experts/pager.h"
#include "model/batch_builder.h"
#include "model/blocks.h"
#include "model/paged_memory.h"
#include "model/tiny_models.h"
#include "unit/temp_folder.h"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <set>

namespace vkmoe {
namespace {

constexpr SessionParams kSession{.n_context = 700, .n_micro_batch = 64};

std::string full_name(const Pipeline& pipeline) {
    return fmt::format("{} [{}]", pipeline.name(), fmt::join(pipeline.source().constants, ", "));
}

/// Those of all dispatches of a step.
std::set<std::string> pipelines_of_step(const Model& model, uint32_t n_tokens) {
    const SessionShape shape = session_shape(model, kSession);
    Workspace workspace(model, shape);
    KvCache cache(model.kernels().shared_device(), model.hyper(), shape.kv_type, shape.n_context);
    const Pager::Use use(model.pager());
    BatchBuilder batch(model, workspace, cache, n_tokens);
    add_embedding(batch);
    model.add_layers(batch);
    add_logits(batch, n_tokens - 1, 1);
    add_argmax(batch);
    std::set<std::string> names;
    const auto add = [&names](const std::vector<Dispatch>& dispatches) {
        for (const Dispatch& dispatch : dispatches) names.insert(full_name(*dispatch.pipeline));
    };
    for (const ProgramPart& part : batch.take_parts()) {
        add(part.dispatches);
        for (const std::vector<Dispatch>& dispatches : part.step_dispatches) add(dispatches);
    }
    return names;
}

/// Those that are asked for without a model of that shape.
std::set<std::string> pipelines_asked_for(const HyperParameters& hyper) {
    using QkNorm = PublishedShape::QkNorm;
    const PublishedShape shape{.name = "tiny",
                               .architecture = "",
                               .n_layers = hyper.n_layers,
                               .n_context = kSession.n_context,
                               .n_vocabulary = hyper.n_vocabulary,
                               .n_embedding = hyper.n_embedding,
                               .n_heads = hyper.n_heads,
                               .n_kv_heads = hyper.n_kv_heads,
                               .head_dim = hyper.head_dim,
                               .n_feed_forward = hyper.n_expert_feed_forward,
                               .n_experts = hyper.n_experts,
                               .n_experts_used = hyper.n_experts_used,
                               .n_expert_feed_forward = hyper.n_expert_feed_forward,
                               .norm_epsilon = 0,
                               .rope_base = 0,
                               .qk_norm = QkNorm::kWholeVector};
    KernelContext kernels(Device::create(), KernelUse::kCompileOnly);
    std::set<std::string> names;
    for (const KernelKey& cell : conformance::find_cells({})) {
        if (!conformance::is_planned(kernels.plan(), cell)) continue;
        for (const conformance::Step& step : conformance::steps_of(shape))
            for (const Pipeline* pipeline : conformance::request_pipelines(kernels, cell, step))
                names.insert(full_name(*pipeline));
    }
    return names;
}

class CompiledPipelines : public testing::TestWithParam<std::tuple<const char*, PagerMode>> {
  protected:
    std::shared_ptr<Model> load() const {
        const auto [architecture, mode] = GetParam();
        TinyModel tiny =
            TinyModel{.architecture = architecture, .n_context = 1024, .n_experts = 12, .n_experts_used = 3}
                .with_type(TensorType::kQ4_K);
        tiny.up_type = TensorType::kQ8_0;  // gate and up each by itself
        const std::string path = folder_ / "tiny.gguf";
        make_tiny_file(tiny).write(path);
        if (mode == PagerMode::kAuto) return Model::load(path);
        ModelParams params{.pager = mode, .prefetch = Prefetch::kOff};
        {
            const auto measured = Model::load(path, params);
            params.vram_budget = vram_budget(*measured, kSession, all_slots(*measured) / 2);
        }
        return Model::load(path, params);
    }

    TempFolder folder_;
};

TEST_P(CompiledPipelines, AreThoseOfEveryStep) {
    const auto model = load();
    const std::set<std::string> asked = pipelines_asked_for(model->hyper());
    for (const uint32_t n_tokens : {1u, 2u, 3u, 8u, 9u, 16u, 64u}) {
        const std::set<std::string> taken = pipelines_of_step(*model, n_tokens);
        EXPECT_GT(taken.size(), 10u) << n_tokens;
        for (const std::string& name : taken)
            EXPECT_TRUE(asked.contains(name)) << name << ", " << n_tokens << " tokens";
    }
}

INSTANTIATE_TEST_SUITE_P(Models, CompiledPipelines,
                         testing::Combine(testing::Values("llama", "qwen3moe", "olmoe"),
                                          testing::Values(PagerMode::kAuto, PagerMode::kDevice)));

}  // namespace
}  // namespace vkmoe
