#pragma once

#include "engine/sampler.h"
#include "engine/session.h"
#include "text/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace vkmoe {

struct GenerateParams {
    SamplingParams sampling;
    size_t n_tokens = 0;      ///< at most
    bool ignore_end = false;  ///< go on past end-of-text tokens
};

enum class GenerateEnd { kAllTokens, kEndOfText, kContextFull, kStopped };

/// Takes a new token and the text that is whole with it; false stops. The last call, with token -1, brings
/// text that was held back; there is none after a stop.
using TokenSink = std::function<bool(int32_t token, std::string_view text)>;

/// Samples and feeds tokens, an end-of-text token too: every token that the sink has seen is held by the
/// session. history: the tokens that the session holds, kept up to date. Throws as Session and Sampler do;
/// then the session and history lack the token that the sink has seen last.
GenerateEnd generate(Session& session, const Tokenizer& tokenizer, const GenerateParams& params,
                     std::vector<int32_t>& history, const TokenSink& sink);

}  // namespace vkmoe
