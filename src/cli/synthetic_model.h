#pragma once

#include "cli/random_weights.h"
#include "formats/gguf_writer.h"
#include "formats/published_shapes.h"

#include <cstdint>
#include <functional>

namespace vkmoe::cli {

// 256 bytes, an end-of-text token, one merge: what a byte-level vocabulary must have. At most: all words of
// up to four letters.
inline constexpr uint32_t kMinVocabulary = 258;
inline constexpr uint32_t kMaxVocabulary = 200000;

struct SyntheticModel {
    const PublishedShape* shape = nullptr;
    TensorType type = TensorType::kQ4_K;  ///< of every matrix but the routers, which are F32 as always
    uint32_t n_layers = 0;
    uint32_t n_vocabulary = 4096;
    uint64_t seed = 0;
};

/// Describes the model as a GGUF file that vkmoe and llama.cpp read. weights must outlive the writer. written
/// is called with the bytes of tensors written so far.
GgufWriter synthesize(const SyntheticModel& model, RandomWeights& weights,
                      std::function<void(uint64_t)> written);

}  // namespace vkmoe::cli
