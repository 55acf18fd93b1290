#include "base/page_buffer.h"

#include <cstdlib>
#include <new>

namespace vkmoe {
namespace {

constexpr size_t kPage = 4096;

}  // namespace

PageBuffer::PageBuffer(size_t bytes)
    : bytes_(static_cast<std::byte*>(std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage))) {
    if (bytes_ == nullptr) throw std::bad_alloc();
}

void PageBuffer::Free::operator()(std::byte* bytes) const {
    std::free(bytes);
}

}  // namespace vkmoe
