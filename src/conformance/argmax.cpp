#include "kernels/argmax.h"

#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/rows.h"

#include <algorithm>
#include <cmath>

namespace vkmoe::conformance {
namespace {

std::vector<uint32_t> reference(const std::vector<float>& values, uint32_t n_rows, uint32_t n_columns) {
    std::vector<uint32_t> ids;
    for (size_t row = 0; row < n_rows; ++row) {
        const float* x = values.data() + row * n_columns;
        uint32_t best = 0;
        for (uint32_t i = 1; i < n_columns; ++i)
            if (x[i] > x[best]) best = i;
        for (uint32_t i = n_columns; i-- > 0;)
            if (!std::isfinite(x[i])) best = kArgmaxBroken | i;
        ids.push_back(best);
    }
    return ids;
}

/// lead: bytes by which the input's address misses a larger alignment. workgroup_size 0: by the plan.
void check_rows(CaseContext& c, const KernelKey& cell, const std::vector<float>& values, uint32_t n_rows,
                uint64_t lead = 0, uint32_t workgroup_size = 0) {
    const uint32_t n_columns = static_cast<uint32_t>(values.size() / n_rows);
    // What lies outside the rows must not count.
    std::vector<float> surrounded(lead / sizeof(float), kInfinity);
    surrounded.insert(surrounded.end(), values.begin(), values.end());
    surrounded.push_back(kInfinity);
    auto ids = c.output<uint32_t>(n_rows);
    ArgmaxArgs args;
    args.input = c.upload(surrounded).address + lead;
    args.output = ids.address();
    args.n_rows = n_rows;
    args.n_columns = n_columns;
    args.path = cell.path;
    args.workgroup_size = workgroup_size;
    c.run({argmax(c.kernels(), args)});
    require_equal<uint32_t>(
        fmt::format("{} rows of {}, lead {}, workgroup {}", n_rows, n_columns, lead, workgroup_size),
        reference(values, n_rows, n_columns), ids.read());
}

void random_rows(CaseContext& c, const KernelKey& cell, Numbers numbers, uint32_t n_rows,
                 uint32_t n_columns) {
    check_rows(c, cell, random_numbers(c.random(), numbers, n_rows, n_columns), n_rows);
}

/// Few different values, so that ties are everywhere.
std::vector<float> coarse_values(std::mt19937& random, size_t n) {
    std::vector<float> values(n);
    for (float& value : values) value = (static_cast<float>(random_below(random, 19)) - 9) / 4;
    return values;
}

void ties(CaseContext& c, const KernelKey& cell) {
    for (const uint32_t n_columns : {4096u, 1001u, 7u})
        check_rows(c, cell, coarse_values(c.random(), size_t{6} * n_columns), 6);
    check_rows(c, cell, {-1, -0.0f, 0.0f, -2, -1, 0.0f, -0.0f, -2}, 2);
}

/// A row with a single number that is not finite, anywhere in it, and rows of nothing else.
void nans(CaseContext& c, const KernelKey& cell) {
    check_rows(c, cell, {kNan, -kNan, kNan, -kInfinity, kNan}, 1);
    check_rows(c, cell, {kNan, -kNan, -3, kInfinity, kNan, kInfinity, 1, 2}, 1);
    check_rows(c, cell, std::vector<float>(777, kNan), 1);
    check_rows(c, cell, std::vector<float>(1024, -kNan), 2);
    std::vector<float> values = coarse_values(c.random(), 4 * 1000);
    for (size_t i = 0; i < values.size(); i += 3) values[i] = i % 2 == 0 ? kNan : -kNan;
    check_rows(c, cell, values, 4);
    std::vector<float> logits = random_numbers(c.random(), Numbers::kPlain, 3, 50257);
    logits[50257 + random_below(c.random(), 50257)] = kNan;
    check_rows(c, cell, logits, 3);
}

void infinities(CaseContext& c, const KernelKey& cell) {
    check_rows(c, cell, std::vector<float>(70000, -kInfinity), 1);
    check_rows(c, cell, std::vector<float>(3 * 33, kInfinity), 3);
    std::vector<float> values(3000, -kInfinity);
    values[random_below(c.random(), 3000)] = std::numeric_limits<float>::lowest();
    check_rows(c, cell, values, 1);
    for (const float special : {kInfinity, -kInfinity}) {
        values = coarse_values(c.random(), 4 * 1001);
        values[1001 * random_below(c.random(), 4) + random_below(c.random(), 1001)] = special;
        check_rows(c, cell, values, 4);
    }
}

/// Negative, zero or positive, none of which a device may mix up; but it may take them for zeros.
void subnormals(CaseContext& c, const KernelKey& cell) {
    std::vector<float> values = random_numbers(c.random(), Numbers::kSubnormal, 4, 500);
    for (float& value : values)
        if (value > 0 || random_bool(c.random())) value = -1;
    for (size_t row = 0; row < 4; ++row) values[row * 500 + random_below(c.random(), 500)] = 0x1p-126f;
    check_rows(c, cell, values, 4);
}

}  // namespace

std::vector<Case> argmax_cases(const KernelKey& cell, Depth depth) {
    std::vector<Case> cases = {
        {"rows of every length",
         [=](CaseContext& c) {
             for (const auto& [n_rows, n_columns] :
                  {std::pair{1u, 151936u}, std::pair{1u, 50257u}, std::pair{70u, 33u}, std::pair{5u, 1u},
                   std::pair{3u, 4u}, std::pair{2u, 4096u}})
                 random_rows(c, cell, Numbers::kPlain, n_rows, n_columns);
         }},
        {"ties go to the lowest index", [=](CaseContext& c) { ties(c, cell); }},
        {"a NaN is reported", [=](CaseContext& c) { nans(c, cell); }},
        {"infinities are reported", [=](CaseContext& c) { infinities(c, cell); }},
        {"subnormal numbers", [=](CaseContext& c) { subnormals(c, cell); }},
        {"large numbers", [=](CaseContext& c) { random_rows(c, cell, Numbers::kLarge, 3, 1000); }},
        {"addresses aligned to 4 bytes only",
         [=](CaseContext& c) {
             for (const uint64_t lead : {4, 8, 12, 16})
                 check_rows(c, cell, coarse_values(c.random(), 2 * 2052), 2, lead);
         }},
    };
    if (depth == Depth::kQuick) return cases;
    cases.push_back({"groups of every size", [=](CaseContext& c) {
                         for (const uint32_t size : {c.plan().subgroup_size, 128u})
                             check_rows(c, cell, coarse_values(c.random(), 3 * 2052), 3, 0, size);
                     }});
    cases.push_back({"more rows than a grid is wide",
                     [=](CaseContext& c) { random_rows(c, cell, Numbers::kPlain, 65537, 5); }});
    cases.push_back(
        {"a long row", [=](CaseContext& c) { random_rows(c, cell, Numbers::kPlain, 1, (1u << 22) + 3); }});
    return cases;
}

}  // namespace vkmoe::conformance
