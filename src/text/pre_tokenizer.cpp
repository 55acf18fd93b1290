#include "text/pre_tokenizer.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "formats/gguf_value.h"

namespace vkmoe {
namespace {

const PreTokenizerSpec& find_spec(std::string_view name) {
    std::vector<std::string_view> known;
    for (const PreTokenizerSpec& spec : pre_tokenizer_specs()) {
        if (std::ranges::find(spec.names, name) != spec.names.end()) return spec;
        std::ranges::copy_if(spec.names, std::back_inserter(known),
                             [](std::string_view each) { return !each.empty(); });
    }
    std::ranges::sort(known);
    fail(ErrorCode::kUnsupported,
         "tokenizer.ggml.pre is '{}', a pre-tokenizer that vkmoe does not support; it supports {}",
         printable(name), fmt::join(known, ", "));
}

}  // namespace

PreTokenizer::PreTokenizer(std::string_view name) : spec_(&find_spec(name)) {
    rules_.reserve(spec_->rules.size());
    for (const std::string_view rule : spec_->rules) rules_.emplace_back(rule);
}

std::vector<std::string_view> PreTokenizer::split(std::string_view text) const {
    RegexMatcher matcher;
    std::vector<std::string_view> pieces;
    if (!text.empty()) pieces.push_back(text);
    std::vector<std::string_view> smaller;
    for (const Regex& rule : rules_) {
        smaller.clear();
        for (const std::string_view piece : pieces) matcher.split(rule, piece, smaller);
        pieces.swap(smaller);
    }
    return pieces;
}

}  // namespace vkmoe
