#include "formats/gguf_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/output_file.h"
#include "formats/gguf.h"

namespace vkmoe {
namespace {

constexpr uint32_t kVersion = 3;
constexpr uint32_t kDefaultAlignment = 32;

template <typename T>
constexpr GgufValueType value_type_of() {
    if constexpr (std::same_as<T, bool>) return GgufValueType::kBool;
    if constexpr (std::same_as<T, float>) return GgufValueType::kFloat32;
    if constexpr (std::same_as<T, double>) return GgufValueType::kFloat64;
    if constexpr (std::same_as<T, uint8_t>) return GgufValueType::kUint8;
    if constexpr (std::same_as<T, int8_t>) return GgufValueType::kInt8;
    if constexpr (std::same_as<T, uint16_t>) return GgufValueType::kUint16;
    if constexpr (std::same_as<T, int16_t>) return GgufValueType::kInt16;
    if constexpr (std::same_as<T, uint32_t>) return GgufValueType::kUint32;
    if constexpr (std::same_as<T, int32_t>) return GgufValueType::kInt32;
    if constexpr (std::same_as<T, uint64_t>) return GgufValueType::kUint64;
    if constexpr (std::same_as<T, int64_t>) return GgufValueType::kInt64;
}

uint64_t align_up(uint64_t value, uint32_t alignment) {
    const uint64_t mask = uint64_t{alignment} - 1;
    return (value + mask) & ~mask;
}

void append(std::vector<std::byte>& to, const void* bytes, size_t size) {
    if (size == 0) return;
    const size_t end = to.size();
    to.resize(end + size);
    std::memcpy(to.data() + end, bytes, size);
}

template <typename T>
void append_value(std::vector<std::byte>& to, T value) {
    static_assert(std::endian::native == std::endian::little);
    append(to, &value, sizeof value);
}

void append_string(std::vector<std::byte>& to, std::string_view text) {
    append_value(to, uint64_t{text.size()});
    append(to, text.data(), text.size());
}

/// Bytes of a tensor, or kInvalidArgument.
uint64_t checked_bytes(std::string_view name, TensorType type, std::span<const uint64_t> shape) {
    const TensorTypeInfo& info = tensor_type_info(type);
    if (name.empty() || shape.empty() || shape.size() > 4 || shape[0] % info.block_elements != 0) {
        fail(ErrorCode::kInvalidArgument,
             "tensor '{}' of type {} cannot have shape {}; it needs a name, 1 to 4 dimensions and a row "
             "length that is a multiple of {}",
             name, info.name, shape_string(shape), info.block_elements);
    }
    uint64_t bytes = row_bytes(type, shape[0]);
    for (const uint64_t dimension : shape.subspan(1)) {
        if (dimension != 0 && bytes > std::numeric_limits<int64_t>::max() / dimension) {
            fail(ErrorCode::kInvalidArgument, "tensor '{}' of shape {} is too large for any file", name,
                 shape_string(shape));
        }
        bytes *= dimension;
    }
    if (bytes == 0) {
        fail(ErrorCode::kInvalidArgument, "tensor '{}' of shape {} has no elements", name,
             shape_string(shape));
    }
    return bytes;
}

}  // namespace

GgufWriter::GgufWriter(uint32_t alignment) : alignment_(alignment) {
    if (!std::has_single_bit(alignment) || alignment < 8) {
        fail(ErrorCode::kInvalidArgument,
             "the GGUF alignment is {}, but must be a power of two and at least 8", alignment);
    }
    if (alignment != kDefaultAlignment) set("general.alignment", alignment);
}

template <GgufScalar T>
void GgufWriter::set(std::string_view key, T value) {
    begin_entry(key, value_type_of<T>());
    append_value(metadata_, value);
}

void GgufWriter::set(std::string_view key, std::string_view text) {
    begin_entry(key, GgufValueType::kString);
    append_string(metadata_, text);
}

template <GgufScalar T>
void GgufWriter::set_array(std::string_view key, std::span<const T> values) {
    begin_array(key, value_type_of<T>(), values.size());
    append(metadata_, values.data(), values.size_bytes());
}

void GgufWriter::set_array(std::string_view key, std::span<const std::string> texts) {
    begin_array(key, GgufValueType::kString, texts.size());
    for (const std::string& text : texts) append_string(metadata_, text);
}

void GgufWriter::set_array(std::string_view key, std::span<const std::string_view> texts) {
    begin_array(key, GgufValueType::kString, texts.size());
    for (const std::string_view text : texts) append_string(metadata_, text);
}

void GgufWriter::begin_entry(std::string_view key, GgufValueType type) {
    if (key.empty() || std::ranges::find(keys_, key) != keys_.end()) {
        fail(ErrorCode::kInvalidArgument, "metadata key '{}' is empty or already set", key);
    }
    keys_.emplace_back(key);
    append_string(metadata_, key);
    append_value(metadata_, static_cast<uint32_t>(type));
}

void GgufWriter::begin_array(std::string_view key, GgufValueType element_type, uint64_t size) {
    begin_entry(key, GgufValueType::kArray);
    append_value(metadata_, static_cast<uint32_t>(element_type));
    append_value(metadata_, size);
}

void GgufWriter::add_tensor(std::string_view name, TensorType type, std::span<const uint64_t> shape,
                            Producer producer) {
    const uint64_t bytes = checked_bytes(name, type, shape);
    if (!names_.emplace(name).second) {
        fail(ErrorCode::kInvalidArgument, "tensor '{}' was already added", name);
    }
    const uint64_t offset = align_up(data_bytes_, alignment_);
    data_bytes_ = offset + bytes;
    tensors_.push_back(
        {std::string(name), type, {shape.begin(), shape.end()}, bytes, offset, std::move(producer)});
}

void GgufWriter::add_tensor(std::string_view name, TensorType type, std::initializer_list<uint64_t> shape,
                            Producer producer) {
    add_tensor(name, type, std::span(std::data(shape), shape.size()), std::move(producer));
}

void GgufWriter::add_tensor(std::string_view name, TensorType type, std::initializer_list<uint64_t> shape,
                            std::span<const std::byte> bytes) {
    add_tensor(name, type, shape, [bytes](const Sink& sink) { sink(bytes); });
}

std::vector<std::byte> GgufWriter::header() const {
    std::vector<std::byte> bytes;
    append(bytes, "GGUF", 4);
    append_value(bytes, kVersion);
    append_value(bytes, uint64_t{tensors_.size()});
    append_value(bytes, uint64_t{keys_.size()});
    append(bytes, metadata_.data(), metadata_.size());
    for (const Tensor& tensor : tensors_) {
        append_string(bytes, tensor.name);
        append_value(bytes, static_cast<uint32_t>(tensor.shape.size()));
        for (const uint64_t dimension : tensor.shape) append_value(bytes, dimension);
        append_value(bytes, static_cast<uint32_t>(tensor.type));
        append_value(bytes, tensor.offset);
    }
    bytes.resize(align_up(bytes.size(), alignment_));
    return bytes;
}

uint64_t GgufWriter::file_bytes() const {
    return header().size() + align_up(data_bytes_, alignment_);
}

void GgufWriter::emit(const Sink& sink) const {
    const std::vector<std::byte> zeros(alignment_);
    sink(header());
    for (const Tensor& tensor : tensors_) {
        uint64_t written = 0;
        tensor.producer([&](std::span<const std::byte> bytes) {
            written += bytes.size();
            if (written <= tensor.bytes) sink(bytes);
        });
        if (written != tensor.bytes) {
            fail(ErrorCode::kInternal, "the producer of tensor '{}' wrote {} bytes instead of {}",
                 tensor.name, written, tensor.bytes);
        }
        sink(std::span(zeros).first(align_up(tensor.bytes, alignment_) - tensor.bytes));
    }
}

void GgufWriter::write(const std::string& path) const {
    OutputFile file(path);
    emit([&file](std::span<const std::byte> bytes) { file.write(bytes); });
    file.commit();
}

std::vector<std::byte> GgufWriter::to_bytes() const {
    std::vector<std::byte> result;
    result.reserve(file_bytes());
    emit([&result](std::span<const std::byte> bytes) { append(result, bytes.data(), bytes.size()); });
    return result;
}

#define VKMOE_GGUF_SCALAR(T)                               \
    template void GgufWriter::set<T>(std::string_view, T); \
    template void GgufWriter::set_array<T>(std::string_view, std::span<const T>);
VKMOE_GGUF_SCALAR(bool)
VKMOE_GGUF_SCALAR(uint8_t)
VKMOE_GGUF_SCALAR(int8_t)
VKMOE_GGUF_SCALAR(uint16_t)
VKMOE_GGUF_SCALAR(int16_t)
VKMOE_GGUF_SCALAR(uint32_t)
VKMOE_GGUF_SCALAR(int32_t)
VKMOE_GGUF_SCALAR(uint64_t)
VKMOE_GGUF_SCALAR(int64_t)
VKMOE_GGUF_SCALAR(float)
VKMOE_GGUF_SCALAR(double)
#undef VKMOE_GGUF_SCALAR

}  // namespace vkmoe
