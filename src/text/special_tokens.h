#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace vkmoe {

/// Finds tokens that are whole texts (<|im_end|>) in running text: the leftmost one, and of those that begin
/// there the longest. A byte of text costs at most the length of the longest token, however many tokens there
/// are.
class SpecialTokens {
  public:
    SpecialTokens();

    struct Match {
        size_t begin;
        size_t length;  ///< 0: none found
        int32_t id;
    };

    /// An empty text is left out; of two tokens with the same text the first added counts.
    void add(std::string_view text, int32_t id);

    Match find(std::string_view text, size_t start) const;

  private:
    // A trie: children of a node are a list, because below the first byte few nodes have more than one.
    struct Node {
        int32_t id = -1;
        int32_t first_child = -1;
        int32_t next_sibling = -1;
        char byte = 0;
    };

    int32_t child(int32_t node, char byte) const;
    Match longest_at(std::string_view text, size_t begin) const;

    std::vector<Node> nodes_;  // nodes_[0] is the root
    std::array<int32_t, 256> first_byte_;
};

}  // namespace vkmoe
