#pragma once

#include "formats/gguf.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vkmoe {

/// A second opinion on whole models: Llama, Mixtral, Qwen3-MoE and OLMoE computed in double, one token after
/// the other, on dequantized weights, by plain loops. Written from the definitions of the models (Hugging
/// Face transformers) and of GGUF; shares nothing with src/model and src/kernels.
class ReferenceModel {
  public:
    explicit ReferenceModel(const std::string& path);

    struct Token {
        std::vector<double> logits;     ///< [n_vocabulary]
        std::vector<uint32_t> experts;  ///< [n_layers, n_experts_used], likeliest first
        /// Least distance of router logits, over all layers, between the last expert chosen and the first
        /// that was not: how near another route was. Infinite where there are no routes.
        double margin = 0;
    };

    /// Computes one more token of the sequence.
    Token next(int32_t token);
    /// Forgets all tokens from n_tokens on.
    void truncate(size_t n_tokens);

    uint32_t n_vocabulary() const { return static_cast<uint32_t>(embedding_.n_rows); }
    uint32_t n_layers() const { return static_cast<uint32_t>(layers_.size()); }
    uint32_t n_experts() const { return n_experts_; }

  private:
    using Row = std::vector<double>;

    struct Matrix {
        std::vector<float> values;  ///< [n_rows, n_columns]; of a stack: [n_matrices * n_rows, n_columns]
        size_t n_rows = 0;          ///< of one matrix
        size_t n_columns = 0;

        std::span<const float> row(size_t i) const {
            return std::span(values).subspan(i * n_columns, n_columns);
        }
        Row times(const Row& x, size_t index = 0) const;
    };

    struct Layer {
        Matrix attention_norm, q, k, v, q_norm, k_norm, attention_output;
        Matrix feed_forward_norm, router, gate, up, down;
        std::vector<Row> keys;    ///< by position: [n_kv_heads * head_dim]
        std::vector<Row> values;  ///< likewise
    };

    Matrix read(const std::string& name) const;
    Matrix read_if_there(const std::string& name) const;
    Row norm(const Matrix& weight, std::span<const double> x) const;
    void norm_heads(const Matrix& weight, Row& heads) const;
    void rotate(Row& heads, size_t position) const;
    Row attend(const Layer& layer, const Row& q) const;
    Row feed_forward(const Layer& layer, const Row& x, size_t expert) const;
    Row mix_experts(const Layer& layer, const Row& x, Token& token) const;

    GgufFile file_;
    std::string architecture_;
    size_t n_heads_, n_kv_heads_, head_dim_, rope_dims_;
    uint32_t n_experts_, n_experts_used_;
    double epsilon_, rope_base_, rope_factor_;
    Matrix embedding_, output_norm_, output_, rope_factors_;
    std::vector<Layer> layers_;
};

}  // namespace vkmoe
