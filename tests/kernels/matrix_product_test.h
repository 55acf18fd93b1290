#pragma once

// One matrix by some tokens: what the tests of matvec and matmul share.

#include "kernels/matvec.h"
#include "kernels/quantized_matrix.h"

namespace vkmoe {

class MatrixProductTest : public MatrixTest {
  protected:
    enum class Residual { kNone, kApart, kInPlace };
    struct Shape {
        uint32_t n_rows;
        uint32_t n_columns;
        uint32_t n_tokens;
        Residual residual;
    };
    using Kernel = Dispatch (*)(KernelContext&, const MatmulArgs&);

    Residual pick_residual() { return static_cast<Residual>(random_below(random(), 3)); }

    void check(Kernel kernel, const KernelKey& cell, const Shape& shape) {
        check(kernel, cell, shape, random_activations(random(), shape.n_tokens, shape.n_columns));
    }

    /// NaN in one number of the middle token.
    void check_nan(Kernel kernel, const KernelKey& cell, uint32_t n_rows, uint32_t n_tokens) {
        std::vector<float> x = random_activations(random(), n_tokens, 512);
        x[n_tokens / 2 * 512 + random_below(random(), 512)] = std::numeric_limits<float>::quiet_NaN();
        check(kernel, cell, {n_rows, 512, n_tokens, Residual::kApart}, x);
    }

    void check(Kernel kernel, const KernelKey& cell, const Shape& shape, const std::vector<float>& rows) {
        const bool aligned = random_below(random(), 2) == 0;
        SCOPED_TRACE(fmt::format("{}: {} rows, {} columns, {} tokens, residual {}, aligned {}",
                                 cell_name(cell), shape.n_rows, shape.n_columns, shape.n_tokens,
                                 static_cast<int>(shape.residual), aligned));
        const StoredMatrix weights = random_matrix(random(), cell.type, shape.n_rows, shape.n_columns);
        const StoredActivations x = store_activations(cell.path, rows, shape.n_columns);
        const std::vector<float> residual = random_activations(random(), shape.n_tokens, shape.n_rows);

        MatmulArgs args;
        args.type = cell.type;
        args.weights = upload_matrix(cell.type, weights, aligned);
        args.x = upload(x.bytes).address;
        auto y = output<float>(residual.size());
        args.y = y.address();
        if (shape.residual == Residual::kApart) args.residual = upload(residual).address;
        if (shape.residual == Residual::kInPlace) {
            y.fill(residual);
            args.residual = args.y;
        }
        args.n_rows = shape.n_rows;
        args.n_columns = shape.n_columns;
        args.n_tokens = shape.n_tokens;
        args.path = cell.path;
        run({kernel(context(), args)});

        std::vector<Expected> expected;
        for (uint32_t t = 0; t < shape.n_tokens; ++t) {
            for (uint32_t r = 0; r < shape.n_rows; ++r) {
                Expected sum = dot(weights, r, x, t);
                if (shape.residual != Residual::kNone) {
                    const double term = residual[size_t{t} * shape.n_rows + r];
                    sum.value += term;
                    sum.magnitude += std::abs(term);
                }
                expected.push_back(sum);
            }
        }
        expect_all(expected, y.read());
    }
};

}  // namespace vkmoe
