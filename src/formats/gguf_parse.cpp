#include "formats/gguf_parse.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "formats/file_kind.h"
#include "formats/foreign_types.h"

static_assert(std::endian::native == std::endian::little, "GGUF files are read in place, as little-endian");

namespace vkmoe {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kDefaultAlignment = 32;
constexpr uint32_t kMaxArrayDepth = 8;
constexpr uint64_t kMaxElements = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());

// The fewest bytes that each can take in a file: a bound on counts before anything is allocated for them.
constexpr uint64_t kMinEntryBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;
constexpr uint64_t kMinStringBytes = 8;
constexpr uint64_t kMinArrayBytes = 4 + 8;

/// a * b, or nothing where that does not fit.
std::optional<uint64_t> product(uint64_t a, uint64_t b) {
    if (b != 0 && a > kMaxElements / b) return std::nullopt;
    return a * b;
}

/// Thrown where a file goes on behind the bytes that were given.
struct NeedsMore {
    uint64_t bytes;  ///< from the file's start, at least
};

class Parser {
  public:
    /// bytes: those that the file of file_bytes begins with.
    Parser(const std::string& path, std::span<const std::byte> bytes, uint64_t file_bytes)
        : path_(path), bytes_(bytes), file_bytes_(file_bytes) {}

    GgufPart parse(uint32_t part) {
        GgufPart result{};
        read_magic();
        result.version = read_version();
        const uint64_t n_tensors = read<uint64_t>("the tensor count");
        const uint64_t n_entries = read<uint64_t>("the metadata count");
        check_count(n_entries, kMinEntryBytes, "metadata entries");
        check_count(n_tensors, kMinTensorBytes, "tensors");
        read_entries(n_entries, result);
        read_tensors(n_tensors, part, result);
        result.end = position_;
        place_tensors(result);
        return result;
    }

  private:
    template <typename... Args>
    [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
        fail(ErrorCode::kBadFile, "{}: {}", path_, fmt::format(format, std::forward<Args>(args)...));
    }

    uint64_t remaining() const { return file_bytes_ - position_; }

    /// The next n bytes; `what` is being read, for the message.
    const std::byte* take(uint64_t n, std::string_view what) {
        if (n > remaining()) {
            refuse_piece();
            bad("the file ends within {} ({} bytes needed at offset {}, {} left); it is cut short or "
                "damaged, so download or convert it again",
                what, n, position_, remaining());
        }
        if (n > bytes_.size() - position_) throw NeedsMore{position_ + n};
        const std::byte* start = bytes_.data() + position_;
        position_ += n;
        return start;
    }

    /// Where a file ends too early, that may be on purpose. A shard has metadata that say so, and is whole.
    void refuse_piece() const {
        if (is_shard_) return;
        if (const auto piece = recognize_piece(path_)) bad("not a complete GGUF file: {}", *piece);
    }

    template <typename T>
    T read(std::string_view what) {
        T value;
        std::memcpy(&value, take(sizeof value, what), sizeof value);
        return value;
    }

    std::string_view read_string(std::string_view what) {
        const uint64_t length = read<uint64_t>(what);
        return {reinterpret_cast<const char*>(take(length, what)), static_cast<size_t>(length)};
    }

    void check_count(uint64_t count, uint64_t min_bytes, std::string_view what) const {
        if (count > remaining() / min_bytes) {
            refuse_piece();
            bad("the header declares {} {}, more than fit in the {} bytes left; the file is cut short or "
                "damaged, so download or convert it again",
                count, what, remaining());
        }
    }

    void read_magic() {
        const std::string_view start(reinterpret_cast<const char*>(bytes_.data()),
                                     std::min<size_t>(bytes_.size(), kMagic.size()));
        if (start != kMagic) {
            if (const auto kind = recognize_file(bytes_, file_bytes_)) bad("not a GGUF file: {}", *kind);
            if (const auto piece = recognize_piece(path_)) bad("not a GGUF file by itself: {}", *piece);
            bad("not a GGUF file: it starts with \"{}\" instead of \"GGUF\"; give a model in GGUF format",
                printable(start));
        }
        position_ = kMagic.size();
    }

    uint32_t read_version() {
        const uint32_t version = read<uint32_t>("the version");
        if (version == 2 || version == 3) return version;
        if ((version & 0xFFFF) == 0 && version != 0) {
            fail(ErrorCode::kUnsupported,
                 "{}: this is a big-endian GGUF file; convert it to little-endian (gguf_convert_endian.py)",
                 path_);
        }
        fail(ErrorCode::kUnsupported, "{}: GGUF version {} is not supported (2 and 3 are); {}", path_,
             version,
             version < 2 ? "it was replaced in 2023, so download the model or convert the original again"
                         : "update vkmoe, or convert the model to version 3");
    }

    void read_entries(uint64_t count, GgufPart& result) {
        result.entries.reserve(count);
        std::unordered_set<std::string_view> keys;
        result.alignment = kDefaultAlignment;
        for (uint64_t i = 0; i < count; ++i) {
            const std::string_view key = read_string(fmt::format("the name of metadata key {}", i));
            key_ = key;
            if (key.empty())
                bad("metadata key {} has an empty name; the file is damaged, so convert it again", i);
            if (!keys.insert(key).second) {
                bad("metadata key '{}' appears twice; the file is damaged, so convert it again",
                    printable(key));
            }
            result.entries.push_back({key, read_value()});
            if (key == "split.count") is_shard_ = result.entries.back().value.as<uint16_t>().value_or(2) > 1;
            if (key == "general.alignment") result.alignment = to_alignment(result.entries.back().value);
        }
    }

    uint32_t to_alignment(const GgufValue& value) const {
        const std::optional<uint32_t> alignment = value.as<uint32_t>();
        if (!alignment || !std::has_single_bit(*alignment)) {
            bad("metadata key 'general.alignment' is {}, which is not a power of two; the file is damaged, "
                "so convert it again",
                describe(value));
        }
        return *alignment;
    }

    std::string value_words() const { return fmt::format("metadata key '{}'", printable(key_)); }

    GgufValueType read_value_type() {
        const uint32_t id = read<uint32_t>(value_words());
        if (id > static_cast<uint32_t>(GgufValueType::kFloat64)) {
            bad("{} has unknown value type {}; the file is damaged or newer than this version of vkmoe, so "
                "convert it again",
                value_words(), id);
        }
        return static_cast<GgufValueType>(id);
    }

    GgufValue read_value() {
        const GgufValueType type = read_value_type();
        if (type == GgufValueType::kString) return {type, read_string(value_words())};
        if (type == GgufValueType::kArray) return {type, read_array(1)};
        return read_scalars(type, 1)[0];
    }

    /// count * the size of one must not overflow.
    GgufArray read_scalars(GgufValueType type, uint64_t count) {
        const uint64_t size = gguf_scalar_bytes(type);
        const GgufArray array(type, std::span(take(count * size, value_words()), count * size));
        if (type == GgufValueType::kBool) {
            const auto is_bool = [](std::byte b) { return b <= std::byte{1}; };
            if (!std::ranges::all_of(array.scalars(), is_bool)) {
                bad("{} contains a bool that is neither 0 nor 1; the file is damaged, so convert it again",
                    value_words());
            }
        }
        return array;
    }

    void check_elements(uint64_t count, uint64_t min_bytes) const {
        if (count > remaining() / min_bytes) {
            refuse_piece();
            bad("{} declares {} elements, more than fit in the {} bytes left in the file; the file is cut "
                "short or damaged, so download or convert it again",
                value_words(), count, remaining());
        }
    }

    GgufArray read_array(uint32_t depth) {
        if (depth > kMaxArrayDepth) {
            bad("{} nests arrays more than {} levels deep; the file is damaged, so convert it again",
                value_words(), kMaxArrayDepth);
        }
        const GgufValueType type = read_value_type();
        const uint64_t count = read<uint64_t>(value_words());
        if (type == GgufValueType::kString) {
            check_elements(count, kMinStringBytes);
            std::vector<std::string_view> strings;
            strings.reserve(count);
            const std::string what = value_words();
            for (uint64_t i = 0; i < count; ++i) strings.push_back(read_string(what));
            return GgufArray(std::move(strings));
        }
        if (type == GgufValueType::kArray) {
            check_elements(count, kMinArrayBytes);
            std::vector<GgufArray> arrays;
            arrays.reserve(count);
            for (uint64_t i = 0; i < count; ++i) arrays.push_back(read_array(depth + 1));
            return GgufArray(std::move(arrays));
        }
        check_elements(count, gguf_scalar_bytes(type));
        return read_scalars(type, count);
    }

    void read_tensors(uint64_t count, uint32_t part, GgufPart& result) {
        result.tensors.reserve(count);
        std::unordered_set<std::string_view> names;
        for (uint64_t i = 0; i < count; ++i) {
            const GgufTensor tensor = read_tensor(i, part);
            if (!names.insert(tensor.name).second) {
                bad("tensor '{}' appears twice; the file is damaged, so convert it again",
                    printable(tensor.name));
            }
            result.tensors.push_back(tensor);
        }
    }

    /// Everything but the data, which place_tensors finds; until then file_offset counts from the data
    /// section.
    GgufTensor read_tensor(uint64_t index, uint32_t part) {
        GgufTensor tensor{};
        tensor.part = part;
        tensor.name = read_string(fmt::format("the name of tensor {}", index));
        if (tensor.name.empty())
            bad("tensor {} has an empty name; the file is damaged, so convert it again", index);
        const std::string what = fmt::format("tensor '{}'", printable(tensor.name));
        tensor.n_dims = read<uint32_t>(what);
        if (tensor.n_dims < 1 || tensor.n_dims > tensor.ne.size()) {
            bad("{} has {} dimensions instead of 1 to 4; the file is damaged, so convert it again", what,
                tensor.n_dims);
        }
        tensor.ne.fill(1);
        for (uint32_t i = 0; i < tensor.n_dims; ++i) tensor.ne[i] = read<uint64_t>(what);
        const uint32_t type_id = read<uint32_t>(what);
        tensor.type = to_tensor_type(type_id, what);
        tensor.file_offset = read<uint64_t>(what);
        return tensor;
    }

    TensorType to_tensor_type(uint32_t id, std::string_view what) const {
        if (const std::optional<TensorType> type = tensor_type_from_id(id)) return *type;
        const std::string foreign = describe_foreign_type(id);
        if (foreign.empty()) {
            bad("{} has unknown type id {}; the file is damaged or newer than this version of vkmoe, so "
                "download it again or update vkmoe",
                what, id);
        }
        fail(ErrorCode::kUnsupported,
             "{}: {} has type id {}, which is not supported; get the model as F16, BF16, Q8_0, Q4_0, Q4_K_M, "
             "Q5_K_M or Q6_K",
             path_, what, foreign);
    }

    /// Bytes of a tensor; checks its shape.
    uint64_t data_bytes(const GgufTensor& tensor) const {
        const auto [type, type_name, block_elements, block_bytes] = tensor_type_info(tensor.type);
        std::optional<uint64_t> n_elements = 1;
        for (const uint64_t dimension : tensor.ne) {
            n_elements = product(*n_elements, dimension);
            if (!n_elements || *n_elements == 0) {
                bad("tensor '{}' has the impossible shape {}; the file is damaged, so convert it again",
                    printable(tensor.name), shape_string(tensor.shape()));
            }
        }
        if (tensor.ne[0] % block_elements != 0) {
            bad("tensor '{}' of type {} has rows of {} elements, not a multiple of the block size {}; the "
                "file is damaged, so convert it again",
                printable(tensor.name), type_name, tensor.ne[0], block_elements);
        }
        const std::optional<uint64_t> size = product(*n_elements / block_elements, block_bytes);
        if (!size) {
            bad("tensor '{}' has the impossible shape {}; the file is damaged, so convert it again",
                printable(tensor.name), shape_string(tensor.shape()));
        }
        return *size;
    }

    void place_tensors(GgufPart& result) {
        if (result.tensors.empty()) return;
        const uint64_t mask = uint64_t{result.alignment} - 1;
        const uint64_t data_start = (position_ + mask) & ~mask;
        const uint64_t section = file_bytes_ > data_start ? file_bytes_ - data_start : 0;
        for (GgufTensor& tensor : result.tensors) {
            tensor.n_bytes = data_bytes(tensor);
            if ((tensor.file_offset & mask) != 0) {
                bad("tensor '{}' is at offset {}, which is not aligned to {}; the file is damaged, so "
                    "convert it again",
                    printable(tensor.name), tensor.file_offset, result.alignment);
            }
        }
        check_layout(result, section);
        for (GgufTensor& tensor : result.tensors) {
            tensor.file_offset += data_start;
            result.end = std::max(result.end, tensor.file_offset + tensor.n_bytes);
        }
    }

    /// Types are told apart by the number of bytes: in the order of offsets each tensor begins where the one
    /// before ends, padded to the alignment. Other sizes are those of another program's type that has one of
    /// our ids. The last tensor may lack its padding.
    void check_layout(const GgufPart& result, uint64_t section) const {
        std::vector<const GgufTensor*> sorted;
        sorted.reserve(result.tensors.size());
        for (const GgufTensor& tensor : result.tensors) sorted.push_back(&tensor);
        std::ranges::sort(sorted, {}, &GgufTensor::file_offset);
        const uint64_t mask = uint64_t{result.alignment} - 1;
        for (size_t i = 0; i + 1 < sorted.size(); ++i) {
            const uint64_t found = sorted[i + 1]->file_offset - sorted[i]->file_offset;
            const uint64_t padded = (sorted[i]->n_bytes + mask) & ~mask;
            if (found != padded) fail_size(*sorted[i], found, "the next tensor");
        }
        for (const GgufTensor& tensor : result.tensors) {
            if (tensor.file_offset > section || tensor.n_bytes > section - tensor.file_offset) {
                refuse_piece();
                bad("tensor '{}' ({} bytes at offset {} of the data) extends past the end of the file ({} "
                    "bytes of data); the file is cut short or damaged, so download or convert it again",
                    printable(tensor.name), tensor.n_bytes, tensor.file_offset, section);
            }
        }
        if (const uint64_t gap = sorted[0]->file_offset; gap != 0) {
            bad("the data begins with {} bytes that belong to no tensor; the file is damaged, so convert it "
                "again",
                gap);
        }
        const GgufTensor& last = *sorted.back();
        const uint64_t found = section - last.file_offset;
        // Of a shard, whoever opens the file looks at what follows: it may be another one, joined by cat.
        if (!is_shard_ && found > ((last.n_bytes + mask) & ~mask))
            fail_size(last, found, "the end of the file");
    }

    [[noreturn]] void fail_size(const GgufTensor& tensor, uint64_t found, std::string_view next) const {
        bad("tensor '{}' has {} bytes up to {}, but its type {} (id {}) and shape {} need {}; the type id "
            "belongs to another program's type, or the file is damaged; convert the model with llama.cpp's "
            "converter",
            printable(tensor.name), found, next, tensor_type_info(tensor.type).name,
            static_cast<uint32_t>(tensor.type), shape_string(tensor.shape()), tensor.n_bytes);
    }

    const std::string& path_;
    std::span<const std::byte> bytes_;
    const uint64_t file_bytes_;
    size_t position_ = 0;
    std::string_view key_;  // of the metadata entry that is being read
    bool is_shard_ = false;
};

}  // namespace

GgufPart parse_gguf_part(const std::string& path, std::span<const std::byte> bytes, uint32_t part) {
    return Parser(path, bytes, bytes.size()).parse(part);
}

GgufPart read_gguf_part(const InputFile& file, uint32_t part, std::vector<std::byte>& header) {
    // What vocabularies and long lists of tensors take is some ten MiB.
    constexpr uint64_t kFirstBytes = 1 << 20;
    constexpr uint64_t kMostBytes = 1 << 30;
    uint64_t wanted = kFirstBytes;
    while (true) {
        const size_t before = header.size();
        header.resize(std::min(std::max<uint64_t>(wanted, 2 * before), file.size()));
        file.read(before, std::span(header).subspan(before));
        try {
            return Parser(file.path(), header, file.size()).parse(part);
        } catch (const NeedsMore& more) {
            wanted = more.bytes;
        }
        if (wanted > kMostBytes) {
            fail(ErrorCode::kBadFile,
                 "{}: the metadata takes more than {} MiB; the file is damaged, so download or convert it "
                 "again",
                 file.path(), kMostBytes >> 20);
        }
    }
}

}  // namespace vkmoe
