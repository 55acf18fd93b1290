#include "kernels/argmax.h"

#include "base/error.h"
#include "kernels/kernel_fixture.h"
#include "kernels/row_checks.h"

namespace vkmoe {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<uint32_t> expected_argmax(const std::vector<float>& values, uint32_t n_rows, uint32_t n_columns) {
    std::vector<uint32_t> ids;
    for (size_t row = 0; row < n_rows; ++row) {
        const float* x = values.data() + row * n_columns;
        uint32_t best = 0;
        for (uint32_t i = 1; i < n_columns; ++i)
            if (x[i] > x[best] || (std::isnan(x[best]) && !std::isnan(x[i]))) best = i;
        ids.push_back(best);
    }
    return ids;
}

class ArgmaxTest : public KernelTest {
  protected:
    void check(const std::vector<float>& values, uint32_t n_rows, uint32_t n_columns, Path path,
               uint32_t workgroup_size = 0, uint64_t offset = 0) {
        SCOPED_TRACE(fmt::format("{} rows of {}, path {}, workgroup {}, offset {}", n_rows, n_columns,
                                 path_name(path), workgroup_size, offset));
        std::vector<float> shifted(offset / sizeof(float), kInfinity);
        shifted.insert(shifted.end(), values.begin(), values.end());
        shifted.push_back(kInfinity);  // what lies outside the rows must not count
        auto ids = output<uint32_t>(n_rows);
        ArgmaxArgs args;
        args.input = upload(shifted).address + offset;
        args.output = ids.address();
        args.n_rows = n_rows;
        args.n_columns = n_columns;
        args.path = path;
        args.workgroup_size = workgroup_size;
        run({argmax(context(), args)});
        EXPECT_EQ(ids.read(), expected_argmax(values, n_rows, n_columns));
    }

    /// Few different values, so that ties are everywhere.
    std::vector<float> coarse_values(size_t n) {
        std::uniform_int_distribution<int> level(-9, 9);
        std::vector<float> values(n);
        for (float& value : values) value = static_cast<float>(level(random())) / 4;
        return values;
    }
};

TEST_F(ArgmaxTest, FindsTheLargest) {
    for (const Path path : paths(Op::kArgmax)) {
        for (const auto& [n_rows, n_columns] :
             {std::pair{1u, 151936u}, std::pair{1u, 50257u}, std::pair{70u, 33u}, std::pair{5u, 1u},
              std::pair{3u, 4u}, std::pair{2u, 4096u}})
            check(random_row_values(random(), uint64_t{n_rows} * n_columns), n_rows, n_columns, path);
    }
}

TEST_F(ArgmaxTest, TakesTheLowestOfTies) {
    for (const Path path : paths(Op::kArgmax)) {
        for (const uint32_t n_columns : {4096u, 1001u, 7u})
            check(coarse_values(uint64_t{6} * n_columns), 6, n_columns, path);
        check(std::vector<float>(300000, -kInfinity), 1, 300000, path);
        check({-1, -0.0f, 0.0f, -2}, 1, 4, path);
        check({-1, 0.0f, -0.0f, -2}, 1, 4, path);
    }
}

TEST_F(ArgmaxTest, NeverChoosesNan) {
    for (const Path path : paths(Op::kArgmax)) {
        check({kNan, -kNan, kNan, -kInfinity, kNan}, 1, 5, path);
        check({kNan, -kNan, -3, kInfinity, kNan, kInfinity, 1, 2}, 1, 8, path);
        check(std::vector<float>(777, kNan), 1, 777, path);
        check(std::vector<float>(1024, -kNan), 2, 512, path);
        std::vector<float> values = coarse_values(4 * 1000);
        for (size_t i = 0; i < values.size(); i += 3) values[i] = i % 2 == 0 ? kNan : -kNan;
        check(values, 4, 1000, path);
    }
}

TEST_F(ArgmaxTest, EveryWorkgroupAndAlignmentGivesTheSame) {
    const DevicePlan& plan = context().plan();
    for (const Path path : paths(Op::kArgmax)) {
        for (const uint32_t workgroup_size : {plan.subgroup_size, plan.workgroup_size, 128u})
            check(coarse_values(3 * 2052), 3, 2052, path, workgroup_size);
        for (const uint64_t offset : {4, 8, 12, 16}) check(coarse_values(2 * 2052), 2, 2052, path, 0, offset);
    }
}

TEST_F(ArgmaxTest, RefusesWhatDoesNotFit) {
    ArgmaxArgs good;
    good.input = 0x10000;
    good.output = 0x20000;
    good.n_rows = 1;
    good.n_columns = 3;
    EXPECT_NO_THROW(argmax(context(), good));
    auto refused = [&](auto change) {
        ArgmaxArgs args = good;
        change(args);
        EXPECT_THROW(argmax(context(), args), Error);
    };
    refused([](ArgmaxArgs& args) { args.n_columns = 0; });
    refused([](ArgmaxArgs& args) { args.input += 2; });
    refused([](ArgmaxArgs& args) { args.output = 0; });
    refused([](ArgmaxArgs& args) { args.n_columns = 1u << 30; });
}

}  // namespace
}  // namespace vkmoe
