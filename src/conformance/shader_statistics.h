#pragma once

#include "gpu/pipeline_executables.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace vkmoe::conformance {

/// Figures of a pipeline's machine code that several drivers tell, each in words of its own. Empty: not told.
struct ShaderStatistics {
    using Figure = std::optional<uint64_t>;

    uint32_t subgroup_size = 0;  ///< of the executable; 0: not told
    Figure registers;            ///< of a lane, 32 bits each (Intel: of a thread, live at once)
    Figure scalar_registers;     ///< of a subgroup
    Figure spills;               ///< registers or stores that went to memory, as the driver counts them
    Figure fills;                ///< loads of them
    Figure scratch_bytes;        ///< of an invocation, or of a subgroup: private memory, spills and arrays
    Figure shared_bytes;         ///< of a workgroup
    Figure subgroups;            ///< in flight at once, on the unit that the driver means (SIMD, SM, core)
    Figure code_bytes;
    Figure instructions;
    Figure loops;

    /// Whether registers go to memory. Drivers that count no spills are judged by their private memory.
    bool spilling() const { return spills.value_or(scratch_bytes.value_or(0)) != 0; }
};

/// One of the figures by the name that reports give it.
struct FigureName {
    std::string_view name;
    ShaderStatistics::Figure ShaderStatistics::*figure;
};
std::span<const FigureName> figure_names();

/// Of the executable that spills most; of the last where several do alike: drivers list wider ones later.
ShaderStatistics shader_statistics(std::span<const PipelineExecutable> executables);

}  // namespace vkmoe::conformance
