#include "formats/gguf_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>

namespace vkmoe {
namespace {

struct ValueTypeInfo {
    std::string_view name;
    uint32_t bytes;
};

// By id.
constexpr std::array<ValueTypeInfo, 13> kValueTypes = {{{"u8", 1},
                                                        {"i8", 1},
                                                        {"u16", 2},
                                                        {"i16", 2},
                                                        {"u32", 4},
                                                        {"i32", 4},
                                                        {"f32", 4},
                                                        {"bool", 1},
                                                        {"string", 0},
                                                        {"array", 0},
                                                        {"u64", 8},
                                                        {"i64", 8},
                                                        {"f64", 8}}};

template <typename T>
T load(const std::byte* bytes) {
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

GgufValue load_scalar(GgufValueType type, const std::byte* bytes) {
    switch (type) {
        case GgufValueType::kUint8:
            return {type, uint64_t{load<uint8_t>(bytes)}};
        case GgufValueType::kInt8:
            return {type, int64_t{load<int8_t>(bytes)}};
        case GgufValueType::kUint16:
            return {type, uint64_t{load<uint16_t>(bytes)}};
        case GgufValueType::kInt16:
            return {type, int64_t{load<int16_t>(bytes)}};
        case GgufValueType::kUint32:
            return {type, uint64_t{load<uint32_t>(bytes)}};
        case GgufValueType::kInt32:
            return {type, int64_t{load<int32_t>(bytes)}};
        case GgufValueType::kFloat32:
            return {type, double{load<float>(bytes)}};
        case GgufValueType::kUint64:
            return {type, load<uint64_t>(bytes)};
        case GgufValueType::kInt64:
            return {type, load<int64_t>(bytes)};
        case GgufValueType::kFloat64:
            return {type, load<double>(bytes)};
        case GgufValueType::kBool:
        case GgufValueType::kString:
        case GgufValueType::kArray:
            break;
    }
    return {GgufValueType::kBool, load<uint8_t>(bytes) != 0};
}

/// Bytes of the UTF-8 character that text starts with when it is well formed and no control character, else
/// 0.
size_t printable_length(std::string_view text) {
    const auto byte = [&text](size_t i) { return static_cast<uint8_t>(text[i]); };
    const uint8_t lead = byte(0);
    if (lead < 0x80) return lead >= 0x20 && lead != 0x7F ? 1 : 0;
    const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
    uint32_t code = lead & (0x7Fu >> length);
    for (size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return 0;
        code = (code << 6) | (byte(i) & 0x3Fu);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    const bool control = code < 0xA0 || code == 0x2028 || code == 0x2029;
    return overlong || surrogate || control || code > 0x10FFFF ? 0 : length;
}

std::string describe_array(const GgufArray& array, size_t max_elements, size_t max_characters) {
    const size_t n = array.size();
    const size_t shown = std::min(n, max_elements);
    std::string text = "[";
    for (size_t i = 0; i < shown; ++i) {
        if (i > 0) text += ", ";
        text += describe(array[i], max_elements, max_characters);
    }
    if (shown < n) fmt::format_to(std::back_inserter(text), "{}... {} in all", shown > 0 ? ", " : "", n);
    return text + "]";
}

}  // namespace

std::string_view gguf_value_type_name(GgufValueType type) {
    return kValueTypes[static_cast<size_t>(type)].name;
}

uint32_t gguf_scalar_bytes(GgufValueType type) {
    return kValueTypes[static_cast<size_t>(type)].bytes;
}

GgufArray::GgufArray(GgufValueType element_type, std::span<const std::byte> scalars)
    : element_type_(element_type), scalars_(scalars) {}

GgufArray::GgufArray(std::vector<std::string_view> strings)
    : element_type_(GgufValueType::kString), strings_(std::move(strings)) {}

GgufArray::GgufArray(std::vector<GgufArray> arrays)
    : element_type_(GgufValueType::kArray), arrays_(std::move(arrays)) {}

size_t GgufArray::size() const {
    if (element_type_ == GgufValueType::kString) return strings_.size();
    if (element_type_ == GgufValueType::kArray) return arrays_.size();
    return scalars_.size() / gguf_scalar_bytes(element_type_);
}

GgufValue GgufArray::operator[](size_t i) const {
    if (element_type_ == GgufValueType::kString) return {element_type_, strings_[i]};
    if (element_type_ == GgufValueType::kArray) return {element_type_, arrays_[i]};
    return load_scalar(element_type_, scalars_.data() + i * gguf_scalar_bytes(element_type_));
}

std::string describe(const GgufValue& value, size_t max_elements, size_t max_characters) {
    if (const GgufArray* array = value.array()) return describe_array(*array, max_elements, max_characters);
    if (const auto text = value.as<std::string_view>())
        return fmt::format("\"{}\"", printable(*text, max_characters));
    if (const auto flag = value.as<bool>()) return *flag ? "true" : "false";
    if (value.type() == GgufValueType::kFloat32) return fmt::format("{}", *value.as<float>());
    if (const auto number = value.as<double>()) return fmt::format("{}", *number);
    if (const auto number = value.as<uint64_t>()) return fmt::format("{}", *number);
    return fmt::format("{}", *value.as<int64_t>());
}

std::string printable(std::string_view text, size_t max_characters) {
    std::string result;
    size_t characters = 0;
    while (!text.empty()) {
        if (characters++ == max_characters) return result + "...";
        size_t length = printable_length(text);
        if (length > 0) {
            result += text.substr(0, length);
        } else {
            length = 1;
            const char c = text.front();
            if (c == '\n') {
                result += "\\n";
            } else if (c == '\t') {
                result += "\\t";
            } else {
                fmt::format_to(std::back_inserter(result), "\\x{:02x}", static_cast<uint8_t>(c));
            }
        }
        text.remove_prefix(length);
    }
    return result;
}

}  // namespace vkmoe
