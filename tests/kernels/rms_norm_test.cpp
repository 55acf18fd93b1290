#include "kernels/rms_norm.h"

#include "base/error.h"
#include "kernels/kernel_fixture.h"
#include "kernels/row_checks.h"

namespace vkmoe {
namespace {

struct Case {
    uint32_t n_rows;
    uint32_t n_columns;
    uint32_t stride;  // 0: rows follow one another
    bool weighted;
    bool floats;
    bool packed;
    RowTuning tuning = {};
};

class RmsNormTest : public KernelTest {
  protected:
    void check(const Case& c, Path path) {
        SCOPED_TRACE(
            fmt::format("{} rows of {}, stride {}, weight {}, float32 {}, packed {}, path {}, tuning {} {}",
                        c.n_rows, c.n_columns, c.stride, c.weighted, c.floats, c.packed, path_name(path),
                        c.tuning.workgroup_size, c.tuning.lanes_per_block));
        const uint32_t stride = c.stride != 0 ? c.stride : c.n_columns;
        const std::vector<float> input = random_row_values(random(), uint64_t{c.n_rows} * stride);
        const std::vector<float> weight = random_row_values(random(), c.n_columns);
        const float epsilon = 1e-5f;

        RmsNormArgs args;
        args.input = upload(input).address;
        args.weight = c.weighted ? upload(weight).address : 0;
        args.n_rows = c.n_rows;
        args.n_columns = c.n_columns;
        args.input_stride = c.stride;
        args.epsilon = epsilon;
        args.path = path;
        args.tuning = c.tuning;
        const size_t count = uint64_t{c.n_rows} * c.n_columns;
        auto floats = output<float>(c.floats ? count : 4);
        auto packed = output<std::byte>(c.packed ? c.n_rows * q8_row_bytes(c.n_columns) : 16);
        if (c.floats) args.output = floats.address();
        if (c.packed) args.output_q8 = packed.address();
        run({rms_norm(context(), args)});

        std::vector<double> expected(count);
        for (uint32_t row = 0; row < c.n_rows; ++row) {
            const float* x = input.data() + uint64_t{row} * stride;
            double squares = 0;
            for (uint32_t i = 0; i < c.n_columns; ++i) squares += double{x[i]} * x[i];
            const double scale = 1 / std::sqrt(squares / c.n_columns + double{epsilon});
            for (uint32_t i = 0; i < c.n_columns; ++i)
                expected[uint64_t{row} * c.n_columns + i] = x[i] * scale * (c.weighted ? weight[i] : 1.0);
        }
        if (c.floats) {
            EXPECT_LE(nmse(expected, floats.read()), 1e-11);
        }
        if (c.packed) expect_packed_rows(packed.read(), expected, c.n_rows, c.n_columns, 3e-6);
    }
};

TEST_F(RmsNormTest, MatchesTheReference) {
    for (const Path path : paths(Op::kRmsNorm)) {
        check({1, 2048, 0, true, true, false}, path);
        check({1, 8192, 0, true, false, true}, path);
        check({3, 768, 0, true, true, true}, path);
        check({70, 32, 0, true, true, true}, path);
        check({5, 2880, 0, false, true, true}, path);
    }
}

TEST_F(RmsNormTest, TakesColumnsThatAreNoWholeBlocks) {
    for (const Path path : paths(Op::kRmsNorm)) {
        check({2, 4, 0, true, true, false}, path);
        check({7, 100, 0, true, true, false}, path);
        check({1, 1028, 0, false, true, false}, path);
    }
}

TEST_F(RmsNormTest, ReadsStridedRows) {
    for (const Path path : paths(Op::kRmsNorm)) {
        check({9, 64, 96, true, true, true}, path);
        check({4, 128, 132, false, true, false}, path);
    }
}

TEST_F(RmsNormTest, EveryLayoutOfLanesGivesTheSame) {
    const DevicePlan& plan = context().plan();
    for (const Path path : paths(Op::kRmsNorm)) {
        for (const uint32_t groups : {1u, 4u}) check({6, 416, 0, true, true, true, {groups * 32, 0}}, path);
        if (path == Path::kScalar) continue;
        for (uint32_t lanes = 1; lanes <= std::min(plan.subgroup_size, 8u); lanes *= 2)
            check({6, 416, 0, true, true, true, {plan.workgroup_size, lanes}}, path);
        check({3, 1024, 0, true, true, false, {plan.subgroup_size, 0}}, path);  // without a barrier
    }
}

TEST_F(RmsNormTest, WritesOverItsInput) {
    const std::vector<float> input = random_row_values(random(), 3 * 256);
    for (const Path path : paths(Op::kRmsNorm)) {
        auto rows = output<float>(input.size());
        rows.fill(input);
        RmsNormArgs args;
        args.input = rows.address();
        args.output = rows.address();
        args.n_rows = 3;
        args.n_columns = 256;
        args.path = path;
        run({rms_norm(context(), args)});
        std::vector<double> expected(input.size());
        for (size_t row = 0; row < 3; ++row) {
            double squares = 0;
            for (size_t i = 0; i < 256; ++i) squares += double{input[row * 256 + i]} * input[row * 256 + i];
            for (size_t i = 0; i < 256; ++i)
                expected[row * 256 + i] = input[row * 256 + i] / std::sqrt(squares / 256 + 1e-6);
        }
        EXPECT_LE(nmse(expected, rows.read()), 1e-11) << path_name(path);
    }
}

TEST_F(RmsNormTest, RefusesWhatDoesNotFit) {
    RmsNormArgs good;
    good.input = 0x10000;
    good.output = 0x20000;
    good.n_rows = 1;
    good.n_columns = 36;
    EXPECT_NO_THROW(rms_norm(context(), good));
    auto refused = [&](auto change) {
        RmsNormArgs args = good;
        change(args);
        EXPECT_THROW(rms_norm(context(), args), Error);
    };
    refused([](RmsNormArgs& args) { args.output = 0; });
    refused([](RmsNormArgs& args) { args.input = 0; });
    refused([](RmsNormArgs& args) { args.input += 4; });
    refused([](RmsNormArgs& args) { args.n_columns = 34; });
    refused([](RmsNormArgs& args) { args.n_rows = 0; });
    refused([](RmsNormArgs& args) { args.input_stride = 32; });
    refused([](RmsNormArgs& args) { args.output_q8 = 0x30000; });  // 36 columns are no whole blocks
}

}  // namespace
}  // namespace vkmoe
