#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace vkmoe::cli {

/// Lines over two axes that begin at 0.
struct LinePlot {
    struct Axis {
        std::string label;
        double step = 0.2;  ///< between two numbers on the axis
        uint32_t n_steps = 5;
        bool in_percent = true;

        double end() const { return step * n_steps; }
        /// One for numbers up to `most`, at most ten steps long.
        static Axis of_numbers(std::string label, double most);
    };
    struct Line {
        std::string name;
        std::vector<std::pair<double, double>> points;  ///< x ascending
    };
    std::string title;
    Axis x;
    Axis y;
    std::vector<Line> lines;  ///< the legend names them in this order

    /// One SVG file, readable on light and on dark pages.
    std::string svg() const;
};

}  // namespace vkmoe::cli
