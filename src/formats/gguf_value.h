#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace vkmoe {

/// The values are the ids of the GGUF format.
enum class GgufValueType : uint32_t {
    kUint8 = 0,
    kInt8 = 1,
    kUint16 = 2,
    kInt16 = 3,
    kUint32 = 4,
    kInt32 = 5,
    kFloat32 = 6,
    kBool = 7,
    kString = 8,
    kArray = 9,
    kUint64 = 10,
    kInt64 = 11,
    kFloat64 = 12,
};

/// "u32", "string", "array" ...
std::string_view gguf_value_type_name(GgufValueType type);

/// Bytes of a number or bool; 0 for strings and arrays.
uint32_t gguf_scalar_bytes(GgufValueType type);

class GgufValue;

/// An array of metadata. Views the file: valid as long as the GgufFile it came from.
class GgufArray {
  public:
    GgufArray(GgufValueType element_type, std::span<const std::byte> scalars);
    explicit GgufArray(std::vector<std::string_view> strings);
    explicit GgufArray(std::vector<GgufArray> arrays);

    GgufValueType element_type() const { return element_type_; }
    size_t size() const;

    /// Element i < size().
    GgufValue operator[](size_t i) const;

    /// The elements of a string array, else empty.
    std::span<const std::string_view> strings() const { return strings_; }
    /// The elements of an array of arrays, else empty.
    std::span<const GgufArray> arrays() const { return arrays_; }
    /// The elements of an array of numbers as they lie in the file (little-endian, any alignment), else
    /// empty.
    std::span<const std::byte> scalars() const { return scalars_; }

    /// All elements as T, by the rules of GgufValue::as; nothing where one does not convert.
    template <typename T>
    std::optional<std::vector<T>> as() const;

  private:
    GgufValueType element_type_;
    std::span<const std::byte> scalars_;
    std::vector<std::string_view> strings_;
    std::vector<GgufArray> arrays_;
};

/// One metadata value. Strings and arrays view the file: valid as long as the GgufFile it came from.
class GgufValue {
  public:
    /// Integers by sign, both float types as double, with the file's type beside them.
    using Data = std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray>;

    GgufValue(GgufValueType type, Data data) : type_(type), data_(std::move(data)) {}

    GgufValueType type() const { return type_; }
    const Data& data() const { return data_; }
    const GgufArray* array() const { return std::get_if<GgufArray>(&data_); }

    /// The value as bool, an integer type, float, double, std::string_view or std::string. Integers convert
    /// to any integer type that holds the value, floats to either float type, nothing else converts.
    template <typename T>
    std::optional<T> as() const;

    /// As as(), but an array whose elements are all equal counts as that element: some writers repeat for
    /// each layer a number that all layers share.
    template <typename T>
    std::optional<T> uniform() const;

  private:
    GgufValueType type_;
    Data data_;
};

/// For people: 12, 1e-05, true, "text", [1, 2, 3, ... 151936 in all]. Always one line of printable
/// characters.
std::string describe(const GgufValue& value, size_t max_elements = 8, size_t max_characters = 80);

/// Text of a file made safe for a one-line message: control characters and broken UTF-8 escaped, cut at
/// max_characters.
std::string printable(std::string_view text, size_t max_characters = 80);

template <typename T>
std::optional<T> GgufValue::as() const {
    if constexpr (std::same_as<T, bool>) {
        if (const bool* value = std::get_if<bool>(&data_)) return *value;
    } else if constexpr (std::integral<T>) {
        if (const uint64_t* value = std::get_if<uint64_t>(&data_)) {
            if (std::in_range<T>(*value)) return static_cast<T>(*value);
        }
        if (const int64_t* value = std::get_if<int64_t>(&data_)) {
            if (std::in_range<T>(*value)) return static_cast<T>(*value);
        }
    } else if constexpr (std::floating_point<T>) {
        if (const double* value = std::get_if<double>(&data_)) return static_cast<T>(*value);
    } else {
        static_assert(std::same_as<T, std::string_view> || std::same_as<T, std::string>);
        if (const std::string_view* value = std::get_if<std::string_view>(&data_)) return T(*value);
    }
    return std::nullopt;
}

template <typename T>
std::optional<T> GgufValue::uniform() const {
    const GgufArray* elements = array();
    if (elements == nullptr) return as<T>();
    std::optional<T> common;
    for (size_t i = 0; i < elements->size(); ++i) {
        const std::optional<T> element = (*elements)[i].template as<T>();
        if (!element || (common && *common != *element)) return std::nullopt;
        common = element;
    }
    return common;
}

template <typename T>
std::optional<std::vector<T>> GgufArray::as() const {
    std::vector<T> result;
    const size_t n = size();
    result.reserve(n);
    for (size_t i = 0; i < n; ++i) {
        std::optional<T> value = (*this)[i].as<T>();
        if (!value) return std::nullopt;
        result.push_back(std::move(*value));
    }
    return result;
}

}  // namespace vkmoe
