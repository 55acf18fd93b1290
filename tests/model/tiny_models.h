#pragma once

#include "formats/gguf_writer.h"
#include "formats/tensor_type.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace vkmoe {

/// What a small random model is like. The same numbers give the same file on every machine.
struct TinyModel {
    std::string architecture = "qwen3moe";  ///< or "llama", "olmoe"
    uint32_t seed = 1;
    uint32_t n_layers = 2;
    uint32_t n_vocabulary = 300;  ///< at least 257: bytes and an end of text
    uint32_t n_context = 128;
    uint32_t n_embedding = 128;
    uint32_t n_heads = 4;
    uint32_t n_kv_heads = 2;
    uint32_t head_dim = 32;
    uint32_t n_experts = 8;  ///< 0: dense layers
    uint32_t n_experts_used = 2;
    uint32_t n_feed_forward = 96;  ///< of a dense layer or of one expert
    TensorType embedding_type = TensorType::kF32;
    TensorType attention_type = TensorType::kF32;
    TensorType gate_type = TensorType::kF32;
    TensorType up_type = TensorType::kF32;
    TensorType down_type = TensorType::kF32;
    bool tied_output = false;
    uint32_t rope_dims = 0;           ///< 0: all of a head's
    float rope_scaling = 1;           ///< factor of linear scaling; 1: no such keys
    std::vector<float> rope_factors;  ///< rope_freqs.weight; empty: no such tensor

    /// The same model with all matrices but the router of one type, and sizes that its blocks fit in.
    TinyModel with_type(TensorType type) const;
};

using TinyValue = std::variant<uint32_t, int32_t, float, bool, std::string, std::vector<std::string>,
                               std::vector<int32_t>, std::vector<uint32_t>, std::vector<float>>;

struct TinyTensor {
    TensorType type = TensorType::kF32;
    std::vector<uint64_t> shape;  ///< fastest dimension first
    std::vector<std::byte> bytes;
};

/// A GGUF file before it is written, so that tests may spoil it.
struct TinyFile {
    std::map<std::string, TinyValue> metadata;
    std::map<std::string, TinyTensor> tensors;

    GgufWriter writer() const;  ///< views this
    void write(const std::string& path) const;
};

TinyFile make_tiny_file(const TinyModel& model);

/// A tensor of these numbers in row-major order, rows of shape[0].
TinyTensor make_tensor(TensorType type, std::vector<uint64_t> shape, std::span<const float> values);

}  // namespace vkmoe
