#pragma once

#include <cstdint>
#include <string_view>

#include "experts/trace.h"

namespace vkmoe {

enum class CachePolicy {
    kLru,     ///< who was used longest ago leaves
    kLfu,     ///< who was used least often so far leaves
    kBelady,  ///< who is used again last leaves: knows the future, and is the best without fetching ahead
    kOurs,    ///< Residency
};

/// "lru"
std::string_view name_of(CachePolicy policy);

struct SimulationOptions {
    CachePolicy policy = CachePolicy::kOurs;
    uint32_t n_slots = 0;  ///< of one pool for all layers; at least the experts of a token
    /// Only of kOurs: records that the link moves in a layer's time. Misses take theirs first, what is left
    /// fetches ahead; what was fetched ahead in the layer before is there when it is wanted. 0: no
    /// look-ahead.
    uint32_t link_records = 0;
};

struct SimulationResult {
    uint64_t n_hits = 0;
    uint64_t n_misses = 0;
    uint64_t n_evictions = 0;
    uint64_t n_prefetched = 0;
    uint64_t n_prefetched_used = 0;

    SimulationResult& operator+=(const SimulationResult& other);
    /// Of the experts that steps wanted.
    double hit_rate() const;
    /// Of what was fetched ahead; 1 where nothing was.
    double prefetched_used_share() const;
};

/// Replays a trace through slots that are empty at first. Throws kInvalidArgument for fewer slots than a
/// token has experts, and for a link where the trace has no look-ahead.
SimulationResult simulate(const RoutingTrace& trace, const SimulationOptions& options);

}  // namespace vkmoe
