#include "text/special_tokens.h"

namespace vkmoe {

SpecialTokens::SpecialTokens() : nodes_(1) {
    first_byte_.fill(-1);
}

void SpecialTokens::add(std::string_view text, int32_t id) {
    if (text.empty()) return;
    int32_t node = 0;
    for (const char byte : text) {
        int32_t next = child(node, byte);
        if (next < 0) {
            next = static_cast<int32_t>(nodes_.size());
            nodes_.push_back({-1, -1, nodes_[node].first_child, byte});
            nodes_[node].first_child = next;
            if (node == 0) first_byte_[static_cast<uint8_t>(byte)] = next;
        }
        node = next;
    }
    if (nodes_[node].id < 0) nodes_[node].id = id;
}

int32_t SpecialTokens::child(int32_t node, char byte) const {
    if (node == 0) return first_byte_[static_cast<uint8_t>(byte)];
    int32_t next = nodes_[node].first_child;
    while (next >= 0 && nodes_[next].byte != byte) next = nodes_[next].next_sibling;
    return next;
}

SpecialTokens::Match SpecialTokens::longest_at(std::string_view text, size_t begin) const {
    Match best{begin, 0, -1};
    int32_t node = 0;
    for (size_t end = begin; end < text.size(); ++end) {
        node = child(node, text[end]);
        if (node < 0) break;
        if (nodes_[node].id >= 0) best = {begin, end + 1 - begin, nodes_[node].id};
    }
    return best;
}

SpecialTokens::Match SpecialTokens::find(std::string_view text, size_t start) const {
    for (size_t begin = start; begin < text.size(); ++begin) {
        const Match match = longest_at(text, begin);
        if (match.length != 0) return match;
    }
    return {text.size(), 0, -1};
}

}  // namespace vkmoe
