#pragma once

#include "model/batch_builder.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// How many experts of the next layer a look-ahead names for each token: twice those used, at least 4.
uint32_t look_ahead_width(const HyperParameters& hyper);

/// The layer whose experts come next after this layer's; none after the last.
std::optional<uint32_t> next_expert_layer(const Model& model, uint32_t layer);

/// The type of the matrix by which add_look_ahead reads its rows.
TensorType look_ahead_reader(const BatchBuilder& batch, uint32_t layer);

/// Names, in this layer, the experts that each token will probably use in the next layer with experts, by its
/// router. x: the normed input of this layer's experts, for look_ahead_reader() too. Writes the layer's part
/// of workspace.look_ahead; does nothing where that is empty and after the last layer with experts.
void add_look_ahead(BatchBuilder& batch, uint32_t layer, const Rows& x);

}  // namespace vkmoe
