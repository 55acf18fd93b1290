#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;
struct pcre2_real_match_context_8;
struct pcre2_real_match_data_8;
struct pcre2_real_jit_stack_8;

namespace vkmoe {

/// A compiled Unicode regular expression (PCRE2 with UTF and UCP, just-in-time compiled where the library
/// can). \s and \S mean Unicode's White_Space property, as in the engines that tokenizers were trained with;
/// PCRE2's own \s also takes U+180E.
class Regex {
  public:
    /// Throws kInternal for a pattern that does not compile: patterns are our own data. Without just_in_time,
    /// or where the library cannot, matching is interpreted: slower, with the same results.
    explicit Regex(std::string_view pattern, bool just_in_time = true);

    const std::string& pattern() const { return pattern_; }

  private:
    friend class RegexMatcher;

    struct FreeCode {
        void operator()(pcre2_real_code_8* code) const;
    };

    std::string pattern_;
    std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
};

/// Scratch memory for matching: one for each thread at a time, for any number of expressions.
class RegexMatcher {
  public:
    RegexMatcher();

    /// Cuts `text` (well-formed UTF-8) at the start and the end of every match, so that matches and what lies
    /// between them become pieces; appends the pieces, none of them empty, in order. Throws kInternal where a
    /// match needs more memory than the engine has: a pattern must match any text in constant memory.
    void split(const Regex& regex, std::string_view text, std::vector<std::string_view>& pieces);

  private:
    struct Match {
        bool found;
        size_t begin;
        size_t end;
    };
    struct FreeMatchData {
        void operator()(pcre2_real_match_data_8* data) const;
    };
    struct FreeContext {
        void operator()(pcre2_real_match_context_8* context) const;
    };
    struct FreeStack {
        void operator()(pcre2_real_jit_stack_8* stack) const;
    };

    Match find(const Regex& regex, std::string_view text, size_t start);

    std::unique_ptr<pcre2_real_jit_stack_8, FreeStack> stack_;
    std::unique_ptr<pcre2_real_match_context_8, FreeContext> context_;
    std::unique_ptr<pcre2_real_match_data_8, FreeMatchData> data_;
};

}  // namespace vkmoe
