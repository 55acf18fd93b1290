// What drivers tell of machine code, as our figures. The statistics are those that the drivers of Mesa 26.2.6
// gave for expert_matvec and attention kernels (names, descriptions and values), without those that are no
// figure of ours.

#include "conformance/shader_statistics.h"

#include <gtest/gtest.h>

#include <limits>

namespace vkmoe::conformance {
namespace {

using Figure = ShaderStatistics::Figure;

ExecutableStatistic count(const char* name, uint64_t value, const char* description = "") {
    return {name, description, value};
}

struct Driver {
    const char* name;
    uint32_t subgroup_size;
    std::vector<ExecutableStatistic> told;
    ShaderStatistics expected;
};

std::vector<Driver> drivers() {
    return {
        {"RADV",
         64,
         {count("Driver pipeline hash", 9987205641552867727u), count("SGPRs", 108), count("VGPRs", 60),
          count("Spilled SGPRs", 2), count("Spilled VGPRs", 5),
          count("Code size", 2196, "Code size in bytes"), count("LDS size", 6144), count("Scratch size", 512),
          count("Subgroups per SIMD", 24), count("Instructions", 410), count("Pre-Sched VGPRs", 43)},
         {64, 60, 108, 7, {}, 512, 6144, 24, 2196, 410, {}}},
        {"NVK",
         32,
         {count("Instruction count", 456), count("Static cycle count", 7762), count("Max warps/SM", 32),
          count("Spills to memory", 3), count("Fills from memory", 4), count("Spills to reg", 9),
          count("Code size", 7296, "Size of the compiled shader binary, in bytes"),
          count("Number of GPRs", 64), count("SLM size", 16)},
         {32, 64, {}, 3, 4, 16, {}, 32, 7296, 456, {}}},
        {"ANV",
         16,
         {count("Instructions", 9412), count("Code size", 187168, "Code size in bytes"), count("SENDs", 123),
          count("Loops", 5), count("Spills", 386), count("Fills", 704), count("Scratch Memory Size", 16384),
          count("GRF registers", 0), count("Max dispatch width", 16), count("Max live registers", 426),
          count("Workgroup Memory Size", 4608), count("Non SSA regs after NIR", 175)},
         {16, 426, {}, 386, 704, 16384, 4608, {}, 187168, 9412, 5}},
        {"ANV of earlier versions",
         32,
         {count("Instruction Count", 700), count("Loop Count", 2), count("Spill Count", 3),
          count("Fill Count", 4)},
         {32, {}, {}, 3, 4, {}, {}, {}, {}, 700, 2}},
        {"Turnip",
         128,
         {count("Max Waves Per Core", 4, "Maximum number of simultaneous waves per core."),
          count("Instruction Count", 514),
          count("Code size", 1152, "Total number of dwords in the final generated shader executable."),
          count("Registers used", 24),
          count("Half-registers used", 0),
          count("Loops", 1),
          count("STP Count", 2),
          count("LDP Count", 3),
          {"Early preamble", "Whether the preamble will be executed early.", true}},
         {128, 96, {}, 2, 3, {}, {}, 4, 4608, 514, 1}},
        {"Honeykrisp",
         32,
         {count("Instructions", 213), count("Code size", 1626, "Binary size in bytes"),
          count("GPRs", 79, "Number of 16-bit GPRs"),
          count("Uniforms", 74, "Number of 16-bit uniform registers"),
          count("Scratch", 0, "Scratch size per thread in bytes"),
          count("Threads", 1024, "Maximum number of threads in flight on a compute unit"), count("Loops", 1),
          count("Spills", 0), count("Fills", 0)},
         {32, 40, {}, 0, 0, 0, {}, 32, 1626, 213, 1}},
        {"a driver that none of the names is known of", 8, {count("Quality", 5)}, {8}},
    };
}

TEST(ShaderStatistics, DriversSayTheSameInTheirOwnWords) {
    for (const Driver& driver : drivers()) {
        SCOPED_TRACE(driver.name);
        const PipelineExecutable executable{"compute", driver.subgroup_size, driver.told};
        const ShaderStatistics found = shader_statistics({&executable, 1});
        EXPECT_EQ(found.subgroup_size, driver.expected.subgroup_size);
        for (const FigureName& one : figure_names())
            EXPECT_EQ(found.*one.figure, driver.expected.*one.figure) << one.name;
    }
}

TEST(ShaderStatistics, EveryFigureHasOneName) {
    ShaderStatistics all;
    for (const FigureName& one : figure_names()) {
        EXPECT_FALSE(all.*one.figure) << one.name << " is another's figure too";
        all.*one.figure = 1;
    }
    EXPECT_EQ(figure_names().size(),
              (sizeof(ShaderStatistics) - offsetof(ShaderStatistics, registers)) / sizeof(Figure));
}

TEST(ShaderStatistics, SpillsCountBeforeScratch) {
    ShaderStatistics statistics;
    EXPECT_FALSE(statistics.spilling());
    statistics.scratch_bytes = 64;
    EXPECT_TRUE(statistics.spilling()) << "drivers that count no spills";
    statistics.spills = 0;
    EXPECT_FALSE(statistics.spilling()) << "an array in private memory is no spill";
    statistics.spills = 1;
    EXPECT_TRUE(statistics.spilling());
}

TEST(ShaderStatistics, TheWorstExecutableStandsForThePipeline) {
    const std::vector<PipelineExecutable> executables = {{"SIMD8", 8, {count("Spill Count", 0)}},
                                                         {"SIMD16", 16, {count("Spill Count", 4)}},
                                                         {"SIMD32", 32, {count("Spill Count", 4)}},
                                                         {"SIMD32 again", 64, {count("Spill Count", 3)}}};
    EXPECT_EQ(shader_statistics(executables).subgroup_size, 32u);
    EXPECT_EQ(shader_statistics({}).subgroup_size, 0u);
}

TEST(ShaderStatistics, OddValuesOfDriversAreLeftOut) {
    const PipelineExecutable executable{"compute",
                                        32,
                                        {{"VGPRs", "", int64_t{-1}},
                                         {"Code size", "", std::numeric_limits<double>::quiet_NaN()},
                                         {"LDS size", "", 1e300},
                                         {"Instructions", "", int64_t{12}},
                                         {"Loops", "", 2.0}}};
    const ShaderStatistics found = shader_statistics({&executable, 1});
    EXPECT_FALSE(found.registers);
    EXPECT_FALSE(found.code_bytes);
    EXPECT_FALSE(found.shared_bytes);
    EXPECT_EQ(found.instructions, 12u);
    EXPECT_EQ(found.loops, 2u);
}

}  // namespace
}  // namespace vkmoe::conformance
