// The suite itself: that it sees what is wrong, names it, and survives what it tests.

#include "base/error.h"
#include "conformance/activations.h"
#include "conformance/report.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <bit>
#include <limits>
#include <memory>

namespace vkmoe::conformance {
namespace {

std::vector<Expected> ones(size_t n) {
    return std::vector<Expected>(n, Expected{1, 1});
}

/// The failure of a check; a test failure when it passes.
CheckFailure failure_of(const std::vector<Expected>& expected, const std::vector<float>& actual) {
    try {
        check_numbers("numbers", expected, actual, Tolerance{});
    } catch (const CheckFailure& failure) {
        return failure;
    }
    ADD_FAILURE() << "it passed";
    return CheckFailure("");
}

TEST(CheckNumbers, NamesTheFirstWrongElement) {
    std::vector<float> actual(40, 1.0f);
    EXPECT_NO_THROW(check_numbers("numbers", ones(40), actual, Tolerance{}));
    actual[17] = actual[30] = 1.00001f;
    const CheckFailure failure = failure_of(ones(40), actual);
    EXPECT_EQ(failure.first_wrong, 17u);
    EXPECT_EQ(failure.expected, "1");
    EXPECT_EQ(failure.got, "1.00001");
    ASSERT_TRUE(failure.nmse);
    EXPECT_NEAR(*failure.nmse, 2e-10 / 40, 1e-13);
}

TEST(CheckNumbers, JudgesFewLargeNumbersOneByOne) {
    const Tolerance tolerance{.relative = 1e-3, .nmse = 1e-9};
    std::vector<Expected> expected = ones(40);
    std::vector<float> actual(40, 1.0005f);
    EXPECT_THROW(check_numbers("numbers", expected, actual, tolerance), CheckFailure) << "by their NMSE";
    expected[17] = {100, 100};
    actual[17] = 100.05f;
    EXPECT_NO_THROW(check_numbers("numbers", expected, actual, tolerance));
    actual[17] = 100.2f;
    EXPECT_THROW(check_numbers("numbers", expected, actual, tolerance), CheckFailure);
}

TEST(CheckNumbers, HoldsSpecialNumbersToTheirPlaces) {
    std::vector<Expected> expected = ones(3);
    expected[1].value = std::numeric_limits<double>::infinity();
    EXPECT_NO_THROW(check_numbers("numbers", expected, std::vector<float>{1, kInfinity, 1}, Tolerance{}));
    EXPECT_NO_THROW(check_numbers("numbers", expected, std::vector<float>{1, kNan, 1}, Tolerance{}));
    EXPECT_EQ(failure_of(expected, {1, 1, 1}).first_wrong, 1u);
    EXPECT_EQ(failure_of(expected, {1, kNan, kNan}).first_wrong, 2u);
}

TEST(CheckNumbers, SeesWhatWasNotWrittenAndWhatShouldNotBe) {
    const float poison = std::bit_cast<float>(0xFFFFFFFFu);
    std::vector<Expected> expected = ones(2);
    expected[1].written = false;
    EXPECT_NO_THROW(check_numbers("numbers", expected, std::vector<float>{1, poison}, Tolerance{}));
    EXPECT_EQ(failure_of(expected, {poison, poison}).got, "untouched memory");
    EXPECT_EQ(failure_of(expected, {1, 1}).expected, "untouched memory");
}

TEST(CheckNumbers, LetsOnlySubnormalErrorsBeFlushed) {
    const std::vector<Expected> expected = {{1e-39, 1e-39, 2e-38}};
    EXPECT_NO_THROW(check_numbers("numbers", expected, std::vector<float>{0}, Tolerance{}));
    EXPECT_EQ(failure_of(expected, {1e-37f}).first_wrong, 0u);
}

class SuiteTest : public testing::Test {
  protected:
    KernelContext kernels_{Device::create()};
};

TEST_F(SuiteTest, GuardedMemorySeesWritesOutside) {
    const std::vector<std::byte> word(4, std::byte{7});
    for (const bool is_input : {true, false}) {
        for (const int64_t at : {-4, 0, 100}) {
            Bench bench(kernels_);
            const Allocation buffer =
                is_input ? bench.memory.add_input(std::vector<std::byte>(100)) : bench.memory.add_output(100);
            Allocation target = buffer;
            target.address += at;
            target.offset += at;
            target.size = 4;
            if (target.mapped != nullptr) target.mapped += at;
            bench.memory.write(target, word);
            if (!is_input && at == 0)
                EXPECT_NO_THROW(bench.memory.check());
            else
                EXPECT_THROW(bench.memory.check(), CheckFailure)
                    << at << " of " << (is_input ? "input" : "output");
        }
    }
}

/// Fails, skips, loses the device or passes, by the type of the cell.
std::vector<Case> invented_cases(const KernelKey& cell, Depth) {
    return {{"good", [](CaseContext&) {}},
            {"invented", [cell](CaseContext& c) {
                 switch (cell.type) {
                     case TensorType::kQ8_0:
                         check_numbers("numbers", ones(1),
                                       std::vector<float>{static_cast<float>(c.random()())}, Tolerance{});
                         break;
                     case TensorType::kQ4_K:
                         fail(ErrorCode::kDeviceLost, "the <device> hangs");
                     case TensorType::kF32:
                         throw CaseSkipped("too little memory");
                     default:
                         break;
                 }
             }}};
}

Report run(KernelContext& kernels, const std::vector<TensorType>& types, uint32_t seed = 5) {
    Report report;
    report.facts.caps = kernels.device().caps();
    report.facts.version = "0";
    report.facts.date = date_now();
    report.facts.options.seed = seed;
    report.facts.options.n_threads = 2;
    report.facts.options.find_cases = invented_cases;
    run_cells(kernels, find_cells({{Op::kMatvec}, types, {Path::kScalar}}), report.facts.options, {},
              report.result);
    return report;
}

TEST_F(SuiteTest, ReportsWhatFailedAndHowToRepeatIt) {
    const Report report = run(kernels_, {TensorType::kF32, TensorType::kQ8_0});
    const nlohmann::json json = nlohmann::json::parse(json_report(report));
    EXPECT_EQ(json["summary"]["ok"], 1);
    EXPECT_EQ(json["summary"]["failed"], 1);
    EXPECT_EQ(json["cells"][0]["skipped"][0]["reason"], "too little memory");
    const nlohmann::json& failure = json["cells"][1]["failures"][0];
    EXPECT_EQ(failure["case"], "invented");
    EXPECT_EQ(failure["first_wrong"], 0);
    EXPECT_EQ(failure["repeat"], "vkmoe conformance --op matvec --type Q8_0 --path scalar --quick --seed 5");
    const std::string text = text_report(report);
    EXPECT_NE(text.find("FAILED matvec/Q8_0/scalar"), std::string::npos) << text;
    EXPECT_NE(text.find("1 ok, 0 unsupported, 1 failed"), std::string::npos) << text;
    // The same seed makes the same inputs, and another one others.
    const auto got = [](const Report& of) { return of.result.cells[1].failures[0].got; };
    EXPECT_EQ(got(run(kernels_, {TensorType::kF32, TensorType::kQ8_0})), got(report));
    EXPECT_NE(got(run(kernels_, {TensorType::kF32, TensorType::kQ8_0}, 6)), got(report));
}

TEST_F(SuiteTest, ALostDeviceEndsTheRunWithAReport) {
    const Report report = run(kernels_, {TensorType::kQ4_K, TensorType::kQ8_0});
    EXPECT_TRUE(report.result.device_lost);
    for (const char* words : {"hangs", "matvec/Q4_K/scalar", "invented"})
        EXPECT_NE(report.result.ended.find(words), std::string::npos) << report.result.ended;
    const nlohmann::json json = nlohmann::json::parse(json_report(report));
    EXPECT_EQ(json["ended"], report.result.ended);
    EXPECT_GE(json["summary"]["not run"], 1);
    const std::string junit = junit_report(report);
    EXPECT_NE(junit.find("<error message=\"the &lt;device&gt; hangs"), std::string::npos) << junit;
    EXPECT_NE(text_report(report).find("ENDED EARLY"), std::string::npos);
}

TEST_F(SuiteTest, WhatTheProgressThrowsStopsTheRun) {
    Report report;
    report.facts.options.find_cases = invented_cases;
    const auto stop = [](size_t, size_t, std::string_view) { throw std::runtime_error("enough"); };
    EXPECT_THROW(run_cells(kernels_, find_cells({{Op::kMatvec}, {TensorType::kF32}, {}}),
                           report.facts.options, stop, report.result),
                 std::runtime_error);
}

TEST(Cells, EveryCellOfTheTableHasCases) {
    for (const KernelBinary& binary : kernel_table()) {
        const std::vector<Case> quick = cases_of(binary.key, Depth::kQuick);
        const std::vector<Case> full = cases_of(binary.key, Depth::kFull);
        EXPECT_FALSE(quick.empty()) << cell_name(binary.key);
        EXPECT_GE(full.size(), quick.size()) << cell_name(binary.key);
        std::vector<std::string> names;
        for (const Case& one : full) names.push_back(one.name);
        std::sort(names.begin(), names.end());
        EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end())
            << cell_name(binary.key) << " has two cases of one name";
    }
}

}  // namespace
}  // namespace vkmoe::conformance
