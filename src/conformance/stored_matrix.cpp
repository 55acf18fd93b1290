#include "conformance/stored_matrix.h"

#include "conformance/generators.h"
#include "formats/dequantize.h"
#include "formats/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

namespace vkmoe::conformance {
namespace {

/// Different blocks in one matrix: each is found by trying, which some types need many tries for.
constexpr size_t kMaxBlocks = 512;

void fill_with_bits(std::mt19937& random, std::span<std::byte> bytes) {
    for (size_t i = 0; i < bytes.size(); i += sizeof(uint32_t)) {
        const auto bits = static_cast<uint32_t>(random());
        std::memcpy(bytes.data() + i, &bits, std::min(sizeof bits, bytes.size() - i));
    }
}

float largest_magnitude(std::span<const float> values) {
    float largest = 0;
    for (float value : values) {
        if (!std::isfinite(value)) return value;
        largest = std::max(largest, std::abs(value));
    }
    return largest;
}

/// Of the largest magnitude of a block.
struct Range {
    float least = 0;
    float most = std::numeric_limits<float>::infinity();
};

void fill_block(std::mt19937& random, TensorType type, const Range* range, std::span<std::byte> block,
                std::span<float> values) {
    float largest = 0;
    bool overflows = false;
    do {
        fill_with_bits(random, block);
        dequantize_row(type, block.data(), values.data(), values.size());
        largest = largest_magnitude(values);
        // Scales of MXFP4 reach 2^127: numbers that overflow float32 here stay finite where products are of
        // integers.
        overflows = type == TensorType::kMXFP4 && std::isinf(largest);
    } while (overflows || (range != nullptr && !(largest >= range->least && largest <= range->most)));
}

/// Types with one number a block hold ordinary numbers, most of which random bits are not.
void fill_with_numbers(std::mt19937& random, TensorType type, StoredMatrix& matrix) {
    matrix.values = normal_numbers(random, matrix.values.size());
    quantize_row(type, matrix.values.data(), matrix.bytes.data(), matrix.values.size());
    dequantize_row(type, matrix.bytes.data(), matrix.values.data(), matrix.values.size());
}

}  // namespace

StoredMatrix random_matrix(std::mt19937& random, TensorType type, uint32_t n_rows, uint32_t n_columns,
                           Weights kind) {
    const TensorTypeInfo& info = tensor_type_info(type);
    StoredMatrix matrix{n_rows, n_columns, {}, {}};
    matrix.bytes.resize(row_bytes(type, n_columns) * n_rows);
    matrix.values.resize(size_t{n_rows} * n_columns);
    if (info.block_elements == 1 && kind == Weights::kSane) {
        fill_with_numbers(random, type, matrix);
        return matrix;
    }
    const size_t n_blocks = matrix.values.size() / info.block_elements;
    constexpr Range kUsual{0.25f, 4.0f};
    constexpr Range kSmall{0x1p-12f, 0x1p-7f};
    constexpr Range kLarge{0x1p+10f, 0x1p+14f};
    std::array<std::vector<size_t>, 2> made;  // blocks of the first columns of a growing row, and others
    for (size_t b = 0; b < n_blocks; ++b) {
        std::byte* bytes = matrix.bytes.data() + b * info.block_bytes;
        float* values = matrix.values.data() + b * info.block_elements;
        const bool is_small =
            kind == Weights::kGrowing && b * info.block_elements % n_columns < column_unit(type);
        std::vector<size_t>& pool = made[is_small ? 0 : 1];
        if (pool.size() < kMaxBlocks) {
            const Range& range = kind == Weights::kSane ? kUsual : is_small ? kSmall : kLarge;
            fill_block(random, type, kind == Weights::kAnyBits ? nullptr : &range, {bytes, info.block_bytes},
                       {values, info.block_elements});
            pool.push_back(b);
            continue;
        }
        const size_t from = pool[random_below(random, static_cast<uint32_t>(pool.size()))];
        std::copy_n(matrix.bytes.data() + from * info.block_bytes, info.block_bytes, bytes);
        std::copy_n(matrix.values.data() + from * info.block_elements, info.block_elements, values);
    }
    return matrix;
}

uint32_t column_unit(TensorType type) {
    return std::max<uint32_t>(32, tensor_type_info(type).block_elements);
}

std::vector<uint32_t> test_columns(std::mt19937& random, TensorType type) {
    std::vector<uint32_t> columns;
    for (uint32_t n : {32u, 64u, 96u, 128u, 192u, 256u, 288u, 384u, 512u, 768u, 2048u, 2880u})
        if (n % column_unit(type) == 0) columns.push_back(n);
    std::shuffle(columns.begin(), columns.end(), random);
    return columns;
}

}  // namespace vkmoe::conformance
