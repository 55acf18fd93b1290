#pragma once

#include "engine/load_balance.h"
#include "engine/routes.h"
#include "experts/pager_stats.h"
#include "model/model.h"
#include "model/session_memory.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace vkmoe {

struct SessionParams {
    uint32_t n_context = 0;      ///< tokens; 0: 4096, or the model's training context where that is less
    uint32_t n_micro_batch = 0;  ///< prompt tokens computed at once; 0: 512
    TensorType kv_type = TensorType::kF16;  ///< kF32, kF16 or kQ8_0
    bool profile = false;
    bool router_statistics = false;  ///< add up router probabilities, a dispatch a layer
    /// Name in each layer the experts that the next will probably use: see routes().
    bool look_ahead = false;
    /// Let feed() hand out logits that are NaN or infinite. No token is ever chosen by them.
    bool allow_nonfinite = false;
};
/// Of a session that such parameters make on the model; measure_session tells what it takes.
SessionShape session_shape(const Model& model, const SessionParams& params);

struct SessionStats {
    uint64_t prompt_tokens = 0;  ///< given to feed()
    double prompt_seconds = 0;
    uint64_t decoded_tokens = 0;  ///< given to feed_written() or feed_greedy()
    double decode_seconds = 0;
    uint64_t kv_bytes = 0;
};

/// One sequence of tokens on a model: its KV cache, prefill in micro-batches and decode by replay of one
/// command buffer. Not thread-safe.
class Session {
  public:
    Session(std::shared_ptr<Model> model, const SessionParams& params);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    const Model& model() const;
    uint32_t n_context() const;
    uint32_t position() const;
    /// SessionParams::allow_nonfinite: whether logits() may hold a NaN or an infinity.
    bool allows_nonfinite() const;

    /// Computes tokens of a prompt at the end of the sequence. all_logits: empty, or [tokens.size(),
    /// n_vocabulary]. Throws Error(kInvalidArgument), with nothing computed, for a token outside the
    /// vocabulary or a context that is too short, and Error(kInternal) for logits that are NaN or infinite,
    /// of those that it hands out, unless params.allow_nonfinite. Whatever fails, the session then holds, and
    /// has counted, what it did before.
    void feed(std::span<const int32_t> tokens, std::span<float> all_logits = {});
    /// Logits after the last token fed, [n_vocabulary]; Error(kInvalidArgument) when nothing was fed.
    std::span<const float> logits() const;
    /// Computes a token that was generated. Only the statistics differ from those of feed().
    void feed_written(int32_t token);
    /// The same, and returns the most likely next token, chosen on the device: logits do not come back to the
    /// host. Throws as feed() does, for logits that are not finite always.
    int32_t feed_greedy(int32_t token);
    /// Forgets all tokens from n_tokens on, and the logits if there are any.
    void truncate(uint32_t n_tokens);

    SessionStats stats() const;
    /// Of the model's pager and device memory, for all of the model's sessions.
    PagerStats pager_stats() const;
    /// How often each expert was chosen so far, [n_layers, n_experts]; rows of dense layers zero.
    std::vector<uint64_t> expert_counts() const;
    /// Which experts the tokens fed last were routed to: those of the last micro-batch, where there were
    /// several. Error(kInvalidArgument) when nothing was fed.
    Routes routes() const;
    /// How even the routes of each layer were so far, [n_layers]; empty for a dense model.
    /// Error(kInvalidArgument) unless params.router_statistics.
    std::vector<LoadBalance> router_statistics() const;
    /// A table of GPU time by region; empty unless params.profile.
    std::string profile() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace vkmoe
