#include "cli/router_report.h"

#include "base/error.h"
#include "base/standard_streams.h"
#include "cli/api.h"
#include "cli/json_text.h"
#include "cli/output_option.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace vkmoe::cli {

void add_router_report_option(CLI::App& command, RouterReportOption& option) {
    command
        .add_option_function<std::vector<std::string>>(
            "--router-statistics",
            [&option](const std::vector<std::string>& values) {
                option.wanted = true;
                if (!values.empty()) option.file = values.front();
            },
            "Print how evenly each layer's router distributes tokens over the experts; with FILE, write all "
            "figures to FILE as JSON")
        ->expected(0, 1)
        ->check(output_file())
        ->type_name("[FILE]");
}

std::string router_table(std::span<const RouterLayer> layers) {
    std::string table = fmt::format("{:>5} {:>8} {:>27} {:>6} {:>8} {:>8} {:>12}\n", "layer", "tokens",
                                    "per expert min/mean/max", "CV", "max/mean", "aux loss", "entropy bits");
    for (const RouterLayer& one : layers) {
        if (one.figures.n_tokens == 0) continue;
        const auto [least, most] = std::minmax_element(one.counts.begin(), one.counts.end());
        const double mean = static_cast<double>(*most) / one.figures.max_over_mean;
        table += fmt::format("{:>5} {:>8} {:>27} {:>6.3f} {:>8.2f} {:>8.4f} {:>12.3f}\n", one.layer,
                             one.figures.n_tokens, fmt::format("{}/{:.1f}/{}", *least, mean, *most),
                             one.figures.coefficient_of_variation, one.figures.max_over_mean,
                             one.figures.auxiliary_loss, one.figures.entropy);
    }
    return table;
}

std::string router_json(const std::string& model, std::span<const RouterLayer> layers) {
    nlohmann::ordered_json report = {{"model", model}, {"layers", nlohmann::ordered_json::array()}};
    for (const RouterLayer& one : layers) {
        if (one.figures.n_tokens == 0) continue;
        report["layers"].push_back({{"layer", one.layer},
                                    {"tokens", one.figures.n_tokens},
                                    {"auxiliary_loss", one.figures.auxiliary_loss},
                                    {"coefficient_of_variation", one.figures.coefficient_of_variation},
                                    {"max_over_mean", one.figures.max_over_mean},
                                    {"entropy_bits", one.figures.entropy},
                                    {"tokens_per_expert", one.counts},
                                    {"mean_probability", one.probabilities}});
    }
    return json_text(report);
}

RouterReport::RouterReport(const RouterReportOption& option, const vkmoe_model_info& info)
    : wanted_(option.wanted), model_(info.name), n_layers_(info.n_layers), n_experts_(info.n_experts) {
    if (!wanted_) return;
    if (n_experts_ == 0)
        fail(ErrorCode::kInvalidArgument,
             "the model is dense, so there are no router statistics; omit --router-statistics");
    if (!option.file.empty()) file_.emplace(option.file);
}

void RouterReport::finish(vkmoe_session* session) {
    if (!wanted_) return;
    std::vector<RouterLayer> layers(n_layers_);
    for (uint32_t layer = 0; layer < n_layers_; ++layer) {
        RouterLayer& one = layers[layer];
        one.layer = layer;
        one.figures.struct_size = sizeof one.figures;
        check(vkmoe_session_router_statistics(session, layer, &one.figures));
        one.counts.assign(one.figures.counts, one.figures.counts + n_experts_);
        one.probabilities.assign(one.figures.probabilities, one.figures.probabilities + n_experts_);
    }
    print_standard_error("{}", router_table(layers));
    if (!file_) return;
    file_->write(router_json(model_, layers));
    file_->commit();
}

}  // namespace vkmoe::cli
