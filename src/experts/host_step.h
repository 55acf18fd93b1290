#pragma once

#include "kernels/dispatch.h"
#include "sched/recorder.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace vkmoe {

/// What the host has to do in the middle of a batch: learn which experts a layer's tokens chose, and bring
/// their records.
struct HostStep {
    enum class Kind : uint8_t {
        kResolve,  ///< few tokens: records go to slots, where they stay
        kBatch,    ///< many: records go through the ring, wave by wave
    };
    Kind kind = Kind::kResolve;
    uint32_t layer = 0;  ///< among those with experts
    uint32_t n_pairs = 0;
    uint32_t n_predicted = 0;
    // On the host's side, where the part before the step has copied them:
    Allocation ids;            ///< uint32 [n_pairs]
    Allocation predicted;      ///< uint32 [n_predicted], of the next layer
    Allocation probabilities;  ///< float32 [n_predicted]
    // Written by the host, read by the device: uint32 [n_pairs]
    Allocation hit_ids;                     ///< kResolve: ids of experts that are there
    Allocation miss_ids;                    ///< and of those that come
    Allocation miss_arguments;              ///< indirect: of the dispatches over miss_ids
    std::array<uint32_t, 3> miss_groups{};  ///< theirs, where anything is missed
    std::array<Allocation, 2> wave_ids;     ///< kBatch: those of a wave, by the parity of its number
};

/// A step and what the device does in it, as C is told or recorded: gate and up of experts that are there
/// (kResolve), or all that a wave computes, by the parity of its number (kBatch).
template <typename Commands>
struct HostStepWith {
    HostStep step;
    Commands hits;
    std::array<Commands, 2> waves;
};
using RecordedHostStep = HostStepWith<std::unique_ptr<CommandBuffer>>;

/// Dispatches up to a step of the host, or to the batch's end.
struct ProgramPart {
    std::vector<Dispatch> dispatches;
    std::vector<std::pair<Allocation, Allocation>> copies;  ///< from, to: after the dispatches
    std::optional<HostStepWith<std::vector<Dispatch>>> step;
};

}  // namespace vkmoe
