#include "kernels/swiglu.h"

#include "base/error.h"
#include "kernels/kernel_fixture.h"
#include "kernels/row_checks.h"

namespace vkmoe {
namespace {

double silu(double x) {
    return x / (1 + std::exp(-x));
}

enum class Layout {
    kPacked,       // all gates, then all ups, without gaps
    kInterleaved,  // gate and up of a row behind one another, 12 floats between rows
    kUpApart,      // gates without gaps, 8 floats between the rows of up
};

class SwigluTest : public KernelTest {
  protected:
    void check(uint32_t n_rows, uint32_t n_columns, Layout layout, bool with_floats, bool with_packed,
               Path path, RowTuning tuning = {}) {
        SCOPED_TRACE(fmt::format("{} rows of {}, layout {}, float32 {}, packed {}, path {}, tuning {} {}",
                                 n_rows, n_columns, static_cast<int>(layout), with_floats, with_packed,
                                 path_name(path), tuning.workgroup_size, tuning.lanes_per_block));
        const uint32_t gate_stride = layout == Layout::kInterleaved ? 2 * n_columns + 12 : n_columns;
        const uint32_t up_stride = layout == Layout::kUpApart ? n_columns + 8 : gate_stride;
        const size_t up_at = layout == Layout::kInterleaved ? n_columns : uint64_t{n_rows} * n_columns;
        // Beyond its end the input goes on with finite numbers: a NaN of the guard bands there would come out
        // with the same bits, and an output written beyond its end would look intact.
        const std::vector<float> input =
            random_row_values(random(), up_at + uint64_t{n_rows} * up_stride + 64);

        SwigluArgs args;
        args.gate = upload(input).address;
        args.up = args.gate + up_at * sizeof(float);
        args.n_rows = n_rows;
        args.n_columns = n_columns;
        args.gate_stride = gate_stride == n_columns ? 0 : gate_stride;
        args.up_stride = up_stride == n_columns ? 0 : up_stride;
        args.path = path;
        args.tuning = tuning;
        const size_t count = uint64_t{n_rows} * n_columns;
        auto floats = output<float>(with_floats ? count : 4);
        auto packed = output<std::byte>(with_packed ? n_rows * q8_row_bytes(n_columns) : 16);
        if (with_floats) args.output = floats.address();
        if (with_packed) args.output_q8 = packed.address();
        run({swiglu(context(), args)});

        std::vector<double> expected(count);
        for (size_t row = 0; row < n_rows; ++row)
            for (size_t i = 0; i < n_columns; ++i)
                expected[row * n_columns + i] =
                    silu(input[row * gate_stride + i]) * input[up_at + row * up_stride + i];
        if (with_floats) {
            EXPECT_LE(nmse(expected, floats.read()), 1e-11);
        }
        if (with_packed) expect_packed_rows(packed.read(), expected, n_rows, n_columns, 2e-5);
    }
};

TEST_F(SwigluTest, MatchesTheReference) {
    for (const Path path : paths(Op::kSwiglu)) {
        check(1, 768, Layout::kPacked, true, false, path);
        check(8, 768, Layout::kPacked, false, true, path);
        check(70, 32, Layout::kUpApart, true, true, path);
        check(3, 8192, Layout::kInterleaved, true, true, path);
        check(5, 36, Layout::kInterleaved, true, false, path);
        check(1, 4, Layout::kPacked, true, false, path);
    }
}

TEST_F(SwigluTest, EveryLayoutOfLanesGivesTheSame) {
    const DevicePlan& plan = context().plan();
    for (const Path path : paths(Op::kSwiglu)) {
        if (path == Path::kScalar) continue;
        for (uint32_t lanes = 1; lanes <= std::min(plan.subgroup_size, 8u); lanes *= 2)
            check(11, 224, Layout::kPacked, true, true, path, {plan.workgroup_size, lanes});
    }
}

TEST_F(SwigluTest, LargeGatesNeitherOverflowNorVanish) {
    const std::vector<float> gate = {-1e30f, -1000, -100, -88, -20, 0, 20, 1000};
    const std::vector<float> up(gate.size(), 2);
    for (const Path path : paths(Op::kSwiglu)) {
        auto floats = output<float>(gate.size());
        SwigluArgs args;
        args.gate = upload(gate).address;
        args.up = upload(up).address;
        args.output = floats.address();
        args.n_rows = 1;
        args.n_columns = static_cast<uint32_t>(gate.size());
        args.path = path;
        run({swiglu(context(), args)});
        const std::vector<float> actual = floats.read();
        for (size_t i = 0; i < gate.size(); ++i) {
            const double expected = silu(gate[i]) * 2;
            EXPECT_NEAR(actual[i], expected, 1e-5 * std::abs(expected) + 1e-30)
                << gate[i] << " " << path_name(path);
        }
    }
}

TEST_F(SwigluTest, RefusesWhatDoesNotFit) {
    SwigluArgs good;
    good.gate = 0x10000;
    good.up = 0x20000;
    good.output = 0x30000;
    good.n_rows = 1;
    good.n_columns = 36;
    EXPECT_NO_THROW(swiglu(context(), good));
    auto refused = [&](auto change) {
        SwigluArgs args = good;
        change(args);
        EXPECT_THROW(swiglu(context(), args), Error);
    };
    refused([](SwigluArgs& args) { args.output = 0; });
    refused([](SwigluArgs& args) { args.up = 0; });
    refused([](SwigluArgs& args) { args.n_columns = 37; });
    refused([](SwigluArgs& args) { args.up_stride = 32; });
    refused([](SwigluArgs& args) { args.output_q8 = 0x40000; });
}

}  // namespace
}  // namespace vkmoe
