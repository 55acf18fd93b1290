#pragma once

#include "conformance/activations.h"
#include "conformance/case_context.h"
#include "conformance/rows.h"
#include "kernels/matmul.h"

namespace vkmoe::conformance {

// What the cases of matrix kernels share.

/// Adds cases of numbers that are out of the ordinary, in the activations or in the weights.
void add_special_number_cases(std::vector<Case>& cases, const KernelKey& cell,
                              void (*check)(CaseContext&, const KernelKey&, Numbers, Weights));

/// The dispatches of a product, in order.
using ProductKernel = std::vector<Dispatch> (*)(KernelContext&, const MatmulArgs&);

inline std::vector<Dispatch> matvec_product(KernelContext& kernels, const MatmulArgs& args) {
    return {matvec(kernels, args)};
}
inline std::vector<Dispatch> matmul_product(KernelContext& kernels, const MatmulArgs& args) {
    return matmul(kernels, args).in_order();
}
inline std::vector<Dispatch> linear_product(KernelContext& kernels, const MatmulArgs& args) {
    return linear(kernels, args).in_order();
}

/// One matrix by some tokens, as matvec and matmul have it.
struct Product {
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;
    uint32_t n_tokens = 1;
    Residual residual = Residual::kNone;
    Numbers numbers = Numbers::kPlain;  ///< of the activations
    Weights weights = Weights::kSane;
};

/// The weights are aligned no better than the type demands, or now and then as memory comes.
void check_product(CaseContext& c, ProductKernel kernel, const KernelKey& cell, const Product& product);

/// The address of a copy that is aligned no better than the type demands, or (aligned) as memory comes.
uint64_t upload_matrix(CaseContext& c, TensorType type, const StoredMatrix& matrix, bool aligned);

}  // namespace vkmoe::conformance
