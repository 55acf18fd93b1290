#pragma once

#include "vkmoe/vkmoe.h"

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace vkmoe::cli {

/// What a pager did between two looks at it: counts and times are the difference, shares those of it, and
/// what it has is as it is now.
vkmoe_pager_stats pager_difference(const vkmoe_pager_stats& before, const vkmoe_pager_stats& after);

/// Lines that say what a pager has and did; empty where nothing is paged.
std::string describe_pager(const vkmoe_pager_stats& stats);
/// All figures; null where nothing is paged.
nlohmann::ordered_json pager_json(const vkmoe_pager_stats& stats);

}  // namespace vkmoe::cli
