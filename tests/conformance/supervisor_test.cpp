// Runs in worker processes that come to grief. A worker is this program again, with a filter for the test
// that is disabled. What its cells do comes by the environment.

#include "conformance/supervisor.h"
#include "base/child_process.h"
#include "base/error.h"
#include "conformance/check.h"
#include "conformance/report.h"
#include "conformance/worker.h"
#include "gpu/validation.h"
#include "gpu/vk_struct.h"
#include "unit/temp_folder.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace vkmoe::conformance {
namespace {

constexpr const char* kDeed = "VKMOE_SUPERVISOR_TEST_DEED";
constexpr const char* kFolder = "VKMOE_SUPERVISOR_TEST_FOLDER";
constexpr TensorType kBadType = TensorType::kQ4_K;
constexpr double kCaseLimit = 3;

std::filesystem::path mark(const std::string& name) {
    return std::filesystem::path(std::getenv(kFolder)) / name;
}

void set_mark(const std::string& name) {
    std::ofstream(mark(name)) << name;
}

void wait_for_mark(const std::string& name) {
    while (!std::filesystem::exists(mark(name))) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

/// What a driver may do.
void do_deed(CaseContext& c, const std::string& deed) {
    if (deed == "crash") std::raise(SIGSEGV);
    if (deed == "abort") {
        std::fputs("LLVM ERROR: no <such> instruction\n", stderr);
        std::abort();
    }
    if (deed == "leave") std::_Exit(3);
    if (deed == "hang")
        for (;;) ::pause();
    if (deed == "babble") send_line(STDERR_FILENO + 1, "{\"case\": ");
    if (deed == "lose" || deed == "lose for good") {
        set_mark("no device");
        fail(ErrorCode::kDeviceLost, "the <device> was lost");
    }
    if (deed == "lose once" && !std::filesystem::exists(mark("lost"))) {
        wait_for_mark("another runs");
        set_mark("lost");
        fail(ErrorCode::kDeviceLost, "the <device> was lost");
    }
    if (deed == "invalid") {
        const Device& device = c.kernels().device();
        VkBufferCreateInfo info = vk_struct<VkBufferCreateInfo>(VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO);
        VkBuffer buffer = VK_NULL_HANDLE;  // without a size or a usage
        if (device.vk().vkCreateBuffer(device.handle(), &info, nullptr, &buffer) == VK_SUCCESS)
            device.vk().vkDestroyBuffer(device.handle(), buffer, nullptr);
    }
}

/// Takes a large piece of memory; fails when another process has one.
void take_memory(CaseContext& c) {
    c.reserve(1u << 20);
    require(!std::filesystem::exists(mark("large")), "two large pieces at once");
    set_mark("large");
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    std::filesystem::remove(mark("large"));
}

std::vector<Case> cases(const KernelKey& cell, Depth) {
    const std::string deed = std::getenv(kDeed);
    std::vector<Case> cases;
    // Shows that a worker's end loses no failure before it.
    if (deed == "crash" && cell.type == kBadType)
        cases.push_back({"wrong", [](CaseContext&) { throw CheckFailure("a wrong number"); }});
    cases.push_back({"deed", [cell, deed](CaseContext& c) {
                         if (deed == "large") return take_memory(c);
                         if (cell.type == kBadType) return do_deed(c, deed);
                         if (deed != "lose once") return;
                         set_mark("another runs");
                         wait_for_mark("lost");
                     }});
    return cases;
}

RunOptions options(uint32_t n_workers) {
    RunOptions options;
    options.seed = 5;
    options.case_limit = kCaseLimit;
    options.n_threads = n_workers;
    options.find_cases = cases;
    return options;
}

TEST(Worker, DISABLED_Serves) {
    if (std::string(std::getenv(kDeed)) == "lose for good" && std::filesystem::exists(mark("no device")))
        std::raise(SIGBUS);
    serve_cells("", options(1));
}

class SupervisorTest : public testing::Test {
  protected:
    void SetUp() override { ::setenv(kFolder, (folder_ / "").c_str(), 1); }

    std::unique_ptr<Runner> open(const std::string& deed, uint32_t n_workers) {
        ::setenv(kDeed, deed.c_str(), 1);
        return run_in_workers(
            {"supervisor_test", "--gtest_also_run_disabled_tests", "--gtest_filter=Worker.DISABLED_Serves"},
            options(n_workers));
    }

    Report run(const std::string& deed, uint32_t n_workers) {
        Report report;
        const std::unique_ptr<Runner> runner = open(deed, n_workers);
        report.facts = {"0", date_now(), "", runner->caps(), options(n_workers)};
        runner->run(cells_, {}, report.result);
        runner->close(report.result);
        validation_errors_ = runner->validation_errors();
        return report;
    }

    /// That the bad cell alone failed, by these words, and that all reports say so.
    void expect_bad_cell(const Report& report, const std::string& words) {
        const nlohmann::json json = nlohmann::json::parse(json_report(report));
        EXPECT_EQ(json["summary"]["ok"], cells_.size() - 1) << json.dump(2);
        EXPECT_EQ(json["summary"]["failed"], 1);
        EXPECT_FALSE(json.contains("ended"));
        EXPECT_FALSE(json.contains("problems")) << json["problems"];
        const nlohmann::json& bad = json["cells"][0];
        EXPECT_EQ(bad["type"], "Q4_K");
        const nlohmann::json& failure = bad["failures"].back();
        EXPECT_EQ(failure["case"], "deed");
        EXPECT_NE(failure["message"].get<std::string>().find(words), std::string::npos) << failure;
        EXPECT_EQ(failure["repeat"],
                  "vkmoe conformance --op matvec --type Q4_K --path scalar --quick --seed 5");
        const std::string junit = junit_report(report);
        EXPECT_NE(junit.find("tests=\"4\" failures=\"1\" skipped=\"0\" errors=\"0\""), std::string::npos)
            << junit;
        EXPECT_NE(text_report(report).find("FAILED matvec/Q4_K/scalar\n"), std::string::npos);
        EXPECT_NE(text_report(report).find(words), std::string::npos);
    }

    void expect_no_children() {
        EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
        EXPECT_EQ(errno, ECHILD);
    }

    const std::vector<KernelKey> cells_ = [] {
        std::vector<KernelKey> cells;
        for (const TensorType type : {kBadType, TensorType::kF32, TensorType::kF16, TensorType::kQ8_0})
            cells.push_back({Op::kMatvec, type, Path::kScalar});
        return cells;
    }();
    TempFolder folder_;
    uint64_t validation_errors_ = 0;
};

TEST_F(SupervisorTest, AllPassesWhereNothingIsWrong) {
    const Report report = run("none", 2);
    EXPECT_EQ(nlohmann::json::parse(json_report(report))["summary"]["ok"], cells_.size());
    EXPECT_EQ(report.facts.caps.name, Device::create()->caps().name);
    EXPECT_EQ(validation_errors_, 0u);
    expect_no_children();
}

TEST_F(SupervisorTest, ACrashIsNamedWithItsSignal) {
    for (const uint32_t n_workers : {1u, 2u}) {
        const Report report = run("crash", n_workers);
        expect_bad_cell(report, "the process was ended by SIGSEGV (Segmentation fault)");
        EXPECT_EQ(report.result.cells[0].n_cases, 2u);
        EXPECT_EQ(report.result.cells[0].failures.front().message, "a wrong number");
    }
    expect_no_children();
}

TEST_F(SupervisorTest, AnAbortIsToldWithItsLastWords) {
    expect_bad_cell(run("abort", 2),
                    "SIGABRT (Aborted); the last that it printed is 'LLVM ERROR: no <such> instruction'");
}

TEST_F(SupervisorTest, AWorkerThatLeavesIsNamed) {
    expect_bad_cell(run("leave", 2), "the process ended with exit code 3");
}

TEST_F(SupervisorTest, AHangIsEnded) {
    expect_bad_cell(run("hang", 2), "the case did not end within 3 s and was killed");
    expect_no_children();
}

TEST_F(SupervisorTest, AWorkerThatTalksNonsenseIsEnded) {
    expect_bad_cell(run("babble", 2), "sent something that is no message");
}

TEST_F(SupervisorTest, ALostDeviceIsOpenedAgain) {
    expect_bad_cell(run("lose", 1), "the <device> was lost");
}

TEST_F(SupervisorTest, ALossBesideOtherCellsIsTriedAgainAlone) {
    const Report report = run("lose once", 2);
    EXPECT_EQ(nlohmann::json::parse(json_report(report))["summary"]["ok"], cells_.size());
    ASSERT_EQ(report.result.problems.size(), 1u);
    for (const char* words : {"the <device> was lost", "matvec/Q4_K/scalar", "alone"})
        EXPECT_NE(report.result.problems[0].find(words), std::string::npos) << report.result.problems[0];
    EXPECT_NE(junit_report(report).find("errors=\"1\""), std::string::npos);
    EXPECT_NE(text_report(report).find("PROBLEM: the <device> was lost"), std::string::npos);
}

TEST_F(SupervisorTest, ADeviceThatCannotBeOpenedAgainEndsTheRun) {
    const Report report = run("lose for good", 1);
    EXPECT_NE(report.result.ended.find("SIGBUS"), std::string::npos) << report.result.ended;
    const nlohmann::json json = nlohmann::json::parse(json_report(report));
    EXPECT_EQ(json["summary"]["failed"], 1);
    EXPECT_EQ(json["summary"]["not run"], cells_.size() - 1);
    EXPECT_EQ(json["ended"], report.result.ended);
}

TEST_F(SupervisorTest, ADriverThatCrashesAtOnceIsAnError) {
    set_mark("no device");
    try {
        open("lose for good", 2);
        FAIL() << "it opened";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("SIGBUS"), std::string::npos) << error.what();
    }
    expect_no_children();
}

TEST_F(SupervisorTest, LargeCasesRunOneByOne) {
    const Report report = run("large", 3);
    EXPECT_EQ(nlohmann::json::parse(json_report(report))["summary"]["ok"], cells_.size())
        << text_report(report);
}

TEST_F(SupervisorTest, CountsTheErrorsOfTheValidationLayer) {
    if (wanted_validation() == Validation::kOff) GTEST_SKIP() << "VKMOE_VALIDATION is not set";
    run("invalid", 2);
    EXPECT_GT(validation_errors_, 0u);
}

TEST_F(SupervisorTest, WhatTheProgressThrowsEndsAllWorkers) {
    const std::unique_ptr<Runner> runner = open("hang", 2);
    RunResult result;
    const auto stop = [](size_t done, size_t, std::string_view) {
        if (done == 3) throw std::runtime_error("enough");
    };
    EXPECT_THROW(runner->run(cells_, stop, result), std::runtime_error);
    EXPECT_EQ(outcome(result.cells[0]), Outcome::kNotRun);
    EXPECT_EQ(outcome(result.cells[3]), Outcome::kOk);
    expect_no_children();
}

}  // namespace
}  // namespace vkmoe::conformance
