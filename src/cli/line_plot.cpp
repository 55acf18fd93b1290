#include "cli/line_plot.h"

#include "formats/gguf_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>

namespace vkmoe::cli {
namespace {

constexpr double kWidth = 720;
constexpr double kHeight = 480;
constexpr double kLeft = 70;
constexpr double kTop = 50;
constexpr double kRight = 690;
constexpr double kBottom = 420;
constexpr double kLegendLine = 20;
constexpr size_t kMaxText = 200;

// Okabe and Ito's colours, which people with any colour vision can tell apart; marks differ for prints in
// grey.
constexpr std::string_view kColours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                         "#E69F00", "#56B4E9", "#000000"};

double x_of(const LinePlot& plot, double value) {
    return kLeft + value / plot.x.end() * (kRight - kLeft);
}
double y_of(const LinePlot& plot, double value) {
    return kBottom - value / plot.y.end() * (kBottom - kTop);
}

std::string number_on(const LinePlot::Axis& axis, uint32_t step) {
    const double value = axis.step * step;
    return axis.in_percent ? fmt::format("{:g}%", 100 * value) : fmt::format("{:g}", value);
}

/// Text from outside, one line of it, for between tags.
std::string escaped(std::string_view text) {
    std::string result;
    for (const char c : printable(text, kMaxText)) {
        switch (c) {
            case '&':
                result += "&amp;";
                break;
            case '<':
                result += "&lt;";
                break;
            case '>':
                result += "&gt;";
                break;
            default:
                result += c;
        }
    }
    return result;
}

std::string text_at(double x, double y, std::string_view attributes, std::string_view text) {
    return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, attributes, escaped(text));
}

std::string line_from(double x0, double y0, double x1, double y1, std::string_view attributes) {
    return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x0, y0, x1, y1,
                       attributes);
}

/// A disc, a square or a diamond, by turns.
std::string mark_at(double x, double y, size_t shape, std::string_view colour) {
    switch (shape % 3) {
        case 0:
            return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"{}\"/>\n", x, y, colour);
        case 1:
            return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"6\" height=\"6\" fill=\"{}\"/>\n",
                               x - 3, y - 3, colour);
        default:
            return fmt::format("<path d=\"M{:.1f} {:.1f} l4.5 4.5 l-4.5 4.5 l-4.5 -4.5 z\" fill=\"{}\"/>\n",
                               x, y - 4.5, colour);
    }
}

std::string axes(const LinePlot& plot) {
    constexpr std::string_view kGrid = "stroke=\"#d0d0d0\"";
    constexpr std::string_view kAxis = "stroke=\"#202020\"";
    std::string svg;
    for (uint32_t i = 0; i <= plot.x.n_steps; ++i) {
        const double x = x_of(plot, plot.x.step * i);
        svg += line_from(x, kTop, x, kBottom, kGrid);
        svg += text_at(x, kBottom + 18, "text-anchor=\"middle\"", number_on(plot.x, i));
    }
    for (uint32_t i = 0; i <= plot.y.n_steps; ++i) {
        const double y = y_of(plot, plot.y.step * i);
        svg += line_from(kLeft, y, kRight, y, kGrid);
        svg += text_at(kLeft - 8, y + 4, "text-anchor=\"end\"", number_on(plot.y, i));
    }
    svg += line_from(kLeft, kBottom, kRight, kBottom, kAxis);
    svg += line_from(kLeft, kTop, kLeft, kBottom, kAxis);
    svg += text_at((kLeft + kRight) / 2, kTop - 20, "text-anchor=\"middle\" font-size=\"16\"", plot.title);
    svg += text_at((kLeft + kRight) / 2, kBottom + 44, "text-anchor=\"middle\"", plot.x.label);
    const double middle = (kTop + kBottom) / 2;
    svg +=
        text_at(20, middle, fmt::format("text-anchor=\"middle\" transform=\"rotate(-90 20 {:.1f})\"", middle),
                plot.y.label);
    return svg;
}

std::string drawn(const LinePlot& plot, size_t index) {
    const LinePlot::Line& line = plot.lines[index];
    const std::string_view colour = kColours[index % std::size(kColours)];
    std::string path;
    std::string marks;
    for (const auto& [x_value, y_value] : line.points) {
        const double x = x_of(plot, x_value);
        const double y = y_of(plot, y_value);
        path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : " L", x, y);
        marks += mark_at(x, y, index, colour);
    }
    std::string svg = fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n{}", path,
                                  colour, marks);
    // The legend is where curves that rise to the right leave room.
    const double y = kBottom - 20 - kLegendLine * static_cast<double>(index);
    svg +=
        line_from(kRight - 200, y, kRight - 172, y, fmt::format("stroke=\"{}\" stroke-width=\"2\"", colour));
    svg += mark_at(kRight - 186, y, index, colour);
    svg += text_at(kRight - 164, y + 4, "", line.name);
    return svg;
}

}  // namespace

LinePlot::Axis LinePlot::Axis::of_numbers(std::string label, double most) {
    constexpr double kMostSteps = 10;
    double step = std::pow(10, std::floor(std::log10(std::max(most, 1e-9) / kMostSteps)));
    for (const double factor : {2.0, 2.5, 2.0})  // 1, 2, 5, 10 times a power of ten
        if (most > step * kMostSteps) step *= factor;
    const auto n_steps = static_cast<uint32_t>(std::max(std::ceil(most / step), 1.0));
    return {std::move(label), step, n_steps, false};
}

std::string LinePlot::svg() const {
    std::string svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
        "font-family=\"sans-serif\" font-size=\"13\">\n"
        "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
        kWidth, kHeight);
    svg += axes(*this);
    for (size_t i = 0; i < lines.size(); ++i) svg += drawn(*this, i);
    return svg + "</svg>\n";
}

}  // namespace vkmoe::cli
