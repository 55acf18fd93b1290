#include "model/weights.h"

#include "base/error.h"
#include "formats/dequantize.h"

#include <algorithm>
#include <cmath>

namespace vkmoe {

namespace {

/// Matrices inside a record start at multiples of this many bytes, so that 16-byte loads are aligned.
constexpr uint64_t kMatrixAlignment = 64;

uint64_t align_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

void check_matrix_type(const GgufFile& file, const GgufTensor& tensor) {
    if (tensor.ne[0] % 32 != 0) {
        fail(ErrorCode::kUnsupported,
             "{}: tensor '{}' has rows of {} elements; this version supports multiples of 32", file.path(),
             tensor.name, tensor.ne[0]);
    }
}

std::string label_of(const GgufTensor& tensor) {
    return fmt::format("tensor '{}'", tensor.name);
}

}  // namespace

WeightLoader::WeightLoader(const GgufFile& file, Arena& arena, std::function<bool(float)> progress)
    : file_(file), arena_(&arena), uploader_(arena.shared_device()), progress_(std::move(progress)) {
    for (const GgufTensor& tensor : file.tensors()) total_bytes_ += tensor.n_bytes;
    if (arena.measures()) return;
    reader_.emplace(FileReaderOptions{.page_cache = PageCache::kKept});  // the next run reads it again
    for (size_t part = 0; part < file.n_parts(); ++part)
        parts_.push_back(reader_->add_file(file.part_path(part)));
}

Allocation WeightLoader::allocate(uint64_t bytes) {
    return arena_ == nullptr ? Allocation{} : arena_->allocate(bytes);
}

const GgufTensor& WeightLoader::use(const std::string& name, std::initializer_list<uint64_t> shape) {
    const GgufTensor& tensor = file_.tensor(name, shape);
    used_.insert(name);
    return tensor;
}

void WeightLoader::upload(const Allocation& to, const GgufTensor& tensor, uint64_t offset, uint64_t bytes) {
    if (!reader_) return;
    uploader_->read(to, *reader_, parts_[tensor.part], tensor.file_offset + offset, bytes, label_of(tensor));
    count(bytes);
}

void WeightLoader::copy(const Allocation& to, std::span<const std::byte> bytes) {
    if (uploader_) uploader_->copy(to, bytes);
}

void WeightLoader::count(uint64_t bytes) {
    done_bytes_ += bytes;
    if (progress_ && !progress_(share_done()))
        fail(ErrorCode::kCancelled, "loading {} was cancelled", file_.path());
}

/// A tensor as the host reads it.
std::vector<float> WeightLoader::numbers(const GgufTensor& tensor) {
    std::vector<std::byte> bytes(tensor.n_bytes);
    const FileRead read{parts_[tensor.part], tensor.file_offset, bytes};
    reader_->wait(reader_->submit({&read, 1}), label_of(tensor));
    std::vector<float> values(tensor.n_elements());
    dequantize_row(tensor.type, bytes.data(), values.data(), values.size());
    return values;
}

float WeightLoader::share_done() const {
    return static_cast<float>(static_cast<double>(done_bytes_) / static_cast<double>(total_bytes_));
}

Matrix WeightLoader::matrix(const std::string& name, uint32_t n_rows, uint32_t n_columns) {
    const GgufTensor& tensor = use(name, {n_columns, n_rows});
    check_matrix_type(file_, tensor);
    Allocation memory = allocate(tensor.n_bytes);
    upload(memory, tensor, 0, tensor.n_bytes);
    return {tensor.type, memory.address, n_rows, n_columns};
}

Matrix WeightLoader::optional_matrix(const std::string& name, uint32_t n_rows, uint32_t n_columns) {
    return file_.find_tensor(name) ? matrix(name, n_rows, n_columns) : Matrix{};
}

Vector WeightLoader::vector(const std::string& name, uint32_t size) {
    const GgufTensor& tensor = use(name, {size});
    Allocation memory = allocate(size * sizeof(float));
    if (reader_) {
        const std::vector<float> values = numbers(tensor);
        copy(memory, std::as_bytes(std::span(values)));
        count(tensor.n_bytes);
    }
    return {memory.address, size};
}

RecordPiece WeightLoader::piece(const GgufTensor& tensor, uint64_t bytes, uint64_t record_offset) const {
    const GgufLocation location = file_.location(tensor);
    return {.path = location.path,
            .file_offset = location.offset,
            .bytes = bytes,
            .record_offset = record_offset};
}

Experts WeightLoader::experts(uint32_t layer, const HyperParameters& hyper) {
    const uint64_t width = hyper.n_embedding;
    const uint64_t inner = hyper.n_expert_feed_forward;
    const std::string prefix = fmt::format("blk.{}.ffn_", layer);
    const GgufTensor& gate = use(prefix + "gate_exps.weight", {width, inner, hyper.n_experts});
    const GgufTensor& up = use(prefix + "up_exps.weight", {width, inner, hyper.n_experts});
    const GgufTensor& down = use(prefix + "down_exps.weight", {inner, width, hyper.n_experts});
    for (const GgufTensor* tensor : {&gate, &up, &down}) check_matrix_type(file_, *tensor);

    Experts experts{.gate_type = gate.type, .up_type = up.type, .down_type = down.type};
    const uint64_t gate_bytes = row_bytes(gate.type, width) * inner;
    const uint64_t up_bytes = row_bytes(up.type, width) * inner;
    const uint64_t down_bytes = row_bytes(down.type, inner) * width;
    experts.up_offset = align_up(gate_bytes, kMatrixAlignment);
    experts.down_offset = align_up(experts.up_offset + up_bytes, kMatrixAlignment);
    experts.record_bytes = experts.down_offset + down_bytes;

    experts.ordinal = static_cast<uint32_t>(records_.size());
    records_.push_back(
        {.block = layer,
         .record_bytes = experts.record_bytes,
         .pieces = {piece(gate, gate_bytes, experts.gate_offset), piece(up, up_bytes, experts.up_offset),
                    piece(down, down_bytes, experts.down_offset)}});
    if (leaves_experts_) return experts;

    std::vector<uint64_t> addresses;
    uint64_t begin = UINT64_MAX;
    uint64_t end = 0;
    for (uint32_t e = 0; e < hyper.n_experts; ++e) {
        Allocation record = allocate(experts.record_bytes);
        upload(record.slice(experts.gate_offset, gate_bytes), gate, e * gate_bytes, gate_bytes);
        upload(record.slice(experts.up_offset, up_bytes), up, e * up_bytes, up_bytes);
        upload(record.slice(experts.down_offset, down_bytes), down, e * down_bytes, down_bytes);
        addresses.push_back(record.address);
        begin = std::min(begin, record.address);
        end = std::max(end, record.address + record.size);
    }
    Allocation table = allocate(addresses.size() * sizeof(uint64_t));
    copy(table, std::as_bytes(std::span(addresses)));
    experts.table = {table.address, hyper.n_experts, {begin, end - begin}};
    return experts;
}

Allocation WeightLoader::rope_table(const HyperParameters& hyper) {
    std::vector<float> factors;
    const std::string name = "rope_freqs.weight";
    if (file_.find_tensor(name)) {
        const GgufTensor& tensor = use(name, {hyper.rope_dims / 2});
        if (reader_) factors = numbers(tensor);
        if (!std::ranges::all_of(factors, [](float factor) { return factor > 0 && std::isfinite(factor); })) {
            fail(ErrorCode::kBadFile, "{}: tensor '{}' has frequency factors that are not positive numbers",
                 file_.path(), name);
        }
    }
    std::vector<uint32_t> words =
        vkmoe::rope_table(hyper.rope_dims, hyper.rope_base, hyper.rope_scale, factors);
    Allocation memory = allocate(words.size() * sizeof(uint32_t));
    copy(memory, std::as_bytes(std::span(words)));
    return memory;
}

void WeightLoader::finish() {
    if (uploader_) uploader_->flush();
    for (const GgufTensor& tensor : file_.tensors()) {
        if (!used_.contains(std::string(tensor.name))) {
            fail(ErrorCode::kUnsupported,
                 "{}: tensor '{}' is unknown to architecture '{}' in this version, so results would be wrong",
                 file_.path(), tensor.name, file_.get<std::string>("general.architecture"));
        }
    }
}

std::vector<uint32_t> expert_layers(const Weights& weights) {
    std::vector<uint32_t> layers;
    for (uint32_t layer = 0; layer < weights.layers.size(); ++layer) {
        if (weights.layers[layer].router) layers.push_back(layer);
    }
    return layers;
}

}  // namespace vkmoe
