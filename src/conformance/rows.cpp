#include "conformance/rows.h"

#include "conformance/generators.h"
#include "kernels/activation.h"

#include <algorithm>
#include <cmath>

namespace vkmoe::conformance {
namespace {

/// Blocks below it are all zeros (kernels/quantize_q8.h).
constexpr double kLeastBlock = 0x1p-118;
/// Of a scale and of a quant before it is rounded: a division and a product in float32.
constexpr double kRounding = 5e-7;

struct PackedBlock {
    std::span<const std::byte> quants;
    float scale;
    float scaled_sum;

    int quant(size_t i) const { return static_cast<int8_t>(quants[i]); }
};

PackedBlock packed_block(std::span<const std::byte> row, uint32_t n_columns, uint32_t block) {
    float pair[2];
    std::memcpy(pair, row.data() + n_columns + size_t{block} * 8, sizeof pair);
    return {row.subspan(size_t{block} * 32, 32), pair[0], pair[1]};
}

/// first: the index of the block's first number.
void check_block(std::string_view what, uint64_t first, uint64_t count, std::span<const Expected> expected,
                 const PackedBlock& actual, double relative) {
    const auto error = [&](const Expected& e) { return relative * e.magnitude + e.floor; };
    double largest = 0;
    double largest_error = 0;
    bool finite = true;
    for (const Expected& e : expected) {
        finite = finite && std::isfinite(e.value);
        largest = std::max(largest, std::abs(e.value));
        largest_error = std::max(largest_error, error(e));
    }
    int sum = 0;
    for (size_t i = 0; i < 32; ++i) sum += actual.quant(i);
    const auto fail_scale = [&](std::string_view wanted) {
        fail_element(what, first, count, fmt::format("in a block whose scale is {}", wanted),
                     fmt::format("in one whose scale is {} and whose scaled sum is {}", actual.scale,
                                 actual.scaled_sum));
    };

    if (!finite) {
        if (std::isfinite(actual.scale) || std::isfinite(actual.scaled_sum)) fail_scale("not finite");
        return;
    }
    const bool may_vanish = largest - largest_error < kLeastBlock;
    const bool vanishes = actual.scale == 0 && may_vanish;
    const bool must_vanish = largest + largest_error < kLeastBlock;
    const double scale = must_vanish ? 0 : largest / 127;
    const double scale_error = must_vanish ? 0 : (largest_error + kRounding * largest) / 127;
    if (!vanishes && !(std::abs(actual.scale - scale) <= scale_error))
        fail_scale(fmt::format("{:.9g}", scale));
    for (size_t i = 0; i < 32; ++i) {
        const double exact = vanishes ? 0 : expected[i].value * 127 / largest;
        const double margin =
            vanishes ? 0 : 0.5 + 127 * ((error(expected[i]) + largest_error) / largest + 2 * kRounding);
        if (std::abs(actual.quant(i) - exact) <= margin) continue;
        fail_element(what, first + i, count, fmt::format("a quant near {:.4f}", exact),
                     fmt::format("{}", actual.quant(i)));
    }
    const double product = double{actual.scale} * sum;
    if (!(std::abs(actual.scaled_sum - product) <= 1e-6 * std::abs(product))) {
        fail_element(what, first, count, fmt::format("in a block whose scaled sum is {:.9g}", product),
                     fmt::format("in one whose scaled sum is {}", actual.scaled_sum));
    }
}

}  // namespace

Residual random_residual(std::mt19937& random) {
    return static_cast<Residual>(random_below(random, 3));
}

uint64_t place_residual(CaseContext& c, Residual residual, const std::vector<float>& values,
                        TypedOutput<float>& result) {
    switch (residual) {
        case Residual::kNone:
            return 0;
        case Residual::kApart:
            return c.upload(values).address;
        case Residual::kInPlace:
            result.fill(values);
            return result.address();
    }
    return 0;
}

void add_shared_block_cases(std::vector<Case>& cases, const KernelKey& cell, Depth depth,
                            void (*check)(CaseContext&, const KernelKey&, const RowTuning&)) {
    if (cell.path == Path::kScalar) return;
    const auto add = [&](const char* name, uint32_t lanes) {
        cases.push_back(
            {name, [=](CaseContext& c) {
                 check(c, cell, {c.plan().workgroup_size, std::min(lanes, c.plan().subgroup_size)});
             }});
    };
    add("blocks shared by eight lanes", 8);
    if (depth == Depth::kQuick) return;
    add("blocks shared by two lanes", 2);
    add("blocks shared by four lanes", 4);
}

void check_packed_rows(std::string_view what, std::span<const Expected> expected,
                       std::span<const std::byte> packed, uint32_t n_columns, double relative) {
    const uint64_t row_bytes = q8_row_bytes(n_columns);
    const uint64_t n_rows = expected.size() / n_columns;
    require(packed.size() == n_rows * row_bytes, "{}: {} bytes, not {}", what, packed.size(),
            n_rows * row_bytes);
    for (uint64_t row = 0; row < n_rows; ++row) {
        for (uint32_t block = 0; block < n_columns / 32; ++block) {
            const uint64_t first = row * n_columns + size_t{block} * 32;
            check_block(what, first, expected.size(), expected.subspan(first, 32),
                        packed_block(packed.subspan(row * row_bytes, row_bytes), n_columns, block), relative);
        }
    }
}

void check_row_choice(CaseContext& c, std::string_view what, uint32_t n_rows,
                      std::span<const uint64_t> row_bytes,
                      const std::function<Dispatch(std::span<const uint64_t>, const RowChoice&)>& make) {
    constexpr uint32_t kExperts = 5;
    std::vector<uint32_t> ids(n_rows);
    for (uint32_t& id : ids) {
        const uint32_t drawn = static_cast<uint32_t>(c.random()() % (2 * kExperts));
        id = drawn == kExperts + 1 ? UINT32_MAX : drawn;
    }
    std::vector<std::vector<std::byte>> before;
    std::vector<TypedOutput<std::byte>> all;
    std::vector<TypedOutput<std::byte>> chosen;
    std::vector<uint64_t> all_addresses;
    std::vector<uint64_t> chosen_addresses;
    for (uint64_t bytes : row_bytes) {
        std::vector<std::byte>& old = before.emplace_back(n_rows * bytes);
        for (std::byte& byte : old) byte = static_cast<std::byte>(c.random()());
        all_addresses.push_back(all.emplace_back(c.output<std::byte>(old.size())).address());
        chosen_addresses.push_back(chosen.emplace_back(c.output<std::byte>(old.size())).address());
        all.back().fill(old);
        chosen.back().fill(old);
    }
    const RowChoice choice{.ids = c.upload(ids).address, .n_experts = kExperts};
    c.run({make(all_addresses, {}), make(chosen_addresses, choice)});
    for (size_t i = 0; i < row_bytes.size(); ++i) {
        const std::vector<std::byte> complete = all[i].read();
        std::vector<std::byte> expected = before[i];
        for (uint32_t row = 0; row < n_rows; ++row) {
            const auto first = complete.begin() + static_cast<std::ptrdiff_t>(row * row_bytes[i]);
            if (ids[row] < kExperts)
                std::copy_n(first, row_bytes[i], expected.begin() + (first - complete.begin()));
        }
        require_equal<std::byte>(fmt::format("{}, output {}", what, i), expected, chosen[i].read());
    }
}

}  // namespace vkmoe::conformance
