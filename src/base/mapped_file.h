#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace vkmoe {

/// A whole file mapped read-only. Moving it leaves bytes() where they are.
class MappedFile {
  public:
    MappedFile() = default;

    /// Throws kIo, naming the file, when it is not a regular file or cannot be opened or mapped. An empty
    /// file gives an empty span.
    explicit MappedFile(std::string path);
    ~MappedFile();

    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    /// Starts on a page boundary.
    std::span<const std::byte> bytes() const { return bytes_; }
    const std::string& path() const { return path_; }

    /// Lets go of the pages that were read, so that they no longer count as this process's memory. bytes()
    /// stay valid: what is read again is mapped again.
    void forget() const;

  private:
    std::string path_;
    std::span<const std::byte> bytes_;
};

}  // namespace vkmoe
