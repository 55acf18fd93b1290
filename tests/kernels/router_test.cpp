#include "kernels/router.h"

#include "base/error.h"
#include "kernels/kernel_fixture.h"
#include "kernels/row_checks.h"

#include <numeric>

namespace vkmoe {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Shape {
    uint32_t n_tokens;
    uint32_t n_experts;
    uint32_t n_slots;
};

struct Routes {
    std::vector<uint32_t> ids;
    std::vector<float> weights;
};

class RouterTest : public KernelTest {
  protected:
    Routes route(const std::vector<float>& logits, const Shape& shape, Path path, RouterArgs args = {}) {
        const size_t n_routes = uint64_t{shape.n_tokens} * shape.n_slots;
        auto ids = output<uint32_t>(n_routes);
        auto weights = output<float>(n_routes);
        args.logits = upload(logits).address;
        args.ids = ids.address();
        args.weights = weights.address();
        args.n_tokens = shape.n_tokens;
        args.n_experts = shape.n_experts;
        args.n_slots = shape.n_slots;
        args.path = path;
        run({router(context(), args)});
        return {ids.read(), weights.read()};
    }

    void check(const std::vector<float>& logits, const Shape& shape, Path path, const RouterArgs& args) {
        SCOPED_TRACE(fmt::format("{} tokens, {} of {} experts, renormalize {} floor {} scale {}, path {}",
                                 shape.n_tokens, shape.n_slots, shape.n_experts, args.renormalize, args.floor,
                                 args.scale, path_name(path)));
        const Routes routes = route(logits, shape, path, args);
        std::vector<double> expected_weights;
        std::vector<uint32_t> expected_ids;
        for (size_t t = 0; t < shape.n_tokens; ++t) {
            const float* row = logits.data() + t * shape.n_experts;
            std::vector<uint32_t> order(shape.n_experts);
            std::iota(order.begin(), order.end(), 0u);
            std::stable_sort(order.begin(), order.end(),
                             [&](uint32_t a, uint32_t b) { return row[a] > row[b]; });
            double total = 0;
            for (uint32_t e = 0; e < shape.n_experts; ++e) total += std::exp(double{row[e]} - row[order[0]]);
            double sum = 0;
            for (uint32_t s = 0; s < shape.n_slots; ++s)
                sum += std::exp(double{row[order[s]]} - row[order[0]]) / total;
            const double divisor = args.renormalize ? std::max(sum, double{args.floor}) : 1;
            for (uint32_t s = 0; s < shape.n_slots; ++s) {
                expected_ids.push_back(order[s]);
                expected_weights.push_back(std::exp(double{row[order[s]]} - row[order[0]]) / total / divisor *
                                           args.scale);
            }
        }
        EXPECT_EQ(routes.ids, expected_ids);
        EXPECT_LE(nmse(expected_weights, routes.weights), 1e-10);
    }

    std::vector<float> random_logits(const Shape& shape) {
        std::normal_distribution<float> normal(0, 3);
        std::vector<float> logits(uint64_t{shape.n_tokens} * shape.n_experts);
        for (float& logit : logits) logit = normal(random());
        return logits;
    }
};

TEST_F(RouterTest, MatchesTheReference) {
    RouterArgs plain;
    RouterArgs renormalized;
    renormalized.renormalize = true;
    RouterArgs scaled = renormalized;
    scaled.scale = 2.5f;
    scaled.floor = 0.9f;  // above most sums
    for (const Path path : paths(Op::kRouter)) {
        for (const Shape shape : {Shape{1, 128, 8}, Shape{70, 64, 8}, Shape{3, 8, 2}, Shape{5, 512, 32},
                                  Shape{9, 60, 4}, Shape{2, 1, 1}, Shape{67, 33, 32}, Shape{4, 5, 5}}) {
            const std::vector<float> logits = random_logits(shape);
            for (const RouterArgs& args : {plain, renormalized, scaled}) check(logits, shape, path, args);
        }
    }
}

TEST_F(RouterTest, TiesGoToTheLowerIndex) {
    std::uniform_int_distribution<int> level(-2, 2);
    for (const Path path : paths(Op::kRouter)) {
        const Shape shape{40, 100, 12};
        std::vector<float> logits(uint64_t{shape.n_tokens} * shape.n_experts);
        for (float& logit : logits) logit = static_cast<float>(level(random()));
        std::fill_n(logits.begin(), shape.n_experts, 0.0f);
        for (size_t e = 0; e < shape.n_experts; e += 3) logits[e] = -0.0f;
        check(logits, shape, path, {});
    }
}

TEST_F(RouterTest, LargeLogitsDoNotOverflow) {
    for (const Path path : paths(Op::kRouter)) {
        RouterArgs renormalized;
        renormalized.renormalize = true;
        check({1e4f, -1e4f, 9999, 3e38f, 0, -3e38f, 1, 2}, {1, 8, 4}, path, renormalized);
        check({-kInfinity, 3, -kInfinity, 1, -kInfinity, -kInfinity, 2, -5}, {1, 8, 4}, path, renormalized);
    }
}

TEST_F(RouterTest, NanGivesValidIdsAndNanWeights) {
    for (const Path path : paths(Op::kRouter)) {
        for (const Shape shape : {Shape{3, 16, 4}, Shape{3, 128, 32}, Shape{3, 7, 7}}) {
            SCOPED_TRACE(
                fmt::format("{} of {} experts, path {}", shape.n_slots, shape.n_experts, path_name(path)));
            std::vector<float> logits = random_logits(shape);
            const size_t n = shape.n_experts;
            for (size_t e = 0; e < n; e += 2) logits[n + e] = e % 4 == 0 ? kNan : -kNan;  // token 1: some
            std::fill_n(logits.begin() + 2 * n, n, kNan);                                 // token 2: all
            RouterArgs args;
            args.renormalize = true;
            const Routes routes = route(logits, shape, path, args);
            for (size_t t = 0; t < shape.n_tokens; ++t) {
                std::vector<bool> seen(n, false);
                for (size_t s = 0; s < shape.n_slots; ++s) {
                    const uint32_t id = routes.ids[t * shape.n_slots + s];
                    ASSERT_LT(id, n);
                    EXPECT_FALSE(seen[id]) << "expert " << id << " twice for token " << t;
                    seen[id] = true;
                    EXPECT_EQ(std::isnan(routes.weights[t * shape.n_slots + s]), t != 0) << "token " << t;
                    if (t == 1 && s < n / 2) {
                        EXPECT_EQ(id % 2, 1u) << "a NaN before a number";
                    }
                }
            }
        }
    }
}

TEST_F(RouterTest, CountsRiseByEachRoute) {
    for (const Path path : paths(Op::kRouter)) {
        for (const Shape shape : {Shape{70, 64, 8}, Shape{1, 8, 2}, Shape{300, 5, 5}}) {
            SCOPED_TRACE(fmt::format("{} tokens, {} of {} experts, path {}", shape.n_tokens, shape.n_slots,
                                     shape.n_experts, path_name(path)));
            std::vector<uint32_t> expected(shape.n_experts);
            std::iota(expected.begin(), expected.end(), 1000u);  // it adds to what is there
            auto counts = output<uint32_t>(shape.n_experts);
            counts.fill(expected);
            RouterArgs args;
            args.counts = counts.address();
            for (int batch = 0; batch < 2; ++batch)
                for (uint32_t id : route(random_logits(shape), shape, path, args).ids) ++expected.at(id);
            EXPECT_EQ(counts.read(), expected);
        }
    }
}

TEST_F(RouterTest, RefusesWhatDoesNotFit) {
    RouterArgs good;
    good.logits = 0x10000;
    good.ids = 0x20000;
    good.weights = 0x30000;
    good.n_tokens = 1;
    good.n_experts = 8;
    good.n_slots = 2;
    EXPECT_NO_THROW(router(context(), good));
    auto refused = [&](auto change) {
        RouterArgs args = good;
        change(args);
        EXPECT_THROW(router(context(), args), Error);
    };
    refused([](RouterArgs& args) { args.n_experts = 513; });
    refused([](RouterArgs& args) { args.n_slots = 9; });
    refused([](RouterArgs& args) { args.n_slots = 0; });
    refused([](RouterArgs& args) { args.ids = 0; });
    refused([](RouterArgs& args) { args.n_experts = 64, args.n_slots = 33; });
}

}  // namespace
}  // namespace vkmoe
