#pragma once

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <vector>

namespace vkmoe {

/// How long the call takes.
template <typename Function>
double seconds_of(const Function& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Of at least one value; of two middle ones the larger.
inline double median(std::vector<double> values) {
    assert(!values.empty());
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
}

}  // namespace vkmoe
