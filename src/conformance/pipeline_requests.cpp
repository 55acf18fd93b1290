#include "conformance/pipeline_requests.h"

#include "conformance/published_routers.h"
#include "kernels/argmax.h"
#include "kernels/attention.h"
#include "kernels/combine.h"
#include "kernels/embed_rows.h"
#include "kernels/expert_matmul.h"
#include "kernels/expert_matvec.h"
#include "kernels/expert_matvec_sum.h"
#include "kernels/group_routes.h"
#include "kernels/matmul.h"
#include "kernels/pack_float16.h"
#include "kernels/page_batch.h"
#include "kernels/page_fetch.h"
#include "kernels/page_resolve.h"
#include "kernels/page_wave.h"
#include "kernels/product_choice.h"
#include "kernels/qk_norm_rope.h"
#include "kernels/quantize_q8.h"
#include "kernels/rms_norm.h"
#include "kernels/router.h"
#include "kernels/router_statistics.h"
#include "kernels/swiglu.h"
#include "kernels/weigh_rows.h"

#include <algorithm>
#include <utility>

namespace vkmoe::conformance {
namespace {

/// Stands for all memory: dispatches that are only made for their pipelines are never run. Aligned to
/// whatever a kernel may ask.
constexpr uint64_t kSomewhere = 1ull << 32;
const Allocation kSomeMemory{.address = kSomewhere, .size = 1ull << 31};

struct Matrix {
    uint32_t n_rows;
    uint32_t n_columns;
};

/// Makes the dispatches of one cell for one step and collects their pipelines.
class Requests {
  public:
    Requests(KernelContext& kernels, const KernelKey& cell, const Step& step)
        : kernels_(kernels), cell_(cell), shape_(*step.shape), n_(step.n_tokens) {}

    std::vector<const Pipeline*> make() {
        ask();
        return std::move(pipelines_);
    }

  private:
    void add(const Dispatch& dispatch) { pipelines_.push_back(dispatch.pipeline); }

    void ask() {
        switch (cell_.op) {
            case Op::kEmbedRows:
                return embed();
            case Op::kRmsNorm:
                return norm();
            case Op::kQuantizeQ8:
                return quantize();
            case Op::kPackFloat16:
                return pack();
            case Op::kMatvec:
            case Op::kMatmul:
                return dense();
            case Op::kExpertMatvec:
                return few_pairs();
            case Op::kExpertMatvecSum:
                return few_sums();
            case Op::kExpertMatmul:
                return many_pairs();
            case Op::kRouter:
                return route();
            case Op::kRouterStatistics:
                return route_statistics();
            case Op::kGroupRoutes:
                return group();
            case Op::kQkNormRope:
                return rope();
            case Op::kAttention:
                return attend();
            case Op::kAttentionReduce:
                return reduce();
            case Op::kSwiglu:
                return activate();
            case Op::kWeighRows:
                return weigh();
            case Op::kCombine:
                return add(combine(kernels_, {.expert_output = kSomewhere,
                                              .weights = kSomewhere,
                                              .residual = kSomewhere,
                                              .output = kSomewhere,
                                              .n_tokens = n_,
                                              .n_slots = shape_.n_experts_used,
                                              .n_columns = shape_.n_embedding,
                                              .path = cell_.path}));
            case Op::kArgmax:
                return add(argmax(kernels_, {.input = kSomewhere,
                                             .output = kSomewhere,
                                             .n_rows = 1,
                                             .n_columns = shape_.n_vocabulary,
                                             .path = cell_.path}));
            case Op::kPageFetch:
                return add(page_fetch(kernels_, {.copies = kSomewhere,
                                                 .max_copies = shape_.n_experts,
                                                 .groups = 1,
                                                 .path = cell_.path,
                                                 .tuning = {}}));
            case Op::kPageResolve:
                return resolve();
            case Op::kPageBatch:
                return add(page_batch(kernels_, {.tables = page_tables(),
                                                 .ids = kSomewhere,
                                                 .waves = kSomewhere,
                                                 .copies = kSomewhere,
                                                 .arguments = kSomewhere,
                                                 .n_pairs = n_pairs(),
                                                 .copy_groups = 1,
                                                 .ring_first = n_slots(),
                                                 .ring_slots = shape_.n_experts_used,
                                                 .wave_slots = shape_.n_experts_used,
                                                 .path = cell_.path}));
            case Op::kPageWave:
                return add(page_wave(kernels_, {.ids = kSomewhere,
                                                .waves = kSomewhere,
                                                .wave_ids = kSomewhere,
                                                .n_pairs = n_pairs(),
                                                .n_experts = shape_.n_experts,
                                                .groups = {},
                                                .path = cell_.path}));
        }
    }

    uint32_t n_pairs() const { return n_ * shape_.n_experts_used; }
    uint32_t q_width() const { return shape_.n_heads * shape_.head_dim; }
    uint32_t kv_width() const { return shape_.n_kv_heads * shape_.head_dim; }
    bool is_few() const { return n_ <= kernels_.plan().registers.few_tokens; }
    bool fits(uint32_t n_columns) const {
        return n_columns % tensor_type_info(cell_.type).block_elements == 0;
    }

    // Rows of activations

    /// As a rule they are written as float32 or as packed int8, by what the next matrix reads; both together
    /// are a rarer form of the same pipelines.
    template <typename Args>
    void add_rows(Dispatch (*kernel)(KernelContext&, const Args&), Args args) {
        args.output = kSomewhere;
        add(kernel(kernels_, args));
        std::swap(args.output, args.output_q8);
        add(kernel(kernels_, args));
    }

    void embed() {
        if (!fits(shape_.n_embedding)) return;
        add(embed_rows(kernels_, {.type = cell_.type,
                                  .table = kSomewhere,
                                  .tokens = kSomewhere,
                                  .output = kSomewhere,
                                  .n_tokens = n_,
                                  .n_columns = shape_.n_embedding,
                                  .n_vocabulary = shape_.n_vocabulary,
                                  .path = cell_.path}));
    }

    void norm() {
        add_rows(rms_norm, RmsNormArgs{.input = kSomewhere,
                                       .n_rows = n_,
                                       .n_columns = shape_.n_embedding,
                                       .path = cell_.path,
                                       .tuning = {}});
        if (shape_.qk_norm != PublishedShape::QkNorm::kWholeVector) return;
        for (const uint32_t width : {q_width(), kv_width()})
            add(rms_norm(kernels_, {.input = kSomewhere,
                                    .output = kSomewhere,
                                    .n_rows = n_,
                                    .n_columns = width,
                                    .path = cell_.path,
                                    .tuning = {}}));
    }

    /// What is packed by a dispatch of its own: inputs of matrices, and of the experts' second ones.
    std::vector<Matrix> packed_rows() const {
        return {{n_, shape_.n_embedding}, {n_, q_width()}, {n_pairs(), shape_.n_expert_feed_forward}};
    }

    void quantize() {
        for (const Matrix& rows : packed_rows())
            add(quantize_q8(kernels_, {.input = kSomewhere,
                                       .output = kSomewhere,
                                       .n_rows = rows.n_rows,
                                       .n_columns = rows.n_columns,
                                       .path = cell_.path,
                                       .tuning = {}}));
    }

    void pack() {
        for (const Matrix& rows : packed_rows())
            add(pack_float16(kernels_, {.input = kSomewhere,
                                        .output = kSomewhere,
                                        .n_rows = rows.n_rows,
                                        .n_columns = rows.n_columns,
                                        .rows = {},
                                        .path = cell_.path}));
    }

    void activate() {
        add_rows(swiglu, SwigluArgs{.gate = kSomewhere,
                                    .up = kSomewhere,
                                    .n_rows = n_pairs(),
                                    .n_columns = shape_.n_expert_feed_forward,
                                    .rows = {},
                                    .path = cell_.path,
                                    .tuning = {}});
    }

    void weigh() {
        add_rows(weigh_rows, WeighRowsArgs{.input = kSomewhere,
                                           .weights = kSomewhere,
                                           .n_tokens = n_,
                                           .n_slots = shape_.n_experts_used,
                                           .n_columns = shape_.n_embedding,
                                           .path = cell_.path,
                                           .tuning = {}});
    }

    // Matrices

    /// All of a model that every token passes.
    std::vector<Matrix> dense_matrices() const {
        return {{q_width(), shape_.n_embedding},
                {kv_width(), shape_.n_embedding},
                {shape_.n_embedding, q_width()},
                {shape_.n_feed_forward, shape_.n_embedding},
                {shape_.n_embedding, shape_.n_feed_forward},
                {shape_.n_experts, shape_.n_embedding},
                {shape_.n_vocabulary, shape_.n_embedding}};
    }

    void dense() {
        if (dense_op(kernels_.plan(), cell_.type, n_, cell_.path) != cell_.op) return;
        for (const Matrix& matrix : dense_matrices()) {
            if (!fits(matrix.n_columns)) continue;
            add(linear(kernels_, {.type = cell_.type,
                                  .weights = kSomewhere,
                                  .x = kSomewhere,
                                  .y = kSomewhere,
                                  .n_rows = matrix.n_rows,
                                  .n_columns = matrix.n_columns,
                                  .n_tokens = n_,
                                  .split_sums = kSomeMemory,
                                  .path = cell_.path})
                    .product);
        }
    }

    ExpertTable experts() const {
        return {.records = kSomewhere, .n_experts = shape_.n_experts, .memory = {}};
    }

    /// Of a layer whose matrices are all of the cell's type.
    ExpertChoice choice(std::optional<Path> path) const {
        return choose_experts(kernels_.plan(),
                              {.gate_type = cell_.type,
                               .up_type = cell_.type,
                               .down_type = cell_.type,
                               .n_embedding = shape_.n_embedding,
                               .n_feed_forward = shape_.n_expert_feed_forward,
                               .n_experts = shape_.n_experts,
                               .n_used = shape_.n_experts_used},
                              n_, path);
    }

    /// Gate and up together, and where they have different types each by itself. Of a few tokens not only as
    /// chosen: a pager's experts come pair by pair.
    void few_pairs() {
        if (fits(shape_.n_embedding) && choice(cell_.path).gate_up == ExpertForm::kRegisters)
            sorted_pairs(true);
        if (!is_few() || !fits(shape_.n_embedding)) return;
        for (const bool gated : {true, false})
            add(expert_matvec(kernels_, {.type = cell_.type,
                                         .experts = experts(),
                                         .ids = kSomewhere,
                                         .x = kSomewhere,
                                         .y = kSomewhere,
                                         .gated = gated,
                                         .n_rows = shape_.n_expert_feed_forward,
                                         .n_columns = shape_.n_embedding,
                                         .n_pairs = n_pairs(),
                                         .x_divisor = shape_.n_experts_used,
                                         .path = cell_.path}));
    }

    void few_sums() {
        if (!is_few() || !fits(shape_.n_expert_feed_forward)) return;
        add(expert_matvec_sum(kernels_, {.type = cell_.type,
                                         .experts = experts(),
                                         .ids = kSomewhere,
                                         .weights = kSomewhere,
                                         .x = kSomewhere,
                                         .y = kSomewhere,
                                         .residual = kSomewhere,
                                         .n_rows = shape_.n_embedding,
                                         .n_columns = shape_.n_expert_feed_forward,
                                         .n_tokens = n_,
                                         .n_slots = shape_.n_experts_used,
                                         .path = cell_.path}));
    }

    void many_pairs() {
        if (fits(shape_.n_embedding) && choice(cell_.path).gate_up == ExpertForm::kTiles) sorted_pairs(false);
    }

    void sorted_pairs(bool in_registers) {
        ExpertMatmulArgs gate_up{.type = cell_.type,
                                 .experts = experts(),
                                 .grouped = {kSomeMemory, kSomeMemory, kSomeMemory},
                                 .tile_tokens = choice(cell_.path).tile_tokens,
                                 .in_registers = in_registers,
                                 .x = kSomewhere,
                                 .first_y = kSomewhere,
                                 .n_rows = shape_.n_expert_feed_forward,
                                 .n_columns = shape_.n_embedding,
                                 .n_pairs = n_pairs(),
                                 .x_divisor = shape_.n_experts_used,
                                 .path = cell_.path};
        ExpertMatmulArgs down = gate_up;
        down.n_rows = shape_.n_embedding;
        down.n_columns = shape_.n_expert_feed_forward;
        down.x_divisor = 1;
        const bool is_gated = in_registers || expert_matmul_gates(kernels_.plan(), cell_.path);
        if (is_gated) {
            gate_up.gated = true;
            add(expert_matmul(kernels_, gate_up));
        }
        if (!is_gated || in_registers) {  // gate and up of a few tokens have different types now and then
            gate_up.gated = false;
            gate_up.second_y = kSomewhere;
            add(expert_matmul(kernels_, gate_up));
        }
        if (choice(cell_.path).down != ExpertForm::kPairs && fits(down.n_columns))
            add(expert_matmul(kernels_, down));
    }

    // Routing

    void route() {
        RouterArgs own{.n_experts = shape_.n_experts, .n_slots = shape_.n_experts_used};
        route_by(own);
        // As the look-ahead of the pager names experts of the next layer: more than a token uses.
        own.n_slots = std::min({2 * own.n_slots, own.n_experts, kMaxRouterSlots});
        route_by(own);
        for (const PublishedRouter& other : published_routers()) {
            RouterArgs args = other.gating.args;
            if (other.gating.biased) args.selection_bias = kSomewhere;
            if (other.gating.scaled_by_expert) args.expert_scales = kSomewhere;
            if (other.gating.by_table) {
                args.table = args.tokens = kSomewhere;
                args.n_table_rows = shape_.n_vocabulary;
            }
            route_by(args);
        }
    }

    void route_by(RouterArgs args) {
        args.logits = args.ids = args.weights = args.counts = kSomewhere;
        args.n_tokens = n_;
        args.path = cell_.path;
        add(router(kernels_, args));
    }

    void route_statistics() {
        for (const RouterScore score : {RouterScore::kSoftmax, RouterScore::kSigmoid})
            add(router_statistics(kernels_, {.logits = kSomewhere,
                                             .sums = kSomewhere,
                                             .n_tokens = n_,
                                             .n_experts = shape_.n_experts,
                                             .score = score,
                                             .path = cell_.path}));
    }

    void group() {
        const uint32_t tile_tokens = choice({}).tile_tokens;
        if (tile_tokens == 0) return;
        add(group_routes(kernels_, {.ids = kSomewhere,
                                    .grouped = {kSomeMemory, kSomeMemory, kSomeMemory},
                                    .n_pairs = n_pairs(),
                                    .n_experts = shape_.n_experts,
                                    .tile_tokens = tile_tokens,
                                    .grids = {}}));
    }

    // Attention

    void rope() {
        for (const RopeStyle style : {RopeStyle::kHalfSplit, RopeStyle::kInterleaved})
            add(qk_norm_rope(kernels_, {.q = kSomewhere,
                                        .k = kSomewhere,
                                        .v = kSomewhere,
                                        .q_out = kSomewhere,
                                        .positions = kSomewhere,
                                        .rope_table = kSomewhere,
                                        .rope_dims = shape_.head_dim,
                                        .rope_style = style,
                                        .k_cache = kSomewhere,
                                        .v_cache = kSomewhere,
                                        .kv_type = cell_.type,
                                        .n_tokens = n_,
                                        .n_heads = shape_.n_heads,
                                        .n_kv_heads = shape_.n_kv_heads,
                                        .head_dim = shape_.head_dim,
                                        .n_context = shape_.n_context,
                                        .path = cell_.path}));
    }

    AttentionArgs attention_args() const {
        return {.q = kSomewhere,
                .k_cache = kSomewhere,
                .v_cache = kSomewhere,
                .positions = kSomewhere,
                .out = kSomewhere,
                .scratch = kSomewhere,
                .kv_type = cell_.type,
                .n_tokens = n_,
                .n_heads = shape_.n_heads,
                .n_kv_heads = shape_.n_kv_heads,
                .head_dim = shape_.head_dim,
                .n_context = shape_.n_context,
                .n_splits = attention_splits(kernels_.plan(), n_, shape_.n_heads, shape_.n_kv_heads,
                                             shape_.n_context),
                .path = cell_.path,
                .tuning = {}};
    }

    void attend() {
        AttentionArgs args = attention_args();
        args.n_splits = 1;  // several take the same pipeline, and that of attention_reduce
        for (const Dispatch& dispatch : attention(kernels_, args)) add(dispatch);
    }

    void reduce() { add(attention_reduce(kernels_, attention_args())); }

    // The pager, with a quarter of the experts in slots

    uint32_t n_slots() const { return std::max(shape_.n_layers * shape_.n_experts / 4, n_pairs()); }

    PageTablesOnDevice page_tables() const {
        return {.tables = kSomewhere,
                .header = kSomewhere,
                .layers = kSomewhere,
                .slots = kSomewhere,
                .experts = kSomewhere,
                .slot_records = kSomewhere,
                .host_records = kSomewhere,
                .records = kSomewhere,
                .n_layers = shape_.n_layers,
                .n_experts = shape_.n_experts,
                .n_slots = n_slots(),
                .n_places = n_slots() + shape_.n_experts_used};
    }

    void resolve() {
        if (!is_few() || n_pairs() > kMaxResolvedPairs) return;
        add(page_resolve(kernels_, {.tables = page_tables(),
                                    .ids = kSomewhere,
                                    .hit_ids = kSomewhere,
                                    .miss_ids = kSomewhere,
                                    .copies = kSomewhere,
                                    .arguments = kSomewhere,
                                    .n_pairs = n_pairs(),
                                    .copy_groups = 1,
                                    .path = cell_.path}));
    }

    KernelContext& kernels_;
    const KernelKey& cell_;
    const PublishedShape& shape_;
    uint32_t n_;
    std::vector<const Pipeline*> pipelines_;
};

}  // namespace

std::vector<const Pipeline*> request_pipelines(KernelContext& kernels, const KernelKey& cell,
                                               const Step& step) {
    return Requests(kernels, cell, step).make();
}

std::vector<Step> steps_of(const PublishedShape& shape) {
    std::vector<Step> steps;
    constexpr uint32_t kMostFew = 16;
    for (uint32_t n_tokens = 1; n_tokens <= kMostFew; ++n_tokens) steps.push_back({&shape, n_tokens});
    for (const uint32_t n_tokens : {64u, 512u}) steps.push_back({&shape, n_tokens});
    return steps;
}

}  // namespace vkmoe::conformance
