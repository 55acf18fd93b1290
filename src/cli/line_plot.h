#pragma once

#include <string>
#include <utility>
#include <vector>

namespace vkmoe::cli {

/// Lines over two axes that both go from 0 to 1 and are labelled in percent.
struct LinePlot {
    struct Line {
        std::string name;
        std::vector<std::pair<double, double>> points;  ///< x ascending
    };
    std::string title;
    std::string x_label;
    std::string y_label;
    std::vector<Line> lines;  ///< the legend names them in this order

    /// One SVG file, readable on light and on dark pages.
    std::string svg() const;
};

}  // namespace vkmoe::cli
