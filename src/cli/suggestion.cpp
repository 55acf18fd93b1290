#include "cli/suggestion.h"

#include <algorithm>
#include <vector>

namespace vkmoe::cli {
namespace {

std::string_view without_dashes(std::string_view word) {
    return word.substr(std::min(word.find_first_not_of('-'), word.size()));
}

/// Edits that turn one word into the other, where no place is edited twice.
size_t distance(std::string_view from, std::string_view to) {
    // Rows for the prefixes of `from` that end two letters before, one letter before, and here.
    std::vector<size_t> two_before;
    std::vector<size_t> before(to.size() + 1);
    for (size_t j = 0; j <= to.size(); ++j) before[j] = j;
    for (size_t i = 1; i <= from.size(); ++i) {
        std::vector<size_t> row(to.size() + 1, i);
        for (size_t j = 1; j <= to.size(); ++j) {
            const size_t changed = before[j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1);
            row[j] = std::min({before[j] + 1, row[j - 1] + 1, changed});
            if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1])
                row[j] = std::min(row[j], two_before[j - 2] + 1);
        }
        two_before = std::move(before);
        before = std::move(row);
    }
    return before.back();
}

}  // namespace

std::string suggest(std::string_view typed, std::span<const std::string> words) {
    constexpr size_t kLongest = 64;
    constexpr size_t kLeastBeginning = 2;
    constexpr size_t kLeastWord = 4;
    const std::string_view wanted = without_dashes(typed);
    if (wanted.empty() || wanted.size() > kLongest) return {};
    for (const std::string& word : words) {
        const std::string_view plain = without_dashes(word);
        if (wanted.size() >= kLeastBeginning && plain.starts_with(wanted)) return word;
        if (plain.size() >= kLeastWord && wanted.starts_with(plain)) return word;
    }
    std::string nearest;
    size_t least = std::max<size_t>(wanted.size() / 3, 1) + 1;  // more edits than that make another word
    for (const std::string& word : words) {
        const size_t edits = distance(wanted, without_dashes(word));
        if (edits >= least) continue;
        least = edits;
        nearest = word;
    }
    return nearest;
}

}  // namespace vkmoe::cli
