#pragma once

#include "model/model.h"

#include <cstdint>
#include <vector>

namespace vkmoe {

struct Workspace;

/// Which experts the routers chose for the tokens of a batch, and which the look-ahead named. Layers are
/// those with experts, in the model's order.
struct Routes {
    uint32_t n_tokens = 0;
    uint32_t n_layers = 0;
    uint32_t n_used = 0;
    uint32_t n_predicted = 0;          ///< 0: the session has no look-ahead
    std::vector<uint32_t> ids;         ///< [n_tokens, n_layers, n_used], the likeliest first
    std::vector<uint32_t> predicted;   ///< [n_tokens, n_layers - 1, n_predicted]: in layer l of layer l + 1
    std::vector<float> probabilities;  ///< likewise: the router's of all experts, from 0 to 1
};

/// Reads back the routes of the batch that a workspace computed last, of n_tokens tokens.
Routes read_routes(const Model& model, const Workspace& workspace, uint32_t n_tokens);

}  // namespace vkmoe
