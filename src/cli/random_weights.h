#pragma once

#include "base/thread_pool.h"
#include "formats/gguf_writer.h"
#include "formats/tensor_type.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace vkmoe::cli {

/// Random matrices of any size at the speed of memory. For each (type, row length) a pool of normally
/// distributed chunks of up to 256 numbers is made and quantized; a matrix is a random sequence of chunks of
/// its pool, so that chunks come again but rows do not. Chunks of types that cannot be quantized to are
/// random bits. The standard deviation is 1 / sqrt(row length): outputs are about as large as inputs. The
/// same seed gives the same bytes, however many threads there are.
class RandomWeights {
  public:
    /// Numbers of a chunk of rows of this length: the largest power of two, at most 256, that divides it.
    /// Whole blocks of the type must fit in.
    static uint64_t chunk_length(uint64_t row_length);

    RandomWeights(uint64_t seed, ThreadPool& threads) : seed_(seed), threads_(threads) {}

    /// Hands out the bytes of a matrix of n_rows rows of row_length. Each call gives another matrix.
    void produce(TensorType type, uint64_t row_length, uint64_t n_rows, const GgufWriter::Sink& sink);

  private:
    std::span<const std::byte> pool(TensorType type, uint64_t row_length);

    uint64_t seed_;
    ThreadPool& threads_;
    uint64_t n_matrices_ = 0;
    std::map<std::pair<TensorType, uint64_t>, std::vector<std::byte>> pools_;
};

}  // namespace vkmoe::cli
