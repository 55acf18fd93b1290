#pragma once

#include <cstdint>
#include <string_view>

namespace vkmoe {

/// What kernels there are. Each has one host file in src/kernels, one shader family and one test of the same
/// stem.
enum class Op : uint8_t {
    kEmbedRows,         ///< rows of an embedding table by token id, as float32
    kRmsNorm,           ///< root-mean-square norm of rows, times a weight
    kQuantizeQ8,        ///< float32 rows to packed int8 with a scale and a sum for every 32
    kPackFloat16,       ///< float32 rows to float16 with a power of two for each
    kMatvec,            ///< weights times a few columns (decode)
    kMatmul,            ///< weights times many columns (prefill)
    kExpertMatvec,      ///< each (token, slot) by its own expert, a few tokens
    kExpertMatvecSum,   ///< the down projection of a few tokens: weighted sum over slots, plus the residual
    kExpertMatmul,      ///< tokens grouped by expert, many tokens
    kRouter,            ///< router logits to top-k experts and their weights
    kRouterStatistics,  ///< router probabilities of each expert added up over tokens
    kGroupRoutes,       ///< (token, slot) pairs counted, scanned and sorted by expert
    kQkNormRope,  ///< per-head norm (where the model has it) and rotary embedding of Q and K, and the write
                  ///< to the KV cache
    kAttention,   ///< grouped-head causal attention over the KV cache
    kAttentionReduce,  ///< the parts of a split context combined
    kSwiglu,           ///< silu(gate) * up
    kWeighRows,        ///< a row for each slot of a token, times its weight: the input of experts
    kCombine,          ///< weighted sum of expert outputs, the shared expert and the residual
    kArgmax,           ///< the index of the largest of a row; the lower one of a tie
    kPageFetch,        ///< records of experts copied into slots, as a list in memory says
    kPageResolve,      ///< which experts of a step are in slots, and which slots the others get
    kPageBatch,        ///< how the experts of a batch come by: from slots, or in waves through a ring
    kPageWave,         ///< the routes of one wave of a batch
};
inline constexpr uint32_t kOpCount = 23;

std::string_view op_name(Op op);

/// Whether it is a product with weights, whose path fixes how activations come (activation_layout).
constexpr bool is_matrix_product(Op op) {
    return op == Op::kMatvec || op == Op::kMatmul || op == Op::kExpertMatvec || op == Op::kExpertMatvecSum ||
           op == Op::kExpertMatmul;
}

/// Whether it is a product with weights for many tokens, which is computed in tiles.
constexpr bool is_tiled_product(Op op) {
    return op == Op::kMatmul || op == Op::kExpertMatmul;
}

}  // namespace vkmoe
