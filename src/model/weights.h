#pragma once

#include "base/file_reader.h"
#include "experts/host_tier.h"
#include "gpu/arena.h"
#include "kernels/expert_matvec.h"
#include "model/hyper_parameters.h"

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

namespace vkmoe {

/// A matrix in device memory, in its file's type and layout: [n_rows, n_columns].
struct Matrix {
    TensorType type = TensorType::kF32;
    uint64_t address = 0;
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;

    explicit operator bool() const { return address != 0; }
};

/// float32 numbers in device memory, whatever type the file has them in.
struct Vector {
    uint64_t address = 0;
    uint32_t size = 0;

    explicit operator bool() const { return address != 0; }
};

/// The experts of a layer. Each is a record of its gate, up and down matrix, one after the other.
struct Experts {
    uint32_t ordinal = 0;  ///< among the layers with experts
    ExpertTable table;     ///< empty where a pager has them
    TensorType gate_type = TensorType::kF32;
    TensorType up_type = TensorType::kF32;
    TensorType down_type = TensorType::kF32;
    uint64_t gate_offset = 0;  ///< bytes from the record's start
    uint64_t up_offset = 0;
    uint64_t down_offset = 0;
    uint64_t record_bytes = 0;
};

struct LayerWeights {
    Vector attention_norm;
    Matrix q;
    Matrix k;
    Matrix v;
    Matrix attention_output;
    Vector q_norm;  ///< of each head, or of all heads together; absent in many models
    Vector k_norm;
    Vector feed_forward_norm;
    Matrix gate;  ///< of a dense layer
    Matrix up;
    Matrix down;
    Matrix router;  ///< of an expert layer
    Experts experts;
};

struct Weights {
    Matrix embedding;
    Vector output_norm;
    Matrix output;
    Allocation rope_table;
    std::vector<LayerWeights> layers;
    std::unique_ptr<Arena> arena;
};

/// The layers with experts, ascending.
std::vector<uint32_t> expert_layers(const Weights& weights);

/// Puts a file's tensors into device memory. Every function throws Error(kBadFile) naming file and tensor
/// when the tensor is missing or has another shape, and remembers what was used. What cannot be read is
/// Error(kIo) with file, offset and tensor, here or from a later call: reads run ahead until finish(). An
/// arena that only measures has nothing read.
class WeightLoader {
  public:
    WeightLoader(const GgufFile& file, Arena& arena, std::function<bool(float)> progress);
    /// Checks names, types and shapes only: no device, nothing read, all addresses 0.
    explicit WeightLoader(const GgufFile& file) : file_(file) {}

    Matrix matrix(const std::string& name, uint32_t n_rows, uint32_t n_columns);
    Matrix optional_matrix(const std::string& name, uint32_t n_rows, uint32_t n_columns);
    Vector vector(const std::string& name, uint32_t size);
    /// The experts of a layer from its three stacked tensors, `blk.N.ffn_{gate,up,down}_exps.weight`. With
    /// leave_experts() they stay where they are: only what records() tells of them is filled in.
    Experts experts(uint32_t layer, const HyperParameters& hyper);
    /// The rotary embedding's table, with the file's frequency factors where it has them.
    Allocation rope_table(const HyperParameters& hyper);

    void leave_experts() { leaves_experts_ = true; }
    /// Where the records of each layer with experts lie in the file, in order.
    const std::vector<RecordLayer>& records() const { return records_; }

    /// Of the file's bytes.
    float share_done() const;

    /// Waits until all is there. A tensor that nothing used means that the file's model computes something
    /// else than vkmoe would: Error(kUnsupported) names it.
    void finish();

  private:
    Allocation allocate(uint64_t bytes);
    const GgufTensor& use(const std::string& name, std::initializer_list<uint64_t> shape);
    void upload(const Allocation& to, const GgufTensor& tensor, uint64_t offset, uint64_t bytes);
    void copy(const Allocation& to, std::span<const std::byte> bytes);
    void count(uint64_t bytes);
    std::vector<float> numbers(const GgufTensor& tensor);
    RecordPiece piece(const GgufTensor& tensor, uint64_t bytes, uint64_t record_offset) const;

    const GgufFile& file_;
    Arena* arena_ = nullptr;            // null where tensors are only checked
    std::optional<FileReader> reader_;  // none where tensors are only checked or measured
    std::vector<uint32_t> parts_;       // the file's, as the reader knows them
    std::optional<Uploader> uploader_;
    std::function<bool(float)> progress_;
    std::unordered_set<std::string> used_;
    std::vector<RecordLayer> records_;
    bool leaves_experts_ = false;
    uint64_t total_bytes_ = 0;
    uint64_t done_bytes_ = 0;
};

}  // namespace vkmoe
