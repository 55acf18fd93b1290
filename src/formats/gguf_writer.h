#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "formats/gguf_value.h"
#include "formats/tensor_type.h"

namespace vkmoe {

/// Types that GGUF metadata has a number type for.
template <typename T>
concept GgufScalar = std::same_as<T, bool> || std::same_as<T, float> || std::same_as<T, double> ||
    std::same_as<T, uint8_t> || std::same_as<T, int8_t> || std::same_as<T, uint16_t> ||
    std::same_as<T, int16_t> || std::same_as<T, uint32_t> || std::same_as<T, int32_t> ||
    std::same_as<T, uint64_t> || std::same_as<T, int64_t>;

/// Writes a GGUF file, version 3. Tensor data is asked for only while the file is written, one tensor at a
/// time, so a file may be far larger than memory.
class GgufWriter {
  public:
    /// Takes the next bytes of a tensor, in any portions.
    using Sink = std::function<void(std::span<const std::byte>)>;
    /// Hands all bytes of one tensor, in order, to the sink.
    using Producer = std::function<void(const Sink&)>;

    /// alignment: a power of two, at least 8, of each tensor's offset; written as general.alignment unless it
    /// is the default.
    explicit GgufWriter(uint32_t alignment = 32);

    /// Metadata is written in the order it was set. The C++ type decides the file's type: get it exact
    /// (uint32_t{4}). A key set twice throws kInvalidArgument.
    template <GgufScalar T>
    void set(std::string_view key, T value);
    void set(std::string_view key, std::string_view text);
    void set(std::string_view key, const char* text) { set(key, std::string_view(text)); }

    template <GgufScalar T>
    void set_array(std::string_view key, std::span<const T> values);
    template <GgufScalar T>
    requires(!std::same_as<T, bool>) void set_array(std::string_view key, const std::vector<T>& values) {
        set_array(key, std::span<const T>(values));
    }
    void set_array(std::string_view key, std::span<const std::string> texts);
    void set_array(std::string_view key, std::span<const std::string_view> texts);

    /// shape: 1 to 4 dimensions, the fastest first; the first a multiple of the type's block. The producer
    /// must give exactly the tensor's bytes. Throws kInvalidArgument for a bad shape or a name used before.
    void add_tensor(std::string_view name, TensorType type, std::span<const uint64_t> shape,
                    Producer producer);
    void add_tensor(std::string_view name, TensorType type, std::initializer_list<uint64_t> shape,
                    Producer producer);
    /// The bytes must live until the file is written.
    void add_tensor(std::string_view name, TensorType type, std::initializer_list<uint64_t> shape,
                    std::span<const std::byte> bytes);

    /// Bytes of the file that write() makes.
    uint64_t file_bytes() const;

    /// Writes the file through OutputFile: whole or not at all.
    void write(const std::string& path) const;

    /// The same file in memory.
    std::vector<std::byte> to_bytes() const;

  private:
    struct Tensor {
        std::string name;
        TensorType type;
        std::vector<uint64_t> shape;
        uint64_t bytes;
        uint64_t offset;  // from the start of the data section
        Producer producer;
    };

    std::vector<std::byte> header() const;
    void emit(const Sink& sink) const;
    void begin_entry(std::string_view key, GgufValueType type);
    void begin_array(std::string_view key, GgufValueType element_type, uint64_t size);

    uint32_t alignment_;
    uint64_t data_bytes_ = 0;
    std::vector<std::string> keys_;
    std::vector<std::byte> metadata_;
    std::vector<Tensor> tensors_;
    std::unordered_set<std::string> names_;
};

}  // namespace vkmoe
