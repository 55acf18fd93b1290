#pragma once

#include "experts/link_probe.h"
#include "experts/locality.h"
#include "experts/slot_plan.h"
#include "model/model.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace vkmoe::cli {

/// Where the experts are that device memory does not hold.
struct HostPlan {
    uint64_t budget = 0;     ///< bytes
    uint64_t least = 0;      ///< the least budget that works
    uint64_t taken = 0;      ///< bytes: all experts, else the whole budget
    bool holds_all = false;  ///< else the others are read from the file when they are wanted
    bool pinned = true;      ///< else in pageable memory, which the device cannot read by itself
};

/// What decoding comes to, by the bound that it cannot beat: the longer of the time in which the device reads
/// what a token needs of its memory, and that in which the link brings the experts that are missing.
struct SpeedPlan {
    LinkSpeed measured;
    PagerMode mode = PagerMode::kAuto;  ///< who would page; kAuto: nobody
    double hit_rate = 1;                ///< expected
    double device_seconds = 0;          ///< a token: dense weights, its experts and half of the KV cache
    double link_seconds = 0;            ///< a token
    double tokens_per_second() const;
};

/// What goes where. Sizes in bytes.
struct MemoryPlan {
    std::string device;
    bool unified_memory = false;
    uint64_t available = 0;  ///< of device memory, within the budget
    uint64_t budget = 0;     ///< of device memory; 0: none is set
    SessionShape session_shape;
    SessionMemory session;
    uint64_t dense = 0;
    uint64_t experts = 0;    ///< of all, as they lie in memory
    uint32_t n_records = 0;  ///< experts of all layers
    bool is_paged = false;
    uint64_t least = 0;              ///< the least budget of device memory that works
    SlotPlan slots;                  ///< of a paged model that fits
    HostPlan host;                   ///< of a paged model
    std::optional<SpeedPlan> speed;  ///< where the plan fits and leaves memory to measure with
    std::string why_no_speed;        ///< where it fits and does not

    bool pins_or_need_not = true;  ///< false: experts must be pinned, and there is no room for that

    bool fits() const {
        if (is_paged) return available >= least && host.budget >= host.least && pins_or_need_not;
        return available >= dense + experts + session.bytes();
    }
};

/// Plans for a model loaded with params.measure_only; measures memory and link where it fits. locality: how
/// often experts that are wanted are there.
MemoryPlan make_memory_plan(const Model& model, const ModelParams& params, const LocalityCurve& locality);

}  // namespace vkmoe::cli
