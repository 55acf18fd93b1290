#pragma once

#include "conformance/case_context.h"

#include <cstddef>
#include <span>
#include <vector>

namespace vkmoe {

/// Finds out whether a dispatch names its use of some memory. That memory is made wrong, and a recorder gets
/// a copy that makes it right again, then the dispatch, then a copy of the memory to somewhere else. Commands
/// between which no barrier stands run in reverse: the dispatch reads wrong memory, or its results are
/// written over, or the last copy comes before them.
///
/// Wrong memory does no harm: addresses in it lead to wrong memory of the same size as before, and numbers
/// beside addresses stay; memory without addresses is all zeros.
class AccessProbe {
  public:
    /// Runs the dispatch. memory: all that it may use, as it is before.
    AccessProbe(conformance::Bench& bench, std::span<const Allocation> memory, const Dispatch& dispatch);

    /// Whether the dispatch, or the same without an access, gives other results around such copies of memory.
    bool is_disturbed(const Dispatch& dispatch, const MemoryView& copied);

    /// Leaves memory as it was before the dispatch, or as it is after it.
    void restore_before() { fill(&Piece::before); }
    void restore_after() { fill(&Piece::after); }

  private:
    using Bytes = std::vector<std::byte>;
    struct Piece {
        Allocation memory;
        Bytes before;
        Bytes after;
        Bytes wrong;
        Allocation right_copy;
        Allocation wrong_copy;
        Allocation last_copy;
    };
    Bytes wrong_contents(const Piece& piece) const;
    void fill(Bytes Piece::*contents);
    Bytes read(const Allocation& memory) const;

    conformance::Bench& bench_;
    Arena arena_;
    Uploader uploader_;
    std::vector<Piece> pieces_;
};

}  // namespace vkmoe
