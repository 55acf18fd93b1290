#include "conformance/matrix_product.h"

#include <cmath>

namespace vkmoe::conformance {

void add_special_number_cases(std::vector<Case>& cases, const KernelKey& cell,
                              void (*check)(CaseContext&, const KernelKey&, Numbers, Weights)) {
    const auto add = [&](const char* name, Numbers numbers, Weights weights) {
        cases.push_back({name, [=](CaseContext& c) { check(c, cell, numbers, weights); }});
    };
    add("subnormal activations", Numbers::kSubnormal, Weights::kSane);
    add("large activations", Numbers::kLarge, Weights::kSane);
    add("a NaN stays in its token", Numbers::kNan, Weights::kSane);
    add("infinities stay in their token", Numbers::kInfinities, Weights::kSane);
    add("weights of arbitrary bits", Numbers::kPlain, Weights::kAnyBits);
    // Float16 is scaled by what a row's first columns are. NVFP4 has a scale for each 16 numbers, all of
    // which random bits hardly ever make small.
    if (activation_layout(cell.path) == ActivationLayout::kFloat16 && cell.type != TensorType::kNVFP4)
        add("weights that grow along a row", Numbers::kPlain, Weights::kGrowing);
}

uint64_t upload_matrix(CaseContext& c, TensorType type, const StoredMatrix& matrix, bool aligned) {
    const uint64_t lead = aligned ? 0 : row_alignment(type);
    std::vector<std::byte> bytes(lead, std::byte{0xFF});
    bytes.insert(bytes.end(), matrix.bytes.begin(), matrix.bytes.end());
    return c.upload(bytes).address + lead;
}

void check_product(CaseContext& c, ProductKernel kernel, const KernelKey& cell, const Product& product) {
    const bool aligned = random_below(c.random(), 4) == 0;
    const StoredMatrix weights =
        random_matrix(c.random(), cell.type, product.n_rows, product.n_columns, product.weights);
    const StoredActivations x = random_stored_activations(c.random(), cell.path, product.n_tokens,
                                                          product.n_columns, product.numbers);
    const std::vector<float> residual = random_activations(c.random(), product.n_tokens, product.n_rows);

    MatmulArgs args;
    args.type = cell.type;
    args.weights = upload_matrix(c, cell.type, weights, aligned);
    args.x = c.upload(x.bytes).address;
    auto y = c.output<float>(residual.size());
    args.y = y.address();
    args.residual = place_residual(c, product.residual, residual, y);
    args.n_rows = product.n_rows;
    args.n_columns = product.n_columns;
    args.n_tokens = product.n_tokens;
    args.path = cell.path;
    // 1: the largest tile. Many: the smallest, and as many parts of the columns as there is room for.
    constexpr uint32_t kCoreCounts[] = {0, 1, 1024};
    args.core_count = kCoreCounts[random_below(c.random(), 3)];
    const size_t n_sums = residual.size() * (1 + random_below(c.random(), 4));
    args.split_sums.address = c.output<float>(n_sums).address();
    args.split_sums.size = n_sums * sizeof(float);
    c.run(kernel(c.kernels(), args));

    std::vector<Expected> expected;
    expected.reserve(residual.size());
    for (uint32_t t = 0; t < product.n_tokens; ++t) {
        for (uint32_t r = 0; r < product.n_rows; ++r) {
            Expected sum = dot(weights, r, x, t);
            if (product.residual != Residual::kNone) {
                const double term = residual[size_t{t} * product.n_rows + r];
                sum.value += term;
                sum.magnitude += std::abs(term);
            }
            expected.push_back(sum);
        }
    }
    check_numbers(fmt::format("{} rows, {} columns, {} tokens, residual {}, {}aligned", product.n_rows,
                              product.n_columns, product.n_tokens, static_cast<int>(product.residual),
                              aligned ? "" : "not "),
                  expected, y.read(), product_tolerance(cell.path));
}

}  // namespace vkmoe::conformance
