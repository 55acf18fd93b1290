#include "kernels/combine.h"

#include "base/error.h"
#include "kernels/kernel_fixture.h"
#include "kernels/row_checks.h"

namespace vkmoe {
namespace {

enum class Residual { kNone, kApart, kInPlace };

class CombineTest : public KernelTest {
  protected:
    void check(uint32_t n_tokens, uint32_t n_slots, uint32_t n_columns, Residual residual_is, Path path) {
        SCOPED_TRACE(fmt::format("{} tokens, {} slots, {} columns, residual {}, path {}", n_tokens, n_slots,
                                 n_columns, static_cast<int>(residual_is), path_name(path)));
        const size_t count = uint64_t{n_tokens} * n_columns;
        // Beyond their ends the inputs go on with finite numbers: a NaN of the guard bands there would come
        // out with the same bits, and an output written beyond its end would look intact.
        const size_t spare = 64;
        const std::vector<float> experts = random_row_values(random(), count * n_slots + spare);
        const std::vector<float> weights = random_row_values(random(), uint64_t{n_tokens} * n_slots + spare);
        const std::vector<float> residual = random_row_values(random(), count + spare);

        auto combined = output<float>(count);
        CombineArgs args;
        args.expert_output = upload(experts).address;
        args.weights = upload(weights).address;
        args.output = combined.address();
        if (residual_is == Residual::kApart) args.residual = upload(residual).address;
        if (residual_is == Residual::kInPlace) {
            combined.fill(std::vector<float>(residual.begin(), residual.begin() + count));
            args.residual = args.output;
        }
        args.n_tokens = n_tokens;
        args.n_slots = n_slots;
        args.n_columns = n_columns;
        args.path = path;
        run({combine(context(), args)});

        std::vector<double> expected(count);
        for (size_t t = 0; t < n_tokens; ++t) {
            for (size_t d = 0; d < n_columns; ++d) {
                double sum = residual_is == Residual::kNone ? 0 : residual[t * n_columns + d];
                for (size_t s = 0; s < n_slots; ++s)
                    sum += double{weights[t * n_slots + s]} * experts[(t * n_slots + s) * n_columns + d];
                expected[t * n_columns + d] = sum;
            }
        }
        EXPECT_LE(nmse(expected, combined.read()), 1e-11);
    }
};

TEST_F(CombineTest, MatchesTheReference) {
    for (const Path path : paths(Op::kCombine)) {
        check(1, 8, 2048, Residual::kApart, path);
        check(1, 2, 8192, Residual::kNone, path);
        check(70, 3, 36, Residual::kInPlace, path);
        check(17, 1, 4, Residual::kApart, path);
        check(33, 9, 416, Residual::kInPlace, path);
    }
}

TEST_F(CombineTest, RefusesWhatDoesNotFit) {
    CombineArgs good;
    good.expert_output = 0x10000;
    good.weights = 0x20004;
    good.output = 0x30000;
    good.n_tokens = 1;
    good.n_slots = 2;
    good.n_columns = 4;
    EXPECT_NO_THROW(combine(context(), good));
    auto refused = [&](auto change) {
        CombineArgs args = good;
        change(args);
        EXPECT_THROW(combine(context(), args), Error);
    };
    refused([](CombineArgs& args) { args.n_columns = 6; });
    refused([](CombineArgs& args) { args.n_slots = 0; });
    refused([](CombineArgs& args) { args.residual = 0x40004; });
    refused([](CombineArgs& args) { args.weights = 0; });
}

}  // namespace
}  // namespace vkmoe
