// Pipelines that are made and not run: that all are asked for, and that those which fail or spill are told.

#include "conformance/compile.h"

#include "base/error.h"
#include "kernels/product_choice.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace vkmoe::conformance {
namespace {

const PublishedShape& shape() {
    return *find_shape("Qwen3-30B-A3B");
}

class CompileTest : public testing::Test {
  protected:
    std::vector<KernelKey> planned(const CellFilter& filter) {
        std::vector<KernelKey> cells = find_cells(filter);
        std::erase_if(cells, [this](const KernelKey& cell) { return !is_planned(kernels_.plan(), cell); });
        return cells;
    }

    PipelineReport compile(const CompileOptions& options, const RunProgress& progress = {}) {
        PipelineReport report;
        report.facts.caps = kernels_.device().caps();
        report.statistics = StatisticsState::kTold;
        compile_pipelines(kernels_, options, progress, report);
        return report;
    }

    /// The pipelines of the planned cells of an op with F32 weights, or none.
    size_t count(Op op) {
        const PipelineReport report = compile({planned({{op}, {TensorType::kF32}, {}}), steps_of(shape())});
        for (const PipelineResult& one : report.pipelines) {
            EXPECT_TRUE(one.is_done) << one.kernel;
            EXPECT_EQ(one.error, "") << one.kernel;
            EXPECT_GT(one.milliseconds, 0) << one.kernel;
            EXPECT_TRUE(one.in_plan) << one.kernel;
        }
        return report.pipelines.size();
    }

    KernelContext kernels_{Device::create({}, {.capture_statistics = true}), KernelUse::kCompileOnly};
};

TEST_F(CompileTest, MakesEachPipelineOfThePlanOnce) {
    std::set<std::pair<uint32_t, uint32_t>> dense_tiles;  // rows, tokens
    std::set<std::pair<uint32_t, bool>> expert_tiles;
    for (const Step& step : steps_of(shape())) {
        if (dense_op(kernels_.plan(), TensorType::kF32, step.n_tokens) == Op::kMatvec) {
            const uint32_t rows = step.n_tokens <= kernels_.plan().registers.two_row_tokens ? 2 : 1;
            dense_tiles.insert(
                {rows, dense_tile_tokens(kernels_.plan(), TensorType::kF32, 1, step.n_tokens)});
        }
        const ExpertChoice choice = choose_experts(kernels_.plan(),
                                                   {.n_embedding = shape().n_embedding,
                                                    .n_feed_forward = shape().n_expert_feed_forward,
                                                    .n_experts = shape().n_experts,
                                                    .n_used = shape().n_experts_used},
                                                   step.n_tokens);
        if (choice.gate_up != ExpertForm::kRegisters) continue;
        for (const bool gated : {false, true}) expert_tiles.insert({choice.tile_tokens, gated});
    }
    EXPECT_EQ(count(Op::kMatvec), dense_tiles.size());
    EXPECT_EQ(count(Op::kExpertMatvec), 2 + expert_tiles.size())
        << "gate and up together and one matrix, by pairs and by tiles";
    EXPECT_EQ(count(Op::kGroupRoutes), 1u);
    EXPECT_EQ(count(Op::kQkNormRope), 2u) << "two styles of rotation";
}

TEST_F(CompileTest, EveryPlannedCellHasAPipeline) {
    for (const KernelKey& cell : planned({})) {
        // A CPU keeps experts' sums in registers for any number of tokens.
        if (cell.op == Op::kExpertMatmul && kernels_.plan().registers.all_experts) continue;
        size_t n = 0;
        for (const Step& step : steps_of(shape())) n += request_pipelines(kernels_, cell, step).size();
        EXPECT_GT(n, 0u) << cell_name(cell);
    }
    EXPECT_EQ(kernels_.device().device_memory_taken(), 0u) << "nothing runs, so nothing needs memory";
}

TEST_F(CompileTest, ShapesOfAllModelsAreTaken) {
    for (const PublishedShape& one : published_shapes())
        for (const KernelKey& cell : planned({}))
            for (const Step& step : steps_of(one))
                EXPECT_NO_THROW(request_pipelines(kernels_, cell, step))
                    << one.name << ' ' << cell_name(cell);
}

/// Asks for the kernel itself with a workgroup of n_tokens invocations: the plan's, and one that no device
/// has.
std::vector<const Pipeline*> request_workgroups(KernelContext& kernels, const KernelKey& cell,
                                                const Step& step) {
    return {kernels.pipeline(kernels.kernel(cell), {step.n_tokens})};
}

TEST_F(CompileTest, AFailureIsToldAndTheRunGoesOn) {
    CompileOptions options{planned({{Op::kCombine}, {}, {}}), {{&shape(), 1u << 20}, {&shape(), 32}}};
    options.request = request_workgroups;
    const PipelineReport report = compile(options);
    ASSERT_EQ(report.pipelines.size(), 2u);
    EXPECT_NE(report.pipelines[0].error.find("1048576"), std::string::npos) << report.pipelines[0].error;
    EXPECT_EQ(report.pipelines[1].error, "");
    EXPECT_EQ(count_pipelines(report).failed, 1u);
    EXPECT_NE(text_report(report).find("FAILED combine_f32_scalar [1048576]: "), std::string::npos)
        << text_report(report);
    const nlohmann::json json = nlohmann::json::parse(json_report(report));
    EXPECT_EQ(json["summary"]["failed"], 1);
    EXPECT_EQ(json["pipelines"][0]["error"], report.pipelines[0].error);
}

TEST_F(CompileTest, AShapeThatAHostFunctionRefusesIsAFailureOfItsCell) {
    CompileOptions options{planned({{Op::kCombine}, {}, {}}), {{&shape(), 1}, {&shape(), 2}, {&shape(), 32}}};
    options.request = [](KernelContext& kernels, const KernelKey& cell, const Step& step) {
        if (step.n_tokens < 32) fail(ErrorCode::kUnsupported, "too few");
        return request_workgroups(kernels, cell, step);
    };
    const PipelineReport report = compile(options);
    ASSERT_EQ(report.pipelines.size(), 2u);
    EXPECT_EQ(report.pipelines[0].error, "too few");
    EXPECT_EQ(report.pipelines[0].n_tokens, (std::set<uint32_t>{1, 2}));
}

TEST_F(CompileTest, SpillsAreToldByThePlan) {
    CompileOptions options{find_cells({{Op::kSwiglu}, {}, {}}), {{&shape(), 1}}};
    const auto is_scalar = [](const Pipeline& one) { return one.name().ends_with("_scalar"); };
    options.executables_of = [&](const Pipeline& one) -> std::vector<PipelineExecutable> {
        return {{"compute", 64, {{"Spilled VGPRs", "Registers", uint64_t{is_scalar(one) ? 90u : 30u}}}}};
    };
    const PipelineReport report = compile(options);
    const PipelineCounts counts = count_pipelines(report);
    EXPECT_EQ(counts.spilling, report.pipelines.size());
    EXPECT_GT(counts.spilling_in_plan, 0u);
    EXPECT_LT(counts.spilling_in_plan, counts.spilling) << "the plan takes one path";
    const std::string text = text_report(report);
    EXPECT_LT(text.find("swiglu_f32_subgroup ["), text.find("swiglu_f32_scalar [")) << "the plan's first\n"
                                                                                    << text;
    const nlohmann::json json = nlohmann::json::parse(json_report(report));
    EXPECT_EQ(json["summary"]["spilling"], counts.spilling);
    EXPECT_EQ(json["summary"]["spilling_in_plan"], counts.spilling_in_plan);
    EXPECT_EQ(json["pipelines"][0]["driver"][0]["statistics"]["Spilled VGPRs"],
              json["pipelines"][0]["spills"]);
    EXPECT_EQ(json["descriptions"]["Spilled VGPRs"], "Registers");
}

TEST_F(CompileTest, WhatTheProgressThrowsStopsTheRun) {
    PipelineReport report;
    const CompileOptions options{planned({{Op::kRouter}, {}, {}}), steps_of(shape())};
    const auto stop_at_second = [](size_t done, size_t, std::string_view) {
        if (done == 1) throw std::runtime_error("enough");
    };
    EXPECT_THROW(compile_pipelines(kernels_, options, stop_at_second, report), std::runtime_error);
    EXPECT_EQ(count_pipelines(report).done, 1u);
    EXPECT_GT(report.pipelines.size(), 1u);
    EXPECT_EQ(nlohmann::json::parse(json_report(report))["pipelines"].size(), 1u);
}

}  // namespace
}  // namespace vkmoe::conformance
