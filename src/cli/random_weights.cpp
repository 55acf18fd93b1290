#include "cli/random_weights.h"

#include "formats/quantize.h"
#include "formats/random_blocks.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <numbers>
#include <numeric>
#include <random>

namespace vkmoe::cli {
namespace {

constexpr uint64_t kMostChunk = 256;
constexpr uint64_t kPoolChunks = 8192;
constexpr uint64_t kPoolChunksATask = 256;
constexpr uint64_t kPortionBytes = uint64_t{8} << 20;
constexpr uint64_t kTasksAPortion = 32;

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a permutation of 64-bit numbers that looks random.
uint64_t mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
}

/// By Box and Muller, for std::normal_distribution gives other numbers in other standard libraries.
void fill_normal(std::mt19937_64& random, double deviation, std::span<float> out) {
    const auto uniform = [&random] {
        return (static_cast<double>(random() >> 11) + 1) * 0x1p-53;
    };  // over 0, to 1
    for (size_t i = 0; i < out.size(); i += 2) {
        const double radius = deviation * std::sqrt(-2 * std::log(uniform()));
        const double angle = 2 * std::numbers::pi * uniform();
        out[i] = static_cast<float>(radius * std::cos(angle));
        out[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
}

}  // namespace

uint64_t RandomWeights::chunk_length(uint64_t row_length) {
    return std::gcd(row_length, kMostChunk);
}

std::span<const std::byte> RandomWeights::pool(TensorType type, uint64_t row_length) {
    std::vector<std::byte>& pool = pools_[{type, row_length}];
    if (!pool.empty()) return pool;
    const uint64_t length = chunk_length(row_length);
    const uint64_t chunk_bytes = row_bytes(type, length);
    pool.resize(kPoolChunks * chunk_bytes);
    const uint64_t pool_seed = mix(mix(seed_ ^ static_cast<uint64_t>(type)) ^ row_length);
    const double deviation = 1 / std::sqrt(static_cast<double>(row_length));
    threads_.parallel_for(kPoolChunks / kPoolChunksATask, [&](size_t task) {
        std::mt19937_64 random(mix(pool_seed ^ task));
        std::vector<float> numbers(length);
        for (uint64_t i = 0; i < kPoolChunksATask; ++i) {
            std::byte* chunk = pool.data() + (task * kPoolChunksATask + i) * chunk_bytes;
            if (can_quantize(type)) {
                fill_normal(random, deviation, numbers);
                quantize_row(type, numbers.data(), chunk, length);
            } else {
                random_row(type, random(), deviation, chunk, length);
            }
        }
    });
    return pool;
}

void RandomWeights::produce(TensorType type, uint64_t row_length, uint64_t n_rows,
                            const GgufWriter::Sink& sink) {
    const uint64_t length = chunk_length(row_length);
    assert(length % tensor_type_info(type).block_elements == 0);
    const std::span<const std::byte> chunks = pool(type, row_length);
    const uint64_t chunk_bytes = row_bytes(type, length);
    const uint64_t matrix_seed = mix(seed_ ^ mix(++n_matrices_));
    const uint64_t n_chunks = row_length / length * n_rows;
    const uint64_t chunks_a_task = std::max<uint64_t>(1, kPortionBytes / chunk_bytes / kTasksAPortion);
    const uint64_t chunks_a_portion = chunks_a_task * kTasksAPortion;
    std::vector<std::byte> portion(std::min(n_chunks, chunks_a_portion) * chunk_bytes);
    for (uint64_t start = 0; start < n_chunks; start += chunks_a_portion) {
        const uint64_t n = std::min(chunks_a_portion, n_chunks - start);
        threads_.parallel_for((n + chunks_a_task - 1) / chunks_a_task, [&](size_t task) {
            const uint64_t end = std::min(n, (task + 1) * chunks_a_task);
            for (uint64_t i = task * chunks_a_task; i < end; ++i) {
                const uint64_t chosen = mix(matrix_seed ^ (start + i)) % kPoolChunks;
                std::memcpy(portion.data() + i * chunk_bytes, chunks.data() + chosen * chunk_bytes,
                            chunk_bytes);
            }
        });
        sink(std::span(portion).first(n * chunk_bytes));
    }
}

}  // namespace vkmoe::cli
