#include "model/reference_model.h"

#include "base/input_file.h"
#include "formats/dequantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace vkmoe {

ReferenceModel::ReferenceModel(const std::string& path)
    : file_(path), architecture_(file_.get<std::string>("general.architecture")) {
    const std::string prefix = architecture_ + ".";
    const auto number = [&](const char* key, uint32_t fallback) {
        return file_.get_or<uint32_t>(prefix + key, fallback);
    };
    n_heads_ = file_.get<uint32_t>(prefix + "attention.head_count");
    n_kv_heads_ = number("attention.head_count_kv", static_cast<uint32_t>(n_heads_));
    const auto width = file_.get<uint32_t>(prefix + "embedding_length");
    head_dim_ = number("attention.key_length", width / static_cast<uint32_t>(n_heads_));
    rope_dims_ = number("rope.dimension_count", static_cast<uint32_t>(head_dim_));
    n_experts_ = number("expert_count", 0);
    n_experts_used_ = number("expert_used_count", 0);
    epsilon_ = file_.get<double>(prefix + "attention.layer_norm_rms_epsilon");
    rope_base_ = file_.get_or<double>(prefix + "rope.freq_base", 10000);
    rope_factor_ = file_.get_or<double>(prefix + "rope.scaling.factor", 1);
    embedding_ = read("token_embd.weight");
    output_norm_ = read("output_norm.weight");
    output_ = read_if_there("output.weight");
    rope_factors_ = read_if_there("rope_freqs.weight");

    for (uint32_t i = 0; i < file_.get<uint32_t>(prefix + "block_count"); ++i) {
        const auto name = [i](const char* part) { return fmt::format("blk.{}.{}.weight", i, part); };
        Layer layer;
        layer.attention_norm = read(name("attn_norm"));
        layer.q = read(name("attn_q"));
        layer.k = read(name("attn_k"));
        layer.v = read(name("attn_v"));
        layer.q_norm = read_if_there(name("attn_q_norm"));
        layer.k_norm = read_if_there(name("attn_k_norm"));
        layer.attention_output = read(name("attn_output"));
        layer.feed_forward_norm = read(name("ffn_norm"));
        if (n_experts_ > 0) layer.router = read(name("ffn_gate_inp"));
        layer.gate = read(name(n_experts_ > 0 ? "ffn_gate_exps" : "ffn_gate"));
        layer.up = read(name(n_experts_ > 0 ? "ffn_up_exps" : "ffn_up"));
        layer.down = read(name(n_experts_ > 0 ? "ffn_down_exps" : "ffn_down"));
        layers_.push_back(std::move(layer));
    }
}

ReferenceModel::Matrix ReferenceModel::read(const std::string& name) const {
    const GgufTensor& tensor = file_.tensor(name);
    Matrix matrix{std::vector<float>(tensor.n_elements()), tensor.ne[1], tensor.ne[0]};
    std::vector<std::byte> bytes(tensor.n_bytes);
    InputFile(file_.part_path(tensor.part)).read(tensor.file_offset, bytes);
    dequantize_row(tensor.type, bytes.data(), matrix.values.data(), matrix.values.size());
    return matrix;
}

ReferenceModel::Matrix ReferenceModel::read_if_there(const std::string& name) const {
    return file_.find_tensor(name) == nullptr ? Matrix{} : read(name);
}

ReferenceModel::Row ReferenceModel::Matrix::times(const Row& x, size_t index) const {
    Row y(n_rows);
    for (size_t i = 0; i < n_rows; ++i) {
        const std::span<const float> weights = row(index * n_rows + i);
        for (size_t j = 0; j < n_columns; ++j) y[i] += static_cast<double>(weights[j]) * x[j];
    }
    return y;
}

ReferenceModel::Row ReferenceModel::norm(const Matrix& weight, std::span<const double> x) const {
    double squares = 0;
    for (const double value : x) squares += value * value;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + epsilon_);
    Row y(x.size());
    for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * static_cast<double>(weight.values[i]);
    return y;
}

/// By the size of the weight: OLMoE norms all heads as one row, Qwen3 each by itself.
void ReferenceModel::norm_heads(const Matrix& weight, Row& heads) const {
    if (weight.values.empty()) return;
    const size_t size = weight.values.size();
    for (size_t begin = 0; begin < heads.size(); begin += size) {
        const Row normed = norm(weight, std::span(heads).subspan(begin, size));
        std::ranges::copy(normed, heads.begin() + static_cast<std::ptrdiff_t>(begin));
    }
}

void ReferenceModel::rotate(Row& heads, size_t position) const {
    // Converters reorder the rows of Llama's Q and K so that dimensions which turn together are neighbours.
    const bool neighbours = architecture_ == "llama";
    const size_t half = rope_dims_ / 2;
    for (size_t head = 0; head < heads.size(); head += head_dim_) {
        for (size_t i = 0; i < half; ++i) {
            double frequency =
                std::pow(rope_base_, -2 * static_cast<double>(i) / static_cast<double>(rope_dims_));
            if (!rope_factors_.values.empty()) frequency /= static_cast<double>(rope_factors_.values[i]);
            const double angle = static_cast<double>(position) / rope_factor_ * frequency;
            double& a = heads[head + (neighbours ? 2 * i : i)];
            double& b = heads[head + (neighbours ? 2 * i + 1 : i + half)];
            const double turned = a * std::cos(angle) - b * std::sin(angle);
            b = a * std::sin(angle) + b * std::cos(angle);
            a = turned;
        }
    }
}

/// Over all keys there are, the newest token's among them: attention is causal because tokens come in order.
ReferenceModel::Row ReferenceModel::attend(const Layer& layer, const Row& q) const {
    Row out(q.size());
    for (size_t head = 0; head < n_heads_; ++head) {
        const size_t from = head * head_dim_;
        const size_t kv_from = head / (n_heads_ / n_kv_heads_) * head_dim_;
        std::vector<double> scores;
        for (const Row& key : layer.keys) {
            double dot = 0;
            for (size_t i = 0; i < head_dim_; ++i) dot += q[from + i] * key[kv_from + i];
            scores.push_back(dot / std::sqrt(static_cast<double>(head_dim_)));
        }
        const double highest = *std::ranges::max_element(scores);
        double sum = 0;
        for (double& score : scores) sum += score = std::exp(score - highest);
        for (size_t position = 0; position < scores.size(); ++position) {
            for (size_t i = 0; i < head_dim_; ++i) {
                out[from + i] += scores[position] / sum * layer.values[position][kv_from + i];
            }
        }
    }
    return out;
}

ReferenceModel::Row ReferenceModel::feed_forward(const Layer& layer, const Row& x, size_t expert) const {
    Row inner = layer.gate.times(x, expert);
    const Row up = layer.up.times(x, expert);
    for (size_t i = 0; i < inner.size(); ++i) inner[i] = inner[i] / (1 + std::exp(-inner[i])) * up[i];
    return layer.down.times(inner, expert);
}

ReferenceModel::Row ReferenceModel::mix_experts(const Layer& layer, const Row& x, Token& token) const {
    const Row logits = layer.router.times(x);
    std::vector<uint32_t> order(n_experts_);
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) { return logits[a] > logits[b]; });
    double all = 0;
    double chosen = 0;
    for (uint32_t rank = 0; rank < n_experts_; ++rank) {
        const double probability = std::exp(logits[order[rank]] - logits[order[0]]);
        all += probability;
        if (rank < n_experts_used_) chosen += probability;
    }
    const double whole = architecture_ == "olmoe" ? all : chosen;
    Row mixed(x.size());
    for (uint32_t rank = 0; rank < n_experts_used_; ++rank) {
        const uint32_t expert = order[rank];
        const double weight = std::exp(logits[expert] - logits[order[0]]) / whole;
        const Row out = feed_forward(layer, x, expert);
        for (size_t i = 0; i < mixed.size(); ++i) mixed[i] += weight * out[i];
        token.experts.push_back(expert);
    }
    if (n_experts_used_ < n_experts_) {
        token.margin =
            std::min(token.margin, logits[order[n_experts_used_ - 1]] - logits[order[n_experts_used_]]);
    }
    return mixed;
}

ReferenceModel::Token ReferenceModel::next(int32_t id) {
    Token token{.logits = {}, .experts = {}, .margin = std::numeric_limits<double>::infinity()};
    const std::span<const float> embedded = embedding_.row(static_cast<size_t>(id));
    Row stream(embedded.begin(), embedded.end());
    const auto add = [&](const Row& row) {
        for (size_t i = 0; i < stream.size(); ++i) stream[i] += row[i];
    };
    for (Layer& layer : layers_) {
        const Row x = norm(layer.attention_norm, stream);
        Row q = layer.q.times(x);
        Row k = layer.k.times(x);
        norm_heads(layer.q_norm, q);
        norm_heads(layer.k_norm, k);
        const size_t position = layer.keys.size();
        rotate(q, position);
        rotate(k, position);
        layer.keys.push_back(std::move(k));
        layer.values.push_back(layer.v.times(x));
        add(layer.attention_output.times(attend(layer, q)));
        const Row y = norm(layer.feed_forward_norm, stream);
        add(n_experts_ > 0 ? mix_experts(layer, y, token) : feed_forward(layer, y, 0));
    }
    const Row last = norm(output_norm_, stream);
    token.logits = (output_.values.empty() ? embedding_ : output_).times(last);
    return token;
}

void ReferenceModel::truncate(size_t n_tokens) {
    for (Layer& layer : layers_) {
        layer.keys.resize(n_tokens);
        layer.values.resize(n_tokens);
    }
}

}  // namespace vkmoe
