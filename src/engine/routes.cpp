#include "engine/routes.h"

#include "kernels/kernel_table.h"
#include "model/weights.h"
#include "model/workspace.h"

#include <algorithm>

namespace vkmoe {
namespace {

/// [n_tokens, layers.size(), width] of numbers that lie in device memory as [all layers, max_tokens, width].
template <typename Number>
std::vector<Number> read_layers(const Model& model, const Workspace& workspace, const Allocation& all_layers,
                                const std::vector<uint32_t>& layers, uint32_t width, uint32_t n_tokens) {
    std::vector<Number> all(all_layers.size / sizeof(Number));
    download(model.kernels().device(), all_layers, std::as_writable_bytes(std::span(all)));
    std::vector<Number> rows;
    rows.reserve(uint64_t{n_tokens} * layers.size() * width);
    for (uint32_t token = 0; token < n_tokens; ++token) {
        for (const uint32_t layer : layers) {
            const uint64_t at = (uint64_t{layer} * workspace.max_tokens + token) * width;
            const auto row = std::span(all).subspan(at, width);
            rows.insert(rows.end(), row.begin(), row.end());
        }
    }
    return rows;
}

}  // namespace

Routes read_routes(const Model& model, const Workspace& workspace, uint32_t n_tokens) {
    std::vector<uint32_t> layers = expert_layers(model.weights());
    Routes routes;
    routes.n_tokens = n_tokens;
    if (layers.empty()) return routes;
    routes.n_layers = static_cast<uint32_t>(layers.size());
    routes.n_used = model.hyper().n_experts_used;
    routes.ids =
        read_layers<uint32_t>(model, workspace, workspace.expert_ids, layers, routes.n_used, n_tokens);
    layers.pop_back();  // after which nothing is to be foreseen
    const LookAheadBuffers& look_ahead = workspace.look_ahead;
    routes.n_predicted = look_ahead.n_predicted;
    if (routes.n_predicted == 0 || layers.empty()) return routes;
    routes.predicted =
        read_layers<uint32_t>(model, workspace, look_ahead.ids, layers, routes.n_predicted, n_tokens);
    routes.probabilities =
        read_layers<float>(model, workspace, look_ahead.probabilities, layers, routes.n_predicted, n_tokens);
    return routes;
}

}  // namespace vkmoe
