#include "conformance/shader_statistics.h"

#include <algorithm>
#include <cmath>

namespace vkmoe::conformance {
namespace {

using Figure = ShaderStatistics::Figure;

/// What drivers call a figure. The same name means the same everywhere, but for its unit.
struct DriverName {
    std::string_view name;
    Figure ShaderStatistics::*figure;
};

// Mesa's names are those of 26.2.6, read from the drivers: RADV, NVK, ANV (and its names in earlier
// versions), Turnip and Honeykrisp in this order; what an earlier one has is not listed again. Then NVIDIA's
// own driver, AMD's own (the fields of VK_AMD_shader_info) and Qualcomm's own, from what tools of others
// read.
constexpr DriverName kDriverNames[] = {
    {"VGPRs", &ShaderStatistics::registers},
    {"SGPRs", &ShaderStatistics::scalar_registers},
    {"Spilled VGPRs", &ShaderStatistics::spills},
    {"Spilled SGPRs", &ShaderStatistics::spills},
    {"Scratch size", &ShaderStatistics::scratch_bytes},
    {"LDS size", &ShaderStatistics::shared_bytes},
    {"Subgroups per SIMD", &ShaderStatistics::subgroups},
    {"Code size", &ShaderStatistics::code_bytes},
    {"Instructions", &ShaderStatistics::instructions},

    {"Number of GPRs", &ShaderStatistics::registers},
    {"Spills to memory", &ShaderStatistics::spills},
    {"Fills from memory", &ShaderStatistics::fills},
    {"SLM Size", &ShaderStatistics::scratch_bytes},
    {"Max warps/SM", &ShaderStatistics::subgroups},
    {"Instruction count", &ShaderStatistics::instructions},

    {"Max live registers", &ShaderStatistics::registers},
    {"Spills", &ShaderStatistics::spills},
    {"Spill Count", &ShaderStatistics::spills},
    {"Fills", &ShaderStatistics::fills},
    {"Fill Count", &ShaderStatistics::fills},
    {"Scratch Memory Size", &ShaderStatistics::scratch_bytes},
    {"Workgroup Memory Size", &ShaderStatistics::shared_bytes},
    {"Loops", &ShaderStatistics::loops},
    {"Loop Count", &ShaderStatistics::loops},

    {"Registers used", &ShaderStatistics::registers},
    {"STP Count", &ShaderStatistics::spills},
    {"LDP Count", &ShaderStatistics::fills},
    {"Max Waves Per Core", &ShaderStatistics::subgroups},

    {"GPRs", &ShaderStatistics::registers},
    {"Threads", &ShaderStatistics::subgroups},
    {"Scratch", &ShaderStatistics::scratch_bytes},

    {"Register Count", &ShaderStatistics::registers},
    {"Local Memory Size", &ShaderStatistics::scratch_bytes},
    {"Shared Memory Size", &ShaderStatistics::shared_bytes},
    {"Binary Size", &ShaderStatistics::code_bytes},

    {"numUsedVgprs", &ShaderStatistics::registers},
    {"numUsedSgprs", &ShaderStatistics::scalar_registers},
    {"ldsUsageSizeInBytes", &ShaderStatistics::shared_bytes},
    {"scratchMemUsageInBytes", &ShaderStatistics::scratch_bytes},

    {"Overall register footprint", &ShaderStatistics::registers},
    {"Scratch memory usage", &ShaderStatistics::scratch_bytes},
    {"Instruction count all", &ShaderStatistics::instructions},
};

constexpr FigureName kFigureNames[] = {
    {"registers", &ShaderStatistics::registers},
    {"scalar_registers", &ShaderStatistics::scalar_registers},
    {"spills", &ShaderStatistics::spills},
    {"fills", &ShaderStatistics::fills},
    {"scratch_bytes", &ShaderStatistics::scratch_bytes},
    {"shared_bytes", &ShaderStatistics::shared_bytes},
    {"subgroups", &ShaderStatistics::subgroups},
    {"code_bytes", &ShaderStatistics::code_bytes},
    {"instructions", &ShaderStatistics::instructions},
    {"loops", &ShaderStatistics::loops},
};

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_name(std::string_view left, std::string_view right) {
    return std::ranges::equal(left, right, {}, lower, lower);
}

/// What a unit that a driver counts in is of ours, where its description says so.
double unit_of(const ExecutableStatistic& statistic, const PipelineExecutable& executable) {
    const auto says = [&statistic](const char* words) {
        return statistic.description.find(words) != std::string::npos;
    };
    if (statistic.name == "Registers used" || says("of dwords"))
        return 4;                            // Turnip's: vectors, words of code
    if (says("of 16-bit GPRs")) return 0.5;  // Honeykrisp's registers
    if (says("of threads in flight"))        // and its occupancy
        return 1.0 / std::max(executable.subgroup_size, 1u);
    return 1;
}

/// A figure as a count; empty where it is none.
Figure count_of(const ExecutableStatistic& statistic, const PipelineExecutable& executable) {
    const double number = std::visit([](auto value) { return static_cast<double>(value); }, statistic.value) *
                          unit_of(statistic, executable);
    if (!(number >= 0 && number < 0x1p63)) return std::nullopt;
    return static_cast<uint64_t>(std::ceil(number));
}

ShaderStatistics statistics_of(const PipelineExecutable& executable) {
    ShaderStatistics statistics;
    statistics.subgroup_size = executable.subgroup_size;
    for (const ExecutableStatistic& told : executable.statistics) {
        const auto* known = std::ranges::find_if(
            kDriverNames, [&told](const DriverName& one) { return same_name(one.name, told.name); });
        if (known == std::end(kDriverNames)) continue;
        const Figure count = count_of(told, executable);
        if (!count) continue;
        Figure& figure = statistics.*known->figure;
        figure = figure.value_or(0) + *count;  // vector and scalar registers spill alike
    }
    return statistics;
}

}  // namespace

std::span<const FigureName> figure_names() {
    return kFigureNames;
}

ShaderStatistics shader_statistics(std::span<const PipelineExecutable> executables) {
    ShaderStatistics worst;
    for (const PipelineExecutable& executable : executables) {
        const ShaderStatistics statistics = statistics_of(executable);
        if (statistics.spills.value_or(0) >= worst.spills.value_or(0)) worst = statistics;
    }
    return worst;
}

}  // namespace vkmoe::conformance
