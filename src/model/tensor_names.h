#pragma once

#include <string_view>

namespace vkmoe {

/// Whether a tensor holds the weights of one expert, "blk.0.ffn_up.3.weight": the layout of Mixtral files
/// before April 2024.
bool is_single_expert(std::string_view name);

/// Whether a tensor holds weights of routed experts, of one or of all of a layer.
bool is_of_experts(std::string_view name);

}  // namespace vkmoe
