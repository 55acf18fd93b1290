#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex.h"

#include <pcre2.h>

#include <array>
#include <limits>

#include "base/error.h"
#include "text/unicode.h"

namespace vkmoe {
namespace {

constexpr size_t kJitStackStart = size_t{32} << 10;
constexpr size_t kJitStackMost = size_t{4} << 20;
constexpr uint32_t kHeapLimitKib = 16384;  // for the interpreter, where there is no just-in-time compiler
// A run of white space is walked back once, so steps grow with the text and must not be limited.
constexpr uint32_t kMatchLimit = std::numeric_limits<uint32_t>::max();

/// The rest of the block of Unicode's newest pictographs: all symbols, but without a category in a PCRE2 that
/// is older than they are (10.42 knows Unicode 14).
constexpr std::string_view kNewPictographs = "\\x{1FA70}-\\x{1FAFF}";

/// Replaces \s by \p{White_Space} and \S by \P{White_Space}, inside classes and outside, and adds the newest
/// pictographs to \p{S}, which our patterns have inside classes only.
std::string with_unicode_properties(std::string_view pattern) {
    std::string out;
    out.reserve(pattern.size() + 64);
    for (size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] != '\\' || i + 1 == pattern.size()) {
            out += pattern[i];
            continue;
        }
        const char escaped = pattern[++i];
        if (escaped == 's') {
            out += "\\p{White_Space}";
        } else if (escaped == 'S') {
            out += "\\P{White_Space}";
        } else {
            out += '\\';
            out += escaped;
            if (pattern.substr(i).starts_with("p{S}")) {
                out += "{S}";
                out += kNewPictographs;
                i += 3;
            }
        }
    }
    return out;
}

PCRE2_SPTR code_units(std::string_view text) {
    return reinterpret_cast<PCRE2_SPTR>(text.data());
}

std::string error_text(int code) {
    std::array<PCRE2_UCHAR, 256> buffer{};
    pcre2_get_error_message(code, buffer.data(), buffer.size());
    return reinterpret_cast<const char*>(buffer.data());
}

}  // namespace

Regex::Regex(std::string_view pattern, bool just_in_time) : pattern_(pattern) {
    const std::string translated = with_unicode_properties(pattern);
    int error = 0;
    PCRE2_SIZE position = 0;
    code_.reset(pcre2_compile(code_units(translated), translated.size(), PCRE2_UTF | PCRE2_UCP, &error,
                              &position, nullptr));
    if (code_ == nullptr) {
        fail(ErrorCode::kInternal, "regular expression '{}' does not compile at {}: {}", translated, position,
             error_text(error));
    }
    // Its failure changes nothing but the speed.
    if (just_in_time) pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
}

void Regex::FreeCode::operator()(pcre2_code* code) const {
    pcre2_code_free(code);
}
void RegexMatcher::FreeMatchData::operator()(pcre2_match_data* data) const {
    pcre2_match_data_free(data);
}
void RegexMatcher::FreeContext::operator()(pcre2_match_context* context) const {
    pcre2_match_context_free(context);
}
void RegexMatcher::FreeStack::operator()(pcre2_jit_stack* stack) const {
    pcre2_jit_stack_free(stack);
}

RegexMatcher::RegexMatcher()
    : stack_(pcre2_jit_stack_create(kJitStackStart, kJitStackMost, nullptr)),
      context_(pcre2_match_context_create(nullptr)),
      data_(pcre2_match_data_create(1, nullptr)) {
    if (context_ == nullptr || data_ == nullptr) {
        fail(ErrorCode::kOutOfMemory, "out of memory for matching regular expressions");
    }
    pcre2_set_match_limit(context_.get(), kMatchLimit);
    pcre2_set_heap_limit(context_.get(), kHeapLimitKib);
    if (stack_ != nullptr) pcre2_jit_stack_assign(context_.get(), nullptr, stack_.get());
}

RegexMatcher::Match RegexMatcher::find(const Regex& regex, std::string_view text, size_t start) {
    const int result = pcre2_match(regex.code_.get(), code_units(text), text.size(), start,
                                   PCRE2_NO_UTF_CHECK, data_.get(), context_.get());
    if (result == PCRE2_ERROR_NOMATCH) return {false, text.size(), text.size()};
    if (result < 0) {
        fail(ErrorCode::kInternal, "matching '{}' in {} bytes of text failed: {}", regex.pattern_,
             text.size(), error_text(result));
    }
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data_.get());
    return {true, offsets[0], offsets[1]};
}

void RegexMatcher::split(const Regex& regex, std::string_view text, std::vector<std::string_view>& pieces) {
    const auto add = [&](size_t begin, size_t end) {
        if (begin < end) pieces.push_back(text.substr(begin, end - begin));
    };
    size_t piece_start = 0;
    size_t position = 0;
    while (position < text.size()) {
        const Match match = find(regex, text, position);
        if (!match.found) break;
        add(piece_start, match.begin);
        add(match.begin, match.end);
        piece_start = match.end;
        position = match.end;
        if (match.begin == match.end) position += utf8_character_length(text.substr(position));
    }
    add(piece_start, text.size());
}

}  // namespace vkmoe
