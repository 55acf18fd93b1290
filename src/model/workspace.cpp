#include "model/workspace.h"

#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/expert_matmul.h"
#include "kernels/linear_shape.h"
#include "model/look_ahead.h"
#include "model/model.h"

#include <algorithm>
#include <array>

namespace vkmoe {

namespace {

/// No tile of any kernel is narrower; the room for tile tables is reckoned by it.
constexpr uint32_t kLeastTileTokens = 2;
static_assert(RegisterPlan{}.tile_tokens >= kLeastTileTokens);

uint64_t floats(uint64_t rows, uint64_t columns) {
    return rows * columns * sizeof(float);
}

struct RowShape {
    uint64_t n_rows = 0;
    uint64_t n_columns = 0;
};

}  // namespace

Workspace::Workspace(const Model& model, const SessionShape& shape, ArenaMode mode)
    : max_tokens(shape.micro_batch), max_logit_rows(shape.logit_rows) {
    const std::shared_ptr<Device>& device = model.kernels().shared_device();
    const auto make_arenas = [&](ArenaMode arena_mode) {
        device_arena = std::make_unique<Arena>(device, MemoryKind::kDevice, "activations", arena_mode);
        upload_arena = std::make_unique<Arena>(device, MemoryKind::kUpload, "batch input", arena_mode);
        readback_arena = std::make_unique<Arena>(device, MemoryKind::kReadback, "batch output", arena_mode);
    };
    make_arenas(ArenaMode::kMeasure);
    lay_out(model, shape);
    if (mode == ArenaMode::kMeasure) return;
    const std::array layouts{device_arena->layout(), upload_arena->layout(), readback_arena->layout()};
    make_arenas(ArenaMode::kTake);
    device_arena->expect(layouts[0]);
    upload_arena->expect(layouts[1]);
    readback_arena->expect(layouts[2]);
    lay_out(model, shape);
}

void Workspace::lay_out_route_totals(const HyperParameters& hyper, bool with_sums) {
    const uint64_t n_experts = uint64_t{hyper.n_layers} * hyper.n_experts;
    const uint64_t counts_bytes = n_experts * sizeof(uint32_t);
    const uint64_t sums_bytes = with_sums ? floats(n_experts, 2) : 0;
    const std::vector<std::byte> zeros(counts_bytes + sums_bytes);
    Uploader uploader(device_arena->shared_device());
    for (Allocation* totals : {&route_totals, &kept_route_totals}) {
        *totals = device_arena->allocate(zeros.size());
        uploader.copy(*totals, zeros);
    }
    uploader.flush();
    expert_counts = route_totals.slice(0, counts_bytes);
    router_sums = route_totals.slice(counts_bytes, sums_bytes);
}

void Workspace::lay_out(const Model& model, const SessionShape& shape) {
    const HyperParameters& hyper = model.hyper();
    const std::shared_ptr<Device>& device = model.kernels().shared_device();
    Arena& arena = *device_arena;
    const std::vector<Path>& paths = device->plan().path_order;
    const bool packs_float16 = std::any_of(paths.begin(), paths.end(), [](Path path) {
        return activation_layout(path) == ActivationLayout::kFloat16;
    });
    // For rows of either shape, which are not there at once.
    const auto rows = [&](std::initializer_list<RowShape> shapes) {
        uint64_t f32 = 0;
        uint64_t q8 = 0;
        uint64_t f16 = 0;
        for (const auto& [n_rows, n_columns] : shapes) {
            f32 = std::max(f32, floats(n_rows, n_columns));
            q8 = std::max(q8, n_rows * q8_row_bytes(n_columns));
            f16 = std::max(f16, n_rows * float16_row_bytes(n_columns));
        }
        RowBuffers buffers;
        buffers.f32 = arena.allocate(f32);
        buffers.q8 = arena.allocate(q8);
        if (packs_float16) buffers.f16 = arena.allocate(f16);
        return buffers;
    };

    const uint64_t n = max_tokens;
    const uint64_t q_width = uint64_t{hyper.n_heads} * hyper.head_dim;
    const uint64_t kv_width = uint64_t{hyper.n_kv_heads} * hyper.head_dim;
    tokens = upload_arena->allocate(n * sizeof(int32_t));
    positions = upload_arena->allocate(n * sizeof(int32_t));
    stream = arena.allocate(floats(n, hyper.n_embedding));
    normed = rows({{n, hyper.n_embedding}});
    q = arena.allocate(floats(n, q_width));
    k = arena.allocate(floats(n, kv_width));
    v = arena.allocate(floats(n, kv_width));
    attended = rows({{n, q_width}});

    // A batch of any size up to the largest may come; small ones split the context further.
    uint64_t scratch = 0;
    for (uint32_t batch = 1; batch <= max_tokens; ++batch) {
        uint32_t splits =
            attention_splits(device->plan(), batch, hyper.n_heads, hyper.n_kv_heads, shape.n_context);
        scratch =
            std::max(scratch, attention_scratch_bytes(batch, hyper.n_heads, hyper.head_dim, splits, true));
    }
    if (scratch > 0) attention_scratch = arena.allocate(scratch);

    if (const uint64_t bytes = split_sums_bytes(device->plan()); bytes > 0)
        for (Allocation& sums : split_sums) sums = arena.allocate(bytes);

    const RowShape of_dense{n, hyper.n_feed_forward};
    RowShape of_experts{};
    if (hyper.n_experts > 0) {
        const uint64_t pairs = n * hyper.n_experts_used;
        router_logits = arena.allocate(floats(n, hyper.n_experts));
        expert_ids = arena.allocate(hyper.n_layers * pairs * sizeof(uint32_t));
        expert_weights = arena.allocate(floats(pairs, 1));
        lay_out_route_totals(hyper, shape.router_statistics);
        if (shape.look_ahead) {
            look_ahead.n_predicted = look_ahead_width(hyper);
            const uint64_t n_ids = uint64_t{hyper.n_layers} * n * look_ahead.n_predicted;
            look_ahead.logits = arena.allocate(floats(n, hyper.n_experts));
            look_ahead.ids = arena.allocate(n_ids * sizeof(uint32_t));
            look_ahead.probabilities = arena.allocate(floats(n_ids, 1));
        }
        if (shape.pager != PagerMode::kAuto) {
            paging = make_pager_workspace(shape.pager, hyper, max_tokens, device->plan().registers.few_tokens,
                                          arena, *upload_arena, *readback_arena);
        }
        grouped.pairs = arena.allocate(pairs * sizeof(uint32_t));
        grouped.tiles = arena.allocate(
            uint64_t{max_route_tiles(static_cast<uint32_t>(pairs), hyper.n_experts, kLeastTileTokens)} * 16);
        grouped.arguments = arena.allocate(kTileDispatches * 3 * sizeof(uint32_t));
        expert_output = arena.allocate(floats(pairs, hyper.n_embedding));
        of_experts = {pairs, hyper.n_expert_feed_forward};
    }
    inner = rows({of_dense, of_experts});
    gate = arena.allocate(inner.f32.size);
    up = arena.allocate(inner.f32.size);

    logits = arena.allocate(floats(max_logit_rows, hyper.n_vocabulary));
    logits_readback = readback_arena->allocate(floats(max_logit_rows, hyper.n_vocabulary));
    next_token = readback_arena->allocate(sizeof(uint32_t));
}

Allocation Workspace::layer_part(const Allocation& all_layers, uint32_t layer, uint32_t width) const {
    const uint64_t bytes = uint64_t{max_tokens} * width * sizeof(uint32_t);
    return all_layers.slice(layer * bytes, bytes);
}

}  // namespace vkmoe
