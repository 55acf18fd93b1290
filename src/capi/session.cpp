#include "capi/handles.h"
#include "capi/session_params.h"
#include "capi/sized_struct.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>

using vkmoe::ErrorCode;
using vkmoe::fail;
using vkmoe::TensorType;
using vkmoe::capi::guard;
using vkmoe::capi::require;

namespace {

constexpr size_t kParamsFirstVersion = offsetof(vkmoe_session_params, allow_nonfinite);
constexpr size_t kStatsFirstVersion = sizeof(vkmoe_session_stats);
constexpr size_t kPagerStatsFirstVersion = sizeof(vkmoe_pager_stats);
constexpr size_t kRouterStatisticsFirstVersion = sizeof(vkmoe_router_statistics);

TensorType tensor_type_of(vkmoe_kv_type type) {
    // As int, for a caller may give any number.
    switch (static_cast<int>(type)) {
        case VKMOE_KV_F16:
            return TensorType::kF16;
        case VKMOE_KV_F32:
            return TensorType::kF32;
        case VKMOE_KV_Q8_0:
            return TensorType::kQ8_0;
        default:
            fail(ErrorCode::kInvalidArgument, "kv_type is {}, which is not a vkmoe_kv_type",
                 static_cast<int>(type));
    }
}

double share(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

vkmoe_session_params default_params() {
    vkmoe_session_params params{};
    params.struct_size = sizeof params;
    params.kv_type = VKMOE_KV_F16;
    return params;
}

}  // namespace

vkmoe::SessionParams vkmoe::capi::read_session_params(const vkmoe_session_params* params, const char* name) {
    const vkmoe_session_params given = read_params(params, default_params(), kParamsFirstVersion, name);
    SessionParams session;
    session.n_context = given.n_context;
    session.n_micro_batch = given.n_micro_batch;
    session.kv_type = tensor_type_of(given.kv_type);
    session.profile = given.profile;
    session.router_statistics = given.router_statistics;
    session.allow_nonfinite = given.allow_nonfinite != 0;
    return session;
}

void vkmoe_session_default_params(vkmoe_session_params* params, size_t struct_size) {
    vkmoe::capi::write_defaults(default_params(), params, struct_size);
}

vkmoe_status vkmoe_session_create(vkmoe_model* model, const vkmoe_session_params* params,
                                  vkmoe_session** session) {
    return guard([&] {
        require(session, "session");
        *session = nullptr;
        require(model, "model");
        const vkmoe::SessionParams session_params = vkmoe::capi::read_session_params(params, "params");
        *session = std::make_unique<vkmoe_session>(model->loaded, session_params).release();
    });
}

void vkmoe_session_free(vkmoe_session* session) {
    delete session;
}

vkmoe_status vkmoe_session_feed(vkmoe_session* session, const int32_t* tokens, size_t n_tokens,
                                float* logits) {
    return guard([&] {
        require(session, "session");
        if (n_tokens == 0) return;
        require(tokens, "tokens");
        const std::span<const int32_t> fed(tokens, n_tokens);
        std::span<float> all_logits;
        if (logits != nullptr) {
            const size_t n_vocabulary = session->loaded->model()->hyper().n_vocabulary;
            if (n_tokens > std::numeric_limits<size_t>::max() / sizeof(float) / n_vocabulary)
                fail(ErrorCode::kInvalidArgument, "n_tokens is {}, too many for the logits to fit in memory",
                     n_tokens);
            all_logits = {logits, n_tokens * n_vocabulary};
        }
        session->session.feed(fed, all_logits);
        session->history.insert(session->history.end(), fed.begin(), fed.end());
    });
}

vkmoe_status vkmoe_session_logits(vkmoe_session* session, const float** logits) {
    return guard([&] {
        require(logits, "logits");
        *logits = nullptr;
        require(session, "session");
        *logits = session->session.logits().data();
    });
}

uint32_t vkmoe_session_position(const vkmoe_session* session) {
    return session == nullptr ? 0 : session->session.position();
}

vkmoe_status vkmoe_session_truncate(vkmoe_session* session, uint32_t n_tokens) {
    return guard([&] {
        require(session, "session");
        session->session.truncate(n_tokens);
        if (n_tokens < session->history.size()) session->history.resize(n_tokens);
    });
}

vkmoe_status vkmoe_session_get_stats(const vkmoe_session* session, vkmoe_session_stats* stats) {
    return guard([&] {
        require(session, "session");
        const vkmoe::SessionStats measured = session->session.stats();
        vkmoe_session_stats result{};
        result.prompt_tokens = measured.prompt_tokens;
        result.prompt_seconds = measured.prompt_seconds;
        result.decoded_tokens = measured.decoded_tokens;
        result.decode_seconds = measured.decode_seconds;
        result.kv_bytes = measured.kv_bytes;
        vkmoe::capi::write_result(result, stats, kStatsFirstVersion, "stats");
    });
}

vkmoe_status vkmoe_session_pager_stats(const vkmoe_session* session, vkmoe_pager_stats* stats) {
    return guard([&] {
        require(session, "session");
        const vkmoe::PagerStats measured = session->session.pager_stats();
        vkmoe_pager_stats result{};
        result.mode =
            static_cast<vkmoe_pager>(measured.mode);  // model.cpp holds their numbers to be the same
        result.n_slots = measured.n_slots;
        result.slot_bytes = measured.slot_bytes;
        result.n_records = measured.n_records;
        result.record_bytes = measured.record_bytes;
        result.hits = measured.hits;
        result.misses = measured.misses;
        result.hit_rate =
            share(static_cast<double>(measured.hits), static_cast<double>(measured.hits + measured.misses));
        result.evictions = measured.evictions;
        result.prefetched = measured.prefetched;
        result.prefetched_used = measured.prefetched_used;
        result.streamed = measured.streamed;
        result.bytes_moved = measured.bytes_moved;
        result.seconds = measured.seconds;
        result.seconds_stalled = measured.seconds_stalled;
        result.link_bytes_per_second = measured.link_bytes_per_second;
        result.link_share = share(static_cast<double>(measured.bytes_moved),
                                  measured.seconds * measured.link_bytes_per_second);
        result.stall_share = share(measured.seconds_stalled, measured.seconds);
        result.host_bytes = measured.host_bytes;
        result.vram_budget = measured.vram_budget;
        result.peak_device_bytes = measured.peak_device_bytes;
        vkmoe::capi::write_result(result, stats, kPagerStatsFirstVersion, "stats");
    });
}

vkmoe_status vkmoe_session_expert_counts(vkmoe_session* session, uint64_t* counts, size_t capacity) {
    return guard([&] {
        require(session, "session");
        const std::vector<uint64_t> all = session->session.expert_counts();
        if (capacity < all.size())
            fail(ErrorCode::kInvalidArgument,
                 "capacity is {}, too small for {} counts (layers times experts)", capacity, all.size());
        if (all.empty()) return;
        require(counts, "counts");
        std::copy(all.begin(), all.end(), counts);
    });
}

vkmoe_status vkmoe_session_router_statistics(vkmoe_session* session, uint32_t layer,
                                             vkmoe_router_statistics* statistics) {
    return guard([&] {
        require(session, "session");
        const std::vector<vkmoe::LoadBalance> layers = session->session.router_statistics();
        if (layer >= layers.size())
            fail(ErrorCode::kInvalidArgument, "layer is {}, but router statistics cover {} layers", layer,
                 layers.size());
        session->balance = layers[layer];
        const vkmoe::LoadBalance& balance = session->balance;
        vkmoe_router_statistics result{};
        result.n_tokens = balance.n_tokens;
        result.counts = balance.counts.data();
        result.probabilities = balance.mean_probability.data();
        result.auxiliary_loss = balance.auxiliary_loss;
        result.coefficient_of_variation = balance.coefficient_of_variation;
        result.max_over_mean = balance.max_over_mean;
        result.entropy = balance.entropy;
        vkmoe::capi::write_result(result, statistics, kRouterStatisticsFirstVersion, "statistics");
    });
}

const char* vkmoe_session_profile(vkmoe_session* session) {
    if (session == nullptr) return "";
    const vkmoe_status status = guard([&] { session->profile = session->session.profile(); });
    return status == VKMOE_OK ? session->profile.c_str() : "";
}
