#pragma once

#include <cstddef>
#include <memory>

namespace vkmoe {

/// Host memory that starts on a page boundary. Pages take no memory before they are written.
class PageBuffer {
  public:
    PageBuffer() = default;
    /// Throws std::bad_alloc.
    explicit PageBuffer(size_t bytes);
    std::byte* data() const { return bytes_.get(); }

  private:
    struct Free {
        void operator()(std::byte* bytes) const;
    };
    std::unique_ptr<std::byte, Free> bytes_;
};

}  // namespace vkmoe
