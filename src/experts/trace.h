#pragma once

#include "base/output_file.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vkmoe {

/// What a routing trace is of. Layers are those with experts.
struct TraceShape {
    uint32_t n_layers = 0;
    uint32_t n_experts = 0;    ///< of a layer, at most 65,536
    uint32_t n_used = 0;       ///< experts a token, at most n_experts
    uint32_t n_predicted = 0;  ///< of the next layer, at most n_experts; 0: the trace has no look-ahead
    std::string model;         ///< its name, at most 1,024 bytes

    bool operator==(const TraceShape&) const = default;
};

/// A routing trace in memory: which experts each token used in each layer, and which of the next layer a
/// look-ahead named meanwhile.
struct RoutingTrace {
    TraceShape shape;
    size_t n_tokens = 0;
    std::vector<uint16_t> ids;        ///< [n_tokens, n_layers, n_used]
    std::vector<uint16_t> predicted;  ///< [n_tokens, n_layers - 1, n_predicted]: in layer l of layer l + 1
    std::vector<uint16_t> probabilities;  ///< likewise, of 65,536
    std::vector<size_t> sequences;        ///< the first token of each, ascending; the first is 0

    std::span<const uint16_t> used(size_t token, uint32_t layer) const;
    /// Empty in the last layer.
    std::span<const uint16_t> predicted_next(size_t token, uint32_t layer) const;
    std::span<const uint16_t> predicted_probabilities(size_t token, uint32_t layer) const;
};

/// Writes a routing trace token by token (TRACE.md has the format). The file appears when finish() is called.
class TraceWriter {
  public:
    /// Throws kInvalidArgument for a shape that a trace cannot have, kIo where the file cannot be written.
    TraceWriter(std::string path, TraceShape shape);

    /// The next token is the first of another sequence; so is the trace's first anyway.
    void begin_sequence() { sequence_begins_ = true; }

    /// ids: [n_layers, n_used]. predicted and probabilities: [n_layers - 1, n_predicted], row l what the
    /// look-ahead said in layer l of layer l + 1, the likeliest first; probabilities from 0 to 1. Throws
    /// kInvalidArgument for lengths that do not fit the shape and for ids that the layer does not have.
    void add_token(std::span<const uint32_t> ids, std::span<const uint32_t> predicted = {},
                   std::span<const float> probabilities = {});

    uint64_t n_tokens() const { return n_tokens_; }
    const TraceShape& shape() const { return shape_; }

    /// Nothing may be added afterwards. Throws kInvalidArgument where no token was added.
    void finish();

  private:
    void put(uint64_t value, size_t n_bytes);
    void put_ids(std::span<const uint32_t> ids);

    OutputFile file_;
    TraceShape shape_;
    bool sequence_begins_ = true;
    uint64_t n_tokens_ = 0;
    std::vector<std::byte> record_;  // of one token
};

/// Throws kIo where the file cannot be read, kBadFile where it is no trace, is cut short or holds an expert
/// that its layers do not have.
RoutingTrace read_trace(const std::string& path);
/// The same of bytes; `path` stands in messages.
RoutingTrace parse_trace(std::span<const std::byte> bytes, const std::string& path);

/// probability, of 65,536, as traces store it: 0 for NaN, at most 65,535.
uint16_t stored_probability(float probability);

}  // namespace vkmoe
