#pragma once

#include "kernels/combine.h"
#include "kernels/kernel_fixture.h"

namespace vkmoe {

/// What tests of commands compute: sums of rows of n_columns whole numbers, which are exact.
class RowTest : public KernelTest {
  protected:
    explicit RowTest(uint32_t n_columns) : n_columns_(n_columns), one_(upload(std::vector<float>{1})) {}

    std::vector<float> random_row() {
        std::uniform_int_distribution<int> whole(-1000, 1000);
        std::vector<float> row(n_columns_);
        for (float& value : row) value = static_cast<float>(whole(random()));
        return row;
    }

    /// sum = residual + addend; residual: 0 for none.
    Dispatch add(uint64_t residual, uint64_t addend, uint64_t sum) {
        CombineArgs args;
        args.expert_output = addend;
        args.weights = one_.address;
        args.residual = residual;
        args.output = sum;
        args.n_tokens = 1;
        args.n_slots = 1;
        args.n_columns = n_columns_;
        return combine(context(), args);
    }

  private:
    uint32_t n_columns_;
    Allocation one_;
};

}  // namespace vkmoe
