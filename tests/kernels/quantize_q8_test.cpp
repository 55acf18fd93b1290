#include "kernels/quantize_q8.h"

#include "base/error.h"
#include "kernels/kernel_fixture.h"
#include "kernels/row_checks.h"

namespace vkmoe {
namespace {

class QuantizeQ8Test : public KernelTest {
  protected:
    std::vector<std::byte> pack(const std::vector<float>& input, uint32_t n_rows, uint32_t n_columns,
                                uint32_t stride, Path path, RowTuning tuning = {}) {
        auto packed = output<std::byte>(n_rows * q8_row_bytes(n_columns));
        QuantizeQ8Args args;
        args.input = upload(input).address;
        args.output = packed.address();
        args.n_rows = n_rows;
        args.n_columns = n_columns;
        args.input_stride = stride;
        args.path = path;
        args.tuning = tuning;
        run({quantize_q8(context(), args)});
        return packed.read();
    }

    void check(uint32_t n_rows, uint32_t n_columns, uint32_t stride, Path path, RowTuning tuning = {}) {
        SCOPED_TRACE(fmt::format("{} rows of {}, stride {}, path {}, tuning {} {}", n_rows, n_columns, stride,
                                 path_name(path), tuning.workgroup_size, tuning.lanes_per_block));
        const uint32_t step = stride != 0 ? stride : n_columns;
        std::vector<float> input = random_row_values(random(), uint64_t{n_rows} * step);
        std::fill_n(input.begin(), 32, 0.0f);
        std::vector<double> expected;
        for (uint32_t row = 0; row < n_rows; ++row)
            expected.insert(expected.end(), input.begin() + uint64_t{row} * step,
                            input.begin() + uint64_t{row} * step + n_columns);
        expect_packed_rows(pack(input, n_rows, n_columns, stride, path, tuning), expected, n_rows, n_columns,
                           5e-7);
    }
};

TEST_F(QuantizeQ8Test, MatchesTheReference) {
    for (const Path path : paths(Op::kQuantizeQ8)) {
        check(1, 32, 0, path);
        check(1, 2048, 0, path);
        check(70, 96, 0, path);
        check(3, 8192, 0, path);
        check(9, 288, 300, path);
    }
}

TEST_F(QuantizeQ8Test, EveryLayoutOfLanesGivesTheSame) {
    const DevicePlan& plan = context().plan();
    for (const Path path : paths(Op::kQuantizeQ8)) {
        if (path == Path::kScalar) continue;
        for (uint32_t lanes = 1; lanes <= std::min(plan.subgroup_size, 8u); lanes *= 2)
            check(13, 160, 0, path, {plan.workgroup_size, lanes});
    }
}

TEST_F(QuantizeQ8Test, RoundsTiesToEven) {
    std::vector<float> input(32, 0.0f);
    const std::vector<float> numbers = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f, -127, 3};
    const std::vector<int> expected = {127, 0, 2, 2, 0, -2, -2, 126, -127, 3};
    std::copy(numbers.begin(), numbers.end(), input.begin());
    for (const Path path : paths(Op::kQuantizeQ8)) {
        const std::vector<std::byte> packed = pack(input, 1, 32, 0, path);
        for (size_t i = 0; i < expected.size(); ++i)
            EXPECT_EQ(static_cast<int8_t>(packed[i]), expected[i]) << numbers[i] << " on " << path_name(path);
    }
}

TEST_F(QuantizeQ8Test, KeepsTinyAndHugeBlocksFinite) {
    for (const Path path : paths(Op::kQuantizeQ8)) {
        for (const float largest : {0x1p-149f, 0x1p-119f, 0x1p-117f, std::numeric_limits<float>::max()}) {
            SCOPED_TRACE(fmt::format("largest {}, path {}", largest, path_name(path)));
            std::vector<float> input(32, 0.0f);
            input[7] = largest;
            input[8] = -largest;
            const std::vector<std::byte> packed = pack(input, 1, 32, 0, path);
            const bool kept = largest >= 0x1p-118f;
            float pair[2];
            std::memcpy(pair, packed.data() + 32, sizeof pair);
            EXPECT_NEAR(pair[0], kept ? largest / 127 : 0, kept ? 1e-6 * largest / 127 : 0);
            EXPECT_EQ(pair[1], 0);
            EXPECT_EQ(static_cast<int8_t>(packed[7]), kept ? 127 : 0);
            EXPECT_EQ(static_cast<int8_t>(packed[8]), kept ? -127 : 0);
        }
    }
}

TEST_F(QuantizeQ8Test, NothingThatIsNotFiniteBecomesFinite) {
    for (const Path path : paths(Op::kQuantizeQ8)) {
        for (const float poison :
             {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
              std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
            std::vector<float> input = random_row_values(random(), 3 * 64);
            std::uniform_int_distribution<size_t> place(0, 31);
            input[64 + 32 + place(random())] = poison;
            const std::vector<std::byte> packed = pack(input, 3, 64, 0, path);
            for (uint32_t block = 0; block < 6; ++block) {
                float pair[2];
                std::memcpy(pair, packed.data() + block / 2 * q8_row_bytes(64) + 64 + block % 2 * 8,
                            sizeof pair);
                EXPECT_EQ(std::isfinite(pair[0]), block != 3) << path_name(path) << " block " << block;
                EXPECT_EQ(std::isfinite(pair[1]), block != 3) << path_name(path) << " block " << block;
                if (block == 3) {
                    EXPECT_EQ(std::isnan(pair[0]), std::isnan(poison)) << path_name(path);
                }
            }
        }
    }
}

TEST_F(QuantizeQ8Test, RefusesWhatDoesNotFit) {
    QuantizeQ8Args good;
    good.input = 0x10000;
    good.output = 0x20000;
    good.n_rows = 1;
    good.n_columns = 32;
    EXPECT_NO_THROW(quantize_q8(context(), good));
    auto refused = [&](auto change) {
        QuantizeQ8Args args = good;
        change(args);
        EXPECT_THROW(quantize_q8(context(), args), Error);
    };
    refused([](QuantizeQ8Args& args) { args.n_columns = 48; });
    refused([](QuantizeQ8Args& args) { args.output += 8; });
    refused([](QuantizeQ8Args& args) { args.input_stride = 33; });
    refused([](QuantizeQ8Args& args) { args.tuning.lanes_per_block = 16; });
    refused([](QuantizeQ8Args& args) { args.n_rows = args.n_columns = 1u << 31; });
}

}  // namespace
}  // namespace vkmoe
