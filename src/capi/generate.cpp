#include "engine/generate.h"

#include "capi/handles.h"
#include "capi/sized_struct.h"

using vkmoe::capi::guard;
using vkmoe::capi::require;

namespace {

constexpr size_t kSamplingFirstVersion = sizeof(vkmoe_sampling);

vkmoe_sampling default_sampling() {
    const vkmoe::SamplingParams defaults;
    vkmoe_sampling sampling{};
    sampling.struct_size = sizeof sampling;
    sampling.temperature = defaults.temperature;
    sampling.top_k = defaults.top_k;
    sampling.top_p = defaults.top_p;
    sampling.min_p = defaults.min_p;
    sampling.repetition_penalty = defaults.repetition_penalty;
    sampling.repetition_window = defaults.repetition_window;
    sampling.seed = defaults.seed;
    return sampling;
}

}  // namespace

void vkmoe_sampling_default(vkmoe_sampling* sampling, size_t struct_size) {
    vkmoe::capi::write_defaults(default_sampling(), sampling, struct_size);
}

vkmoe_status vkmoe_session_generate(vkmoe_session* session, const vkmoe_sampling* sampling, size_t n_tokens,
                                    vkmoe_token_callback callback, void* user) {
    return guard([&] {
        require(session, "session");
        if (callback == nullptr) vkmoe::fail(vkmoe::ErrorCode::kInvalidArgument, "callback is NULL");
        const vkmoe_sampling given =
            vkmoe::capi::read_params(sampling, default_sampling(), kSamplingFirstVersion, "sampling");
        vkmoe::GenerateParams params;
        params.sampling.temperature = given.temperature;
        params.sampling.top_k = given.top_k;
        params.sampling.top_p = given.top_p;
        params.sampling.min_p = given.min_p;
        params.sampling.repetition_penalty = given.repetition_penalty;
        params.sampling.repetition_window = given.repetition_window;
        params.sampling.seed = given.seed;
        params.ignore_end = given.ignore_end;
        params.n_tokens = n_tokens;
        const vkmoe::TokenSink sink = [&](int32_t token, std::string_view text) {
            return callback(token, text.data(), text.size(), user);
        };
        const vkmoe::GenerateEnd end =
            vkmoe::generate(session->session, session->loaded->tokenizer(), params, session->history, sink);
        if (end == vkmoe::GenerateEnd::kStopped)
            vkmoe::fail(vkmoe::ErrorCode::kCancelled, "the callback asked to stop");
    });
}
