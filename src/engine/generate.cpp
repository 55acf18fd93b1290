#include "engine/generate.h"

#include <string>

#include "engine/finite_logits.h"
#include "text/utf8_stream.h"

namespace vkmoe {

GenerateEnd generate(Session& session, const Tokenizer& tokenizer, const GenerateParams& params,
                     std::vector<int32_t>& history, const TokenSink& sink) {
    Sampler sampler(params.sampling);
    Utf8Stream stream;
    auto end = GenerateEnd::kAllTokens;
    const auto sample = [&] {
        const std::span<const float> logits = session.logits();
        if (session.allows_nonfinite()) require_finite_logits(logits, session.position() - 1);
        return sampler.sample(logits, history);
    };
    int32_t token = params.n_tokens == 0 ? -1 : sample();
    for (size_t made = 0; made < params.n_tokens; ++made) {
        if (session.position() == session.n_context()) {
            end = GenerateEnd::kContextFull;
            break;
        }
        // Models may have more rows in their output matrix than the vocabulary has tokens.
        const bool known = token < tokenizer.vocab_size();
        const bool ends = known && !params.ignore_end && tokenizer.is_end_of_generation(token);
        // An end token may be spelled as text, a line feed for one, but it is not part of the answer.
        const std::string text =
            stream.push(known && !ends ? tokenizer.token_bytes(token, false) : std::string());
        // The sink comes first: the text need not wait until the token is computed.
        if (!sink(token, text)) {
            end = GenerateEnd::kStopped;
        } else if (ends) {
            end = GenerateEnd::kEndOfText;
        }
        const bool another = end == GenerateEnd::kAllTokens && made + 1 < params.n_tokens &&
                             session.position() + 1 < session.n_context();
        const bool on_device = another && sampler.is_argmax();
        int32_t next = -1;
        if (on_device) {
            next = session.feed_greedy(token);
        } else {
            session.feed_written(token);  // after the last one too the host may ask for the logits
        }
        history.push_back(token);  // not before it is part of the sequence
        if (another && !on_device) next = sample();
        token = next;
        if (end != GenerateEnd::kAllTokens) break;
    }
    if (end != GenerateEnd::kStopped) sink(-1, stream.flush());
    return end;
}

}  // namespace vkmoe
