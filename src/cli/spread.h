#pragma once

#include <algorithm>
#include <cassert>
#include <vector>

namespace vkmoe::cli {

/// The middle and the ends of numbers that were measured several times.
struct Spread {
    double median = 0;
    double least = 0;
    double most = 0;
};

/// Of at least one number; between two middle ones lies the median.
inline Spread spread_of(std::vector<double> numbers) {
    assert(!numbers.empty());
    std::ranges::sort(numbers);
    const size_t middle = numbers.size() / 2;
    const double median =
        numbers.size() % 2 == 1 ? numbers[middle] : (numbers[middle - 1] + numbers[middle]) / 2;
    return {median, numbers.front(), numbers.back()};
}

}  // namespace vkmoe::cli
