#include "conformance/generators.h"

#include <cmath>

namespace vkmoe::conformance {

std::vector<float> normal_numbers(std::mt19937& random, size_t n, float deviation) {
    std::normal_distribution<float> normal(0, deviation);
    std::vector<float> values(n);
    for (float& value : values) value = normal(random);
    return values;
}

std::vector<float> random_row_values(std::mt19937& random, size_t n) {
    std::normal_distribution<float> normal;
    std::uniform_int_distribution<int> exponent(-6, 3);
    std::vector<float> values(n);
    float scale = 1;
    for (size_t i = 0; i < n; ++i) {
        if (i % 32 == 0) scale = std::ldexp(1.0f, exponent(random));
        values[i] = scale * normal(random);
    }
    return values;
}

std::vector<float> random_numbers(std::mt19937& random, Numbers kind, uint32_t n_rows, uint32_t n_columns) {
    constexpr float kSmall = 0x1p-128f;
    constexpr float kLarge = 0x1p100f;
    std::vector<float> values = random_row_values(random, size_t{n_rows} * n_columns);
    float* middle = values.data() + size_t{n_rows / 2} * n_columns;
    switch (kind) {
        case Numbers::kPlain:
            break;
        case Numbers::kSubnormal:
            for (float& value : values) value *= kSmall;
            break;
        case Numbers::kLarge:
            for (float& value : values) value *= kLarge;
            break;
        case Numbers::kNan:
            middle[random_below(random, n_columns)] = kNan;
            break;
        case Numbers::kInfinities:
            for (int i = 0; i < 3; ++i)
                middle[random_below(random, n_columns)] = random_bool(random) ? kInfinity : -kInfinity;
            break;
    }
    return values;
}

}  // namespace vkmoe::conformance
