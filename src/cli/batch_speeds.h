#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe::cli {

/// Numbers of rows, in ascending order: "1-64", "1,2,4,8", "1-8,16,32". Throws Error(kInvalidArgument) for
/// anything else, and for a number beyond `most`.
std::vector<uint32_t> parse_row_counts(std::string_view text, uint32_t most);

/// The time of one step of so many rows.
struct BatchSpeed {
    uint32_t n_rows = 0;
    std::vector<double> seconds;  ///< of each repeat

    double median_seconds() const;
    double tokens_per_second() const;
};

/// Measures steps of each number of rows: first once each, to warm up, then n_repeats times all numbers, up
/// and down by turns, so that a clock that changes meets all alike. step: computes so many rows and returns
/// the seconds. progress: hears the share of the work that is done.
std::vector<BatchSpeed> measure_batches(const std::vector<uint32_t>& row_counts, uint32_t n_repeats,
                                        const std::function<double(uint32_t n_rows)>& step,
                                        const std::function<void(double done)>& progress);

/// Two neighbouring numbers of rows between which the time grows by more than 1.15 times their ratio.
struct Cliff {
    uint32_t from = 0;
    uint32_t to = 0;
    double ratio = 0;  ///< of the times
};
std::vector<Cliff> find_cliffs(const std::vector<BatchSpeed>& speeds);

/// For people: a line for each number of rows, and a last one that names the cliffs.
std::string batch_table(const std::vector<BatchSpeed>& speeds);
nlohmann::ordered_json batch_json(const std::vector<BatchSpeed>& speeds);
/// Tokens a second by rows. name: of the line.
std::string batch_svg(const std::string& title, const std::string& name,
                      const std::vector<BatchSpeed>& speeds);

}  // namespace vkmoe::cli
