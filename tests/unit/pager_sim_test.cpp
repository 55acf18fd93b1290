#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/line_plot.h"
#include "experts/trace.h"
#include "unit/error_matching.h"
#include "unit/temp_folder.h"

namespace vkmoe::cli {
namespace {

/// Two experts of four take turns in two layers; the look-ahead is always right.
void write_trace(const std::string& path, uint32_t n_experts = 4, const std::string& model = "a <model>") {
    TraceWriter writer(path, {2, n_experts, 1, 1, model});
    for (uint32_t token = 0; token < 100; ++token) {
        const std::vector<uint32_t> ids = {token % 2, 2 + token % 2};
        writer.add_token(ids, std::vector<uint32_t>{ids[1]}, std::vector<float>{0.9F});
    }
    writer.finish();
}

/// What the subcommand prints.
std::string run(std::vector<std::string> arguments) {
    CLI::App app;
    app.option_defaults()->always_capture_default();
    add_pager_sim_command(app);
    arguments.insert(arguments.begin(), "pager-sim");
    std::reverse(arguments.begin(), arguments.end());
    testing::internal::CaptureStdout();
    try {
        app.parse(arguments);
    } catch (...) {
        testing::internal::GetCapturedStdout();
        throw;
    }
    return testing::internal::GetCapturedStdout();
}

TEST(PagerSim, TablesHitRates) {
    const TempFolder folder;
    write_trace(folder / "t");
    const std::string text = run({"--trace", folder / "t", "--slots", "2,4,100%"});
    EXPECT_NE(text.find("2 layers, 1 of 4 experts active per token; 100 tokens in 1 trace"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("lru     lfu   vkmoe  belady"), std::string::npos) << text;
    // All but the first use of each of the four is a hit, whatever the policy.
    EXPECT_NE(text.find("      4   50.0%   0.980   0.980   0.980   0.980"), std::string::npos) << text;
    EXPECT_NE(text.find("      8  100.0%   0.980"), std::string::npos) << text;
    EXPECT_EQ(text.find("share of prefetched"), std::string::npos) << text;
}

TEST(PagerSim, WritesFiguresAndAPlot) {
    const TempFolder folder;
    write_trace(folder / "a");
    write_trace(folder / "b");
    run({"--trace", folder / "a", folder / "b", "--slots", "2,50%", "--policy", "lru,vkmoe", "--link", "2",
         "--json", folder / "j", "--svg", folder / "s"});
    const nlohmann::json json = nlohmann::json::parse(read_file(folder / "j"));
    EXPECT_EQ(json["n_tokens"], 200);
    ASSERT_EQ(json["results"].size(), 6U);
    const nlohmann::json& ahead = json["results"][2];
    EXPECT_EQ(ahead["policy"], "vkmoe");
    EXPECT_EQ(ahead["link"], 2);
    EXPECT_EQ(ahead["n_slots"], 2);
    EXPECT_GT(ahead["n_prefetched_used"], 100);
    EXPECT_EQ(json["results"][0]["n_hits"].get<int>() + json["results"][0]["n_misses"].get<int>(), 400);
    const std::string svg = read_file(folder / "s");
    EXPECT_NE(svg.find("a &lt;model&gt;"), std::string::npos);
    EXPECT_NE(svg.find("vkmoe+link 2"), std::string::npos);
}

TEST(PagerSim, SaysWhatIsWrong) {
    const TempFolder folder;
    write_trace(folder / "t");
    write_trace(folder / "other", 5);
    for (const std::string slots : {"0", "9", "x", "1.5", "-1", "101%", "nan", "%", "1e99%"}) {
        expect_error(ErrorCode::kInvalidArgument, {"--slots", "'" + slots + "'"}, [&] {
            run({"--trace", folder / "t", "--slots=" + slots});
        });
    }
    expect_error(ErrorCode::kInvalidArgument, {"one model", "5"}, [&] {
        run({"--trace", folder / "t", folder / "other"});
    });
    EXPECT_THROW(run({"--trace", folder / "t", "--policy", "mine"}), CLI::ParseError);
    EXPECT_THROW(run({"--trace", folder / "nowhere"}), CLI::ParseError);
}

TEST(LinePlot, DrawsEveryLineInItsPlace) {
    const LinePlot plot{"a title", {"x & y"}, {"z"}, {{"one", {{0, 0}, {1, 1}}}, {"two", {{0.5, 0.5}}}}};
    const std::string svg = plot.svg();
    EXPECT_NE(svg.find("M70.0 420.0 L690.0 50.0"), std::string::npos) << svg;
    EXPECT_NE(svg.find("M380.0 235.0"), std::string::npos) << svg;
    for (const char* text : {">a title<", ">x &amp; y<", ">z<", ">one<", ">two<", ">100%<"})
        EXPECT_NE(svg.find(text), std::string::npos) << text;
    EXPECT_EQ(svg.substr(0, 4), "<svg");
    EXPECT_EQ(svg.substr(svg.size() - 7), "</svg>\n");
}

TEST(LinePlot, ChoosesRoundNumbersForAnAxis) {
    const std::vector<std::pair<double, double>> steps = {
        {0.5, 0.05}, {1, 0.1}, {9.9, 1}, {12, 2}, {64, 10}, {64.1, 10}, {101, 20}, {300, 50}, {1e6, 1e5}};
    for (const auto& [most, step] : steps) {
        const LinePlot::Axis axis = LinePlot::Axis::of_numbers("n", most);
        EXPECT_DOUBLE_EQ(axis.step, step) << most;
        EXPECT_GE(axis.end() * (1 + 1e-9), most);
        EXPECT_LE(axis.n_steps, 10u) << most;
    }
    const LinePlot plot{"t",
                        LinePlot::Axis::of_numbers("rows", 64),
                        LinePlot::Axis::of_numbers("tok/s", 300),
                        {{"one", {{35, 150}}}}};
    const std::string svg = plot.svg();
    EXPECT_NE(svg.find("M380.0 235.0"), std::string::npos) << svg;
    for (const char* text : {">70<", ">300<", ">rows<", ">tok/s<"})
        EXPECT_NE(svg.find(text), std::string::npos) << text;
}

}  // namespace
}  // namespace vkmoe::cli
