#include "experts/trace.h"

#include "base/error.h"
#include "base/input_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

namespace vkmoe {
namespace {

constexpr std::array<char, 8> kMagic = {'V', 'K', 'M', 'O', 'E', 'T', 'R', 'C'};
constexpr uint32_t kVersion = 1;
constexpr uint32_t kMaxExperts = 65536;
constexpr uint32_t kMaxLayers = 65536;
constexpr size_t kMaxName = 1024;

// What a record begins with.
constexpr uint8_t kTokenMark = 0;
constexpr uint8_t kSequenceMark = 1;
constexpr uint8_t kEndMark = 2;
constexpr size_t kEndSize = 1 + 8;

size_t id_bytes(const TraceShape& shape) {
    return shape.n_experts <= 256 ? 1 : 2;
}

/// Why no trace can have the shape; empty where one can.
std::string shape_fault(const TraceShape& shape) {
    if (shape.n_layers == 0 || shape.n_layers > kMaxLayers)
        return fmt::format("{} layers, not 1 to {}", shape.n_layers, kMaxLayers);
    if (shape.n_experts == 0 || shape.n_experts > kMaxExperts)
        return fmt::format("{} experts per layer, not 1 to {}", shape.n_experts, kMaxExperts);
    if (shape.n_used == 0 || shape.n_used > shape.n_experts)
        return fmt::format("{} experts per token, not 1 to {}", shape.n_used, shape.n_experts);
    if (shape.n_predicted > shape.n_experts)
        return fmt::format("{} predicted experts, not 0 to {}", shape.n_predicted, shape.n_experts);
    if (shape.model.size() > kMaxName)
        return fmt::format("a model name of {} bytes, more than {}", shape.model.size(), kMaxName);
    return {};
}

/// Reads little-endian numbers from the front of a file.
class Reader {
  public:
    Reader(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

    std::span<const std::byte> take(size_t n, std::string_view what) {
        if (n > bytes_.size() - at_) {
            fail(ErrorCode::kBadFile,
                 "'{}' ends at byte {}, within {}; the trace is truncated, so record it again", path_,
                 bytes_.size(), what);
        }
        at_ += n;
        return bytes_.subspan(at_ - n, n);
    }

    uint64_t number(size_t n, std::string_view what) {
        uint64_t value = 0;
        const std::span<const std::byte> taken = take(n, what);
        for (size_t i = 0; i < n; ++i) value |= std::to_integer<uint64_t>(taken[i]) << (8 * i);
        return value;
    }

    size_t at() const { return at_; }
    size_t left() const { return bytes_.size() - at_; }

  private:
    std::span<const std::byte> bytes_;
    const std::string& path_;
    size_t at_ = 0;
};

TraceShape read_shape(Reader& reader, const std::string& path) {
    constexpr std::string_view kHeader = "its header";
    if (reader.left() < kMagic.size() ||
        std::memcmp(reader.take(kMagic.size(), kHeader).data(), kMagic.data(), kMagic.size()) != 0) {
        fail(ErrorCode::kBadFile,
             "'{}' is not a routing trace (it does not begin with {}); record one with `vkmoe routes`", path,
             std::string_view(kMagic.data(), kMagic.size()));
    }
    const uint64_t version = reader.number(4, kHeader);
    if (version != kVersion) {
        fail(ErrorCode::kUnsupported, "'{}' is a routing trace of version {}; only version {} is supported",
             path, version, kVersion);
    }
    TraceShape shape;
    shape.n_layers = static_cast<uint32_t>(reader.number(4, kHeader));
    shape.n_experts = static_cast<uint32_t>(reader.number(4, kHeader));
    shape.n_used = static_cast<uint32_t>(reader.number(4, kHeader));
    shape.n_predicted = static_cast<uint32_t>(reader.number(4, kHeader));
    const size_t name_size = reader.number(4, kHeader);
    if (name_size > kMaxName) {
        fail(ErrorCode::kBadFile, "'{}': the header declares a model name of {} bytes, more than {}", path,
             name_size, kMaxName);
    }
    const std::span<const std::byte> name = reader.take(name_size, kHeader);
    shape.model.resize(name_size);
    std::transform(name.begin(), name.end(), shape.model.begin(),
                   [](std::byte byte) { return static_cast<char>(byte); });
    const std::string fault = shape_fault(shape);
    if (!fault.empty()) fail(ErrorCode::kBadFile, "'{}': the header declares {}", path, fault);
    return shape;
}

/// Experts are checked; a token, a layer and the path are for the message.
class TokenReader {
  public:
    TokenReader(Reader& reader, RoutingTrace& trace, const std::string& path)
        : reader_(reader), trace_(trace), path_(path), id_bytes_(id_bytes(trace.shape)) {}

    void read() {
        const TraceShape& shape = trace_.shape;
        for (uint32_t layer = 0; layer < shape.n_layers; ++layer) {
            ids(trace_.ids, shape.n_used, layer);
            if (layer + 1 == shape.n_layers) break;
            ids(trace_.predicted, shape.n_predicted, layer);
            for (uint32_t i = 0; i < shape.n_predicted; ++i)
                trace_.probabilities.push_back(static_cast<uint16_t>(reader_.number(2, kToken)));
        }
        ++trace_.n_tokens;
    }

  private:
    static constexpr std::string_view kToken = "a token";

    void ids(std::vector<uint16_t>& to, uint32_t n, uint32_t layer) {
        for (uint32_t i = 0; i < n; ++i) {
            const size_t at = reader_.at();
            const uint64_t id = reader_.number(id_bytes_, kToken);
            if (id >= trace_.shape.n_experts) {
                fail(ErrorCode::kBadFile, "'{}': byte {} (token {}, layer {}) names expert {} of {}", path_,
                     at, trace_.n_tokens, layer, id, trace_.shape.n_experts);
            }
            to.push_back(static_cast<uint16_t>(id));
        }
    }

    Reader& reader_;
    RoutingTrace& trace_;
    const std::string& path_;
    size_t id_bytes_;
};

}  // namespace

std::span<const uint16_t> RoutingTrace::used(size_t token, uint32_t layer) const {
    return std::span(ids).subspan((token * shape.n_layers + layer) * shape.n_used, shape.n_used);
}

std::span<const uint16_t> RoutingTrace::predicted_next(size_t token, uint32_t layer) const {
    if (layer + 1 >= shape.n_layers) return {};
    return std::span(predicted).subspan((token * (shape.n_layers - 1) + layer) * shape.n_predicted,
                                        shape.n_predicted);
}

std::span<const uint16_t> RoutingTrace::predicted_probabilities(size_t token, uint32_t layer) const {
    if (layer + 1 >= shape.n_layers) return {};
    return std::span(probabilities)
        .subspan((token * (shape.n_layers - 1) + layer) * shape.n_predicted, shape.n_predicted);
}

uint16_t stored_probability(float probability) {
    // Comparisons with NaN are false.
    if (!(probability > 0)) return 0;
    return static_cast<uint16_t>(std::min(probability * 65536.0F, 65535.0F));
}

TraceWriter::TraceWriter(std::string path, TraceShape shape)
    : file_(std::move(path)), shape_(std::move(shape)) {
    const std::string fault = shape_fault(shape_);
    if (!fault.empty())
        fail(ErrorCode::kInvalidArgument, "'{}': a trace cannot have {}", file_.path(), fault);
    file_.write(std::string_view(kMagic.data(), kMagic.size()));
    const size_t sizes[] = {kVersion,      shape_.n_layers,    shape_.n_experts,
                            shape_.n_used, shape_.n_predicted, shape_.model.size()};
    for (const size_t value : sizes) put(value, 4);
    file_.write(record_);
    file_.write(shape_.model);
}

void TraceWriter::put(uint64_t value, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; ++i) record_.push_back(static_cast<std::byte>(value >> (8 * i)));
}

void TraceWriter::put_ids(std::span<const uint32_t> ids) {
    for (const uint32_t id : ids) {
        if (id >= shape_.n_experts) {
            fail(ErrorCode::kInvalidArgument, "'{}': token {} names expert {}, but a layer has {}",
                 file_.path(), n_tokens_, id, shape_.n_experts);
        }
        put(id, id_bytes(shape_));
    }
}

void TraceWriter::add_token(std::span<const uint32_t> ids, std::span<const uint32_t> predicted,
                            std::span<const float> probabilities) {
    const size_t n_predicted = size_t{shape_.n_layers - 1} * shape_.n_predicted;
    if (ids.size() != size_t{shape_.n_layers} * shape_.n_used || predicted.size() != n_predicted ||
        probabilities.size() != n_predicted) {
        fail(ErrorCode::kInvalidArgument,
             "'{}': a token came with {} experts, {} predicted ones and {} probabilities; the trace needs "
             "{}, {} and {}",
             file_.path(), ids.size(), predicted.size(), probabilities.size(),
             size_t{shape_.n_layers} * shape_.n_used, n_predicted, n_predicted);
    }
    record_.clear();
    put(sequence_begins_ ? kSequenceMark : kTokenMark, 1);
    for (uint32_t layer = 0; layer < shape_.n_layers; ++layer) {
        put_ids(ids.subspan(size_t{layer} * shape_.n_used, shape_.n_used));
        if (layer + 1 == shape_.n_layers) break;
        const size_t first = size_t{layer} * shape_.n_predicted;
        put_ids(predicted.subspan(first, shape_.n_predicted));
        for (const float probability : probabilities.subspan(first, shape_.n_predicted))
            put(stored_probability(probability), 2);
    }
    file_.write(record_);
    sequence_begins_ = false;
    ++n_tokens_;
}

void TraceWriter::finish() {
    if (n_tokens_ == 0)
        fail(ErrorCode::kInvalidArgument, "'{}': a trace needs at least one token", file_.path());
    record_.clear();
    put(kEndMark, 1);
    put(n_tokens_, 8);
    file_.write(record_);
    file_.commit();
}

RoutingTrace parse_trace(std::span<const std::byte> bytes, const std::string& path) {
    Reader reader(bytes, path);
    RoutingTrace trace;
    trace.shape = read_shape(reader, path);
    TokenReader token(reader, trace, path);
    while (true) {
        const size_t at = reader.at();
        const uint64_t mark = reader.number(1, "the list of tokens");
        if (mark == kEndMark) break;
        if (mark > kEndMark || (trace.n_tokens == 0 && mark != kSequenceMark)) {
            fail(ErrorCode::kBadFile, "'{}': byte {} is {}, but a token or the end should begin there", path,
                 at, mark);
        }
        if (mark == kSequenceMark) trace.sequences.push_back(trace.n_tokens);
        token.read();
    }
    const uint64_t n_tokens = reader.number(kEndSize - 1, "its end");
    if (n_tokens != trace.n_tokens || n_tokens == 0) {
        fail(ErrorCode::kBadFile, "'{}' contains {} tokens, but its end counts {}", path, trace.n_tokens,
             n_tokens);
    }
    if (reader.left() != 0) {
        fail(ErrorCode::kBadFile, "'{}': {} bytes follow the end of the trace", path, reader.left());
    }
    return trace;
}

RoutingTrace read_trace(const std::string& path) {
    return parse_trace(read_whole_file(path), path);
}

}  // namespace vkmoe
