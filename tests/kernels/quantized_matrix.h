#pragma once

// What the tests of matrix kernels share: weights of every type in their stored layout, activations as each
// path reads them, experts' records scattered over memory, and the judgement of products.

#include "formats/dequantize.h"
#include "formats/quantize.h"
#include "kernels/activation.h"
#include "kernels/expert_matvec.h"
#include "kernels/kernel_fixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>

namespace vkmoe {

/// Weights as a file holds them, and the numbers that they stand for.
struct StoredMatrix {
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;
    std::vector<std::byte> bytes;
    std::vector<float> values;
};

/// 0 ... n - 1
inline uint32_t random_below(std::mt19937& random, uint32_t n) {
    return std::uniform_int_distribution<uint32_t>(0, n - 1)(random);
}

/// Normally distributed, in blocks of 32 of different sizes; products with weights are about 1 for any
/// length.
inline std::vector<float> random_activations(std::mt19937& random, uint32_t n_rows, uint32_t n_columns) {
    std::normal_distribution<float> normal(0, 1 / std::sqrt(static_cast<float>(n_columns)));
    std::uniform_int_distribution<int> exponent(-1, 1);
    std::vector<float> values(size_t{n_rows} * n_columns);
    float scale = 1;
    for (size_t i = 0; i < values.size(); ++i) {
        if (i % 32 == 0) scale = std::ldexp(1.0f, exponent(random));
        values[i] = scale * normal(random);
    }
    return values;
}

/// One block of random bits whose largest number is of magnitude 1/4 to 4, so that it can be seen beside the
/// others.
inline void fill_with_bits(std::mt19937& random, TensorType type, std::span<std::byte> block,
                           std::span<float> values) {
    float largest = 0;
    while (!(largest >= 0.25f && largest <= 4.0f)) {
        for (std::byte& byte : block) byte = static_cast<std::byte>(random());
        dequantize_row(type, block.data(), values.data(), values.size());
        largest = 0;
        for (float value : values) {
            if (!std::isfinite(value)) largest = value;
            if (std::abs(value) > largest) largest = std::abs(value);
        }
    }
}

/// Quantized random numbers in some blocks, random bits in the most: every pattern of quants and scales
/// occurs. Types with one number a block have numbers only.
inline StoredMatrix random_matrix(std::mt19937& random, TensorType type, uint32_t n_rows,
                                  uint32_t n_columns) {
    const TensorTypeInfo& info = tensor_type_info(type);
    StoredMatrix matrix{n_rows, n_columns, {}, {}};
    matrix.bytes.resize(row_bytes(type, n_columns) * n_rows);
    matrix.values.resize(size_t{n_rows} * n_columns);
    if (info.block_elements == 1) {
        std::normal_distribution<float> normal;
        for (float& value : matrix.values) value = normal(random);
        quantize_row(type, matrix.values.data(), matrix.bytes.data(), matrix.values.size());
        dequantize_row(type, matrix.bytes.data(), matrix.values.data(), matrix.values.size());
        return matrix;
    }
    std::normal_distribution<float> normal;
    for (size_t b = 0; b < matrix.values.size() / info.block_elements; ++b) {
        const std::span bytes = std::span(matrix.bytes).subspan(b * info.block_bytes, info.block_bytes);
        const std::span values =
            std::span(matrix.values).subspan(b * info.block_elements, info.block_elements);
        if (random_below(random, 8) != 0) {
            fill_with_bits(random, type, bytes, values);
            continue;
        }
        for (float& value : values) value = normal(random);
        quantize_row(type, values.data(), bytes.data(), values.size());
        dequantize_row(type, bytes.data(), values.data(), values.size());
    }
    return matrix;
}

/// The multiple of bytes that a matrix of this type may start at: that of its rows, at most 16.
inline uint64_t least_alignment(TensorType type) {
    const uint64_t unit = row_bytes(type, std::max<uint64_t>(32, tensor_type_info(type).block_elements));
    return unit % 16 == 0 ? 16 : 2;
}

/// Numbers of columns that kernels of this type must take.
inline std::vector<uint32_t> test_columns(TensorType type) {
    if (tensor_type_info(type).block_elements > 32) return {256, 512, 768, 2048};
    return {32, 256, 96, 512, 288, 768, 2880, 2048};
}

/// Rows of activations as a path reads them, and the numbers that they stand for.
struct StoredActivations {
    uint32_t n_columns = 0;
    std::vector<std::byte> bytes;
    std::vector<double> values;
};

/// Packs a block of 32 as quantize_q8 does (src/kernels/quantize_q8.h).
inline void pack_block(std::span<const float> x, std::byte* quants, std::byte* scale_sum,
                       std::span<double> values) {
    float largest = 0;
    bool numbers = true;
    for (float value : x) {
        largest = std::max(largest, std::abs(value));
        numbers = numbers && std::isfinite(value);
    }
    const float d = numbers ? largest / 127 : std::numeric_limits<float>::quiet_NaN();
    int sum = 0;
    for (size_t i = 0; i < x.size(); ++i) {
        const int q = numbers ? static_cast<int>(std::nearbyint(x[i] * (127 / largest))) : 0;
        quants[i] = static_cast<std::byte>(q);
        values[i] = double{d} * q;
        sum += q;
    }
    const float pair[2] = {d, d * static_cast<float>(sum)};
    std::memcpy(scale_sum, pair, sizeof pair);
}

inline StoredActivations store_activations(Path path, const std::vector<float>& rows, uint32_t n_columns) {
    StoredActivations stored{n_columns, {}, {rows.begin(), rows.end()}};
    const auto as_bytes = std::as_bytes(std::span(rows));
    stored.bytes.assign(as_bytes.begin(), as_bytes.end());
    if (path != Path::kDot4) return stored;
    stored.bytes.assign(rows.size() / n_columns * q8_row_bytes(n_columns), std::byte{0xFF});
    for (size_t block = 0; block < rows.size() / 32; ++block) {
        const size_t in_row = block % (n_columns / 32);
        std::byte* row = stored.bytes.data() + block / (n_columns / 32) * q8_row_bytes(n_columns);
        pack_block(std::span(rows).subspan(block * 32, 32), row + in_row * 32, row + n_columns + in_row * 8,
                   std::span(stored.values).subspan(block * 32, 32));
    }
    return stored;
}

/// What a number should be: its exact value, and the magnitude of the terms that make it up, which rounding
/// errors go with. Not written: its memory keeps the poison.
struct Expected {
    double value = 0;
    double magnitude = 0;
    bool written = true;
};

inline Expected dot(const StoredMatrix& matrix, uint32_t row, const StoredActivations& x, uint32_t x_row) {
    const float* w = matrix.values.data() + size_t{row} * matrix.n_columns;
    const double* v = x.values.data() + size_t{x_row} * x.n_columns;
    Expected product;
    for (uint32_t i = 0; i < matrix.n_columns; ++i) {
        const double term = w[i] * v[i];
        product.value += term;
        product.magnitude += std::abs(term);
    }
    return product;
}

/// silu(gate) * up; its magnitude covers the errors of both products and of an exponential.
inline Expected gated(const Expected& gate, const Expected& up) {
    const double silu = gate.value / (1 + std::exp(-gate.value));
    return {silu * up.value, 2 * (gate.magnitude * std::abs(up.value) + std::abs(silu) * up.magnitude)};
}

/// Every number within float32 rounding of its terms, NaN exactly where one is expected, untouched where none
/// is.
inline void expect_all(std::span<const Expected> expected, std::span<const float> actual) {
    constexpr double kTolerance = 2e-6;
    constexpr uint32_t kUntouched = 0xFFFFFFFF;
    ASSERT_EQ(expected.size(), actual.size());
    double error = 0;
    double size = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        const bool written = std::bit_cast<uint32_t>(actual[i]) != kUntouched;
        ASSERT_EQ(written, expected[i].written) << "number " << i << " of " << expected.size();
        if (!written) continue;
        ASSERT_EQ(std::isnan(actual[i]), std::isnan(expected[i].value))
            << "number " << i << " of " << expected.size();
        if (std::isnan(expected[i].value)) continue;
        const double difference = actual[i] - expected[i].value;
        ASSERT_LE(std::abs(difference), kTolerance * expected[i].magnitude)
            << "number " << i << " of " << expected.size() << " is " << actual[i] << ", not "
            << expected[i].value;
        error += difference * difference;
        size += expected[i].value * expected[i].value;
    }
    // A single number may be a small difference of large terms; many are not.
    if (expected.size() >= 32) {
        EXPECT_LE(error, 1e-9 * size);
    }
}

/// How pairs (token, slot) choose experts.
enum class Routing {
    kAny,      ///< several times one expert for a token, and experts that nobody chose, do occur
    kOne,      ///< all by one expert
    kInvalid,  ///< some ids name no expert
};

inline std::vector<uint32_t> random_ids(std::mt19937& random, uint32_t n_pairs, uint32_t n_experts,
                                        Routing routing) {
    const uint32_t one = random_below(random, n_experts);
    const std::array<uint32_t, 3> invalid = {n_experts, n_experts + 1, UINT32_MAX};
    std::vector<uint32_t> ids(n_pairs);
    for (uint32_t& id : ids) {
        id = routing == Routing::kOne ? one : random_below(random, n_experts);
        if (routing == Routing::kInvalid && random_below(random, 3) == 0)
            id = invalid[random_below(random, 3)];
    }
    return ids;
}

/// Experts of two matrices each, in device memory.
struct StoredExperts {
    ExpertTable table;
    std::array<uint64_t, 2> offsets{};
    std::vector<std::array<StoredMatrix, 2>> matrices;  // [n_experts]
};

class MatrixTest : public KernelTest {
  protected:
    /// Every (type, path) of the op that was built and that the device can run.
    std::vector<KernelKey> cells(Op op) {
        std::vector<KernelKey> found;
        for (const KernelBinary& cell : kernel_table()) {
            if (cell.key.op != op) continue;
            const std::vector<Path> runnable = paths(op, cell.key.type);
            if (std::find(runnable.begin(), runnable.end(), cell.key.path) != runnable.end())
                found.push_back(cell.key);
        }
        return found;
    }

    static std::string cell_name(const KernelKey& cell) {
        return fmt::format("{} {} {}", op_name(cell.op), tensor_type_info(cell.type).name,
                           path_name(cell.path));
    }

    /// The address of a copy that is aligned no better than the type demands, or (aligned) as memory comes.
    uint64_t upload_matrix(TensorType type, const StoredMatrix& matrix, bool aligned) {
        const uint64_t lead = aligned ? 0 : least_alignment(type);
        std::vector<std::byte> bytes(lead, std::byte{0xFF});
        bytes.insert(bytes.end(), matrix.bytes.begin(), matrix.bytes.end());
        return upload(bytes).address + lead;
    }

    /// Records in random order with gaps of NaN, aligned no better than the type demands.
    StoredExperts upload_experts(TensorType type, uint32_t n_experts, uint32_t n_rows, uint32_t n_columns) {
        const uint64_t unit = least_alignment(type);
        const uint64_t matrix_bytes = row_bytes(type, n_columns) * n_rows;
        auto gap = [&] { return (1 + random_below(random(), 5)) * unit; };
        StoredExperts experts;
        experts.offsets[0] = gap();
        experts.offsets[1] = experts.offsets[0] + (matrix_bytes + unit - 1) / unit * unit + gap();
        if (random_below(random(), 2) == 0) std::swap(experts.offsets[0], experts.offsets[1]);

        std::vector<uint32_t> order(n_experts);
        std::iota(order.begin(), order.end(), 0u);
        std::shuffle(order.begin(), order.end(), random());
        std::vector<std::byte> memory;
        std::vector<uint64_t> records(n_experts);
        experts.matrices.resize(n_experts);
        for (uint32_t expert : order) {
            records[expert] = (memory.size() + unit - 1) / unit * unit + gap();
            for (size_t m = 0; m < 2; ++m) {
                StoredMatrix& matrix = experts.matrices[expert][m];
                matrix = random_matrix(random(), type, n_rows, n_columns);
                const uint64_t at = records[expert] + experts.offsets[m];
                memory.resize(std::max(memory.size(), at + matrix_bytes), std::byte{0xFF});
                std::copy(matrix.bytes.begin(), matrix.bytes.end(),
                          memory.begin() + static_cast<std::ptrdiff_t>(at));
            }
        }
        const Allocation uploaded = upload(memory);
        for (uint64_t& record : records) record += uploaded.address;
        experts.table.records = upload(records).address;
        experts.table.n_experts = n_experts;
        experts.table.memory = {uploaded.address, uploaded.address + uploaded.size};
        return experts;
    }
};

}  // namespace vkmoe
