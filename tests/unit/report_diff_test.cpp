// Two reports of `vkmoe conformance` compared.

#include "conformance/report_diff.h"

#include "conformance/pipeline_report.h"
#include "error_matching.h"

#include <gtest/gtest.h>

#include <functional>

namespace vkmoe::conformance {
namespace {

PipelineResult pipeline(const char* kernel, std::vector<uint32_t> constants = {64}) {
    PipelineResult result;
    result.cell = {Op::kMatvec, TensorType::kQ4_K, Path::kDot4};
    result.kernel = kernel;
    result.constants = std::move(constants);
    result.in_plan = true;
    result.shapes = {"Mixtral-8x7B"};
    result.n_tokens = {1, 2};
    result.is_done = true;
    result.milliseconds = 20;
    result.executables = {{"compute", 32, {{"VGPRs", "Registers", uint64_t{40}}}}};
    result.statistics = shader_statistics(result.executables);
    result.statistics.spills = 0;
    result.statistics.instructions = 1000;
    return result;
}

PipelineReport report_of(std::vector<PipelineResult> pipelines) {
    PipelineReport report;
    report.facts.version = "0.1.0";
    report.facts.date = "2026-01-02T03:04:05Z";
    report.facts.caps.name = "A \"GPU\"";
    report.statistics = StatisticsState::kTold;
    report.pipelines = std::move(pipelines);
    return report;
}

/// As it is read back from its file.
StoredReport stored(const PipelineReport& report) {
    return parse_report(json_report(report), "report.json");
}

using Change = std::function<void(PipelineResult&)>;

/// Of a report and another in which one of three pipelines is changed.
ReportDiff diff_by(const Change& change) {
    const std::vector<PipelineResult> pipelines = {pipeline("a"), pipeline("b"), pipeline("c")};
    std::vector<PipelineResult> changed = pipelines;
    change(changed[1]);
    return diff_reports(stored(report_of(pipelines)), stored(report_of(changed)));
}

std::string first_line(const std::string& text) {
    return text.substr(0, text.find('\n'));
}

TEST(ReportDiff, ReadsWhatWasWritten) {
    PipelineResult one = pipeline("matvec_q4_k_dot4", {64, 2, 1});
    one.statistics.fills = 7;
    PipelineResult failed = pipeline("broken");
    failed.error = "out of \"device\" memory";
    PipelineResult waiting = pipeline("never made");
    waiting.is_done = false;
    const StoredReport read = stored(report_of({one, failed, waiting}));
    EXPECT_TRUE(read.is_of_pipelines);
    EXPECT_NE(read.run.find("A \"GPU\""), std::string::npos) << read.run;
    ASSERT_EQ(read.pipelines.size(), 2u);
    EXPECT_EQ(read.pipelines[0].kernel, "matvec_q4_k_dot4");
    EXPECT_EQ(read.pipelines[0].constants, (std::vector<uint32_t>{64, 2, 1}));
    EXPECT_EQ(read.pipelines[0].milliseconds, 20);
    EXPECT_TRUE(read.pipelines[0].in_plan);
    EXPECT_EQ(read.pipelines[0].statistics.subgroup_size, 32u);
    for (const FigureName& figure : figure_names())
        EXPECT_EQ(read.pipelines[0].statistics.*figure.figure, one.statistics.*figure.figure) << figure.name;
    EXPECT_EQ(read.pipelines[1].error, failed.error);
}

TEST(ReportDiff, EqualReportsHaveNoDifferences) {
    const ReportDiff diff = diff_by([](PipelineResult&) {});
    EXPECT_FALSE(diff.is_worse);
    EXPECT_EQ(first_line(diff.text),
              "0 differences: 0 newly failing, 0 newly spilling, 0 spilling more, 0 spilling less");
}

TEST(ReportDiff, OnlyWhatFailsOrSpillsAnewIsWorse) {
    struct Row {
        const char* line;
        bool is_worse;
        Change change;
    };
    const std::vector<Row> rows = {
        {"FAILS b [64]: no memory", true, [](PipelineResult& one) { one.error = "no memory"; }},
        {"SPILLS b [64]: spills 0 -> 4", true, [](PipelineResult& one) { one.statistics.spills = 4; }},
        {"changed b [64]: registers 40 -> 41, instructions 1000 -> 900", false,
         [](PipelineResult& one) {
             one.statistics.registers = 41;
             one.statistics.instructions = 900;
         }},
        {"changed b [64]: code_bytes none -> 12", false,
         [](PipelineResult& one) { one.statistics.code_bytes = 12; }},
        {"compile time b [64]: 20 -> 500 ms", false, [](PipelineResult& one) { one.milliseconds = 500; }},
        {"0 differences: 0 newly failing, 0 newly spilling, 0 spilling more, 0 spilling less", false,
         [](PipelineResult& one) { one.milliseconds = 60; }},
        {"changed b [32] (before: [64]): registers 40 -> 39", false,
         [](PipelineResult& one) {
             one.constants = {32};
             one.statistics.registers = 39;
         }},
    };
    for (const Row& row : rows) {
        const ReportDiff diff = diff_by(row.change);
        EXPECT_EQ(first_line(diff.text), row.line);
        EXPECT_EQ(diff.is_worse, row.is_worse) << row.line;
    }
}

TEST(ReportDiff, WhatWasBadAlreadyIsNotWorse) {
    const auto diff = [](const Change& before, const Change& after) {
        PipelineResult old = pipeline("a");
        PipelineResult now = pipeline("a");
        before(old);
        after(now);
        return diff_reports(stored(report_of({old})), stored(report_of({now})));
    };
    const auto spills = [](uint64_t n) { return [n](PipelineResult& one) { one.statistics.spills = n; }; };
    const auto fails = [](PipelineResult& one) { one.error = "no memory"; };
    const ReportDiff more = diff(spills(2), spills(9));
    EXPECT_EQ(first_line(more.text), "spills more a [64]: spills 2 -> 9");
    EXPECT_FALSE(more.is_worse);
    EXPECT_EQ(first_line(diff(spills(9), spills(2)).text), "spills less a [64]: spills 9 -> 2");
    EXPECT_EQ(first_line(diff(spills(9), spills(0)).text), "no longer spills a [64]: spills 9 -> 0");
    EXPECT_FALSE(diff(fails, fails).is_worse);
    EXPECT_EQ(first_line(diff(fails, spills(0)).text), "no longer fails a [64]");
}

TEST(ReportDiff, NewPipelinesCountByThePlan) {
    const auto with = [](const Change& change) {
        std::vector<PipelineResult> added = {pipeline("a"), pipeline("a", {1}), pipeline("a", {2})};
        change(added[2]);
        return diff_reports(stored(report_of({pipeline("a")})), stored(report_of(added)));
    };
    EXPECT_FALSE(with([](PipelineResult&) {}).is_worse);
    const auto spills = [](PipelineResult& one) { one.statistics.spills = 3; };
    EXPECT_TRUE(with(spills).is_worse);
    EXPECT_FALSE(with([&](PipelineResult& one) {
                     spills(one);
                     one.in_plan = false;
                 }).is_worse);
    EXPECT_TRUE(with([](PipelineResult& one) { one.error = "no memory"; }).is_worse);
}

TEST(ReportDiff, TheMostImportantComesFirst) {
    std::vector<PipelineResult> before = {pipeline("few"), pipeline("registers"), pipeline("many"),
                                          pipeline("fails"), pipeline("gone")};
    std::vector<PipelineResult> after = before;
    after.pop_back();
    after[0].statistics.spills = 1;
    after[1].statistics.registers = 64;
    after[2].statistics.spills = 96;
    after[3].error = "no memory";
    const std::string text = diff_reports(stored(report_of(before)), stored(report_of(after))).text;
    size_t at = 0;
    for (const char* next : {"FAILS fails", "SPILLS many", "SPILLS few", "changed registers",
                             "only in the first gone", "5 differences: 1 newly failing, 2 newly spilling"}) {
        const size_t found = text.find(next, at);
        ASSERT_NE(found, std::string::npos) << next << " in\n" << text;
        at = found;
    }
}

TEST(ReportDiff, ReportsOfRunsCompareByOutcome) {
    const auto run = [](const char* q8_0, const char* extra = "") {
        return parse_report(
            fmt::format(R"({{"run": {{"device": "d", "driver": "r", "vkmoe": "0", "date": "t"}},
            "cells": [{{"op": "matvec", "type": "F32", "path": "scalar", "outcome": "ok"}},
                      {{"op": "matvec", "type": "Q8_0", "path": "scalar", "outcome": "{}"}}{}]}})",
                        q8_0, extra),
            "run.json");
    };
    const ReportDiff worse = diff_reports(run("ok"), run("failed"));
    EXPECT_EQ(first_line(worse.text), "matvec/Q8_0/scalar: ok -> failed");
    EXPECT_TRUE(worse.is_worse);
    EXPECT_TRUE(diff_reports(run("ok"), run("not run")).is_worse);
    EXPECT_FALSE(diff_reports(run("not run"), run("failed")).is_worse);
    EXPECT_FALSE(diff_reports(run("failed"), run("ok")).is_worse);
    EXPECT_FALSE(diff_reports(run("ok"), run("unsupported")).is_worse);
    EXPECT_TRUE(
        diff_reports(run("ok"),
                     run("ok", R"(, {"op": "argmax", "type": "F32", "path": "scalar", "outcome": "failed"})"))
            .is_worse);
}

TEST(ReportDiff, OtherFilesAreRefusedInOneLine) {
    const std::string good = json_report(report_of({pipeline("a")}));
    std::vector<std::string> bad = {
        "", "{", "[]", "12", "{}", R"({"run": 5})", good.substr(0, good.size() / 2)};
    for (const char* word : {"\"kernel\"", "\"constants\"", "\"planned\"", "\"milliseconds\"", "\"run\""}) {
        std::string text = good;
        text.replace(text.find(word), 2, "\"X");
        bad.push_back(text);
    }
    bad.push_back(std::string(100000, '['));
    for (const std::string& text : bad)
        expect_error(ErrorCode::kBadFile, {"odd.json", "--json"}, [&] { parse_report(text, "odd.json"); });
    StoredReport run;
    expect_error(ErrorCode::kInvalidArgument, {"--compile-only"},
                 [&] { diff_reports(run, stored(report_of({}))); });
}

}  // namespace
}  // namespace vkmoe::conformance
