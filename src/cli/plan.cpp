#include "base/error.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/json_text.h"
#include "cli/memory_plan.h"
#include "cli/options.h"
#include "experts/trace.h"
#include "kernels/kernel_table.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace vkmoe::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormula =
    R"(Predict memory placement and decode speed of a model without loading it.

The speed is an upper bound. A token takes the longer of two times:
  device  the bytes read from device memory (dense weights, active experts, half of the KV cache), divided by the
          measured rate at which a matrix kernel reads device memory
  link    the bytes of missing experts, divided by the measured rate of the link; in host mode also one round trip
          to the host per layer
The hit rate is estimated from the share of the experts that fit in slots. Reads from the file, which happen if host
memory does not hold all experts, are not included.)";

struct Options {
    std::string model;
    std::string device;
    LoadOptions load;
    SessionOptions session;
    uint32_t n_context = 0;
    std::string trace;
    bool json = false;
};

std::string_view mode_name(PagerMode mode) {
    return mode == PagerMode::kDevice ? "device" : mode == PagerMode::kHost ? "host" : "none";
}

double percent(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

uint64_t slot_bytes(const SlotPlan& slots) {
    uint64_t bytes = 0;
    for (const uint64_t slot : slots.slot_bytes) bytes += slot;
    return bytes;
}

/// Text in two columns.
class Table {
  public:
    void heading(std::string_view title) { text_ += fmt::format("{}\n", title); }
    void line(std::string_view title, const std::string& value) {
        text_ += fmt::format("  {:<15}  {}\n", title, value);
    }
    const std::string& text() const { return text_; }

  private:
    std::string text_;
};

void describe_device_memory(const MemoryPlan& plan, Table& table) {
    table.heading(fmt::format("device memory: {} {}", human_bytes(plan.available),
                              plan.budget != 0 ? "within the budget" : "free"));
    table.line("dense weights", human_bytes(plan.dense));
    table.line("KV cache", fmt::format("{} for {} tokens of context", human_bytes(plan.session.kv_cache),
                                       plan.session_shape.n_context));
    table.line("activations", fmt::format("{} for {} tokens at once", human_bytes(plan.session.activations),
                                          plan.session_shape.micro_batch));
    if (plan.n_records == 0) return;
    if (!plan.is_paged) {
        table.line("experts", fmt::format("{}: all {}", human_bytes(plan.experts), plan.n_records));
    } else if (plan.fits()) {
        const SlotPlan& slots = plan.slots;
        table.line("expert slots",
                   fmt::format("{}: {} of {} experts ({:.1f}%)", human_bytes(slot_bytes(slots)),
                               slots.n_slots(), plan.n_records, percent(slots.n_slots(), plan.n_records)));
        if (slots.ring_first >= slots.n_slots() && slots.ring_slots != 0) {
            table.line("ring",
                       fmt::format("{}: {} places for prefill",
                                   human_bytes(slots.total_bytes() - slot_bytes(slots)), slots.ring_slots));
        } else if (slots.ring_slots != 0) {
            table.line("ring",
                       fmt::format("{} of the slots also serve as places for prefill", slots.ring_slots));
        }
    }
    table.line("minimum",
               fmt::format("{} with this context (--vram-budget {})", human_bytes(plan.least), plan.least));
}

void describe_host_memory(const MemoryPlan& plan, Table& table) {
    const HostPlan& host = plan.host;
    table.heading(fmt::format("host memory: {} for experts", human_bytes(host.budget)));
    table.line("experts", host.holds_all
                              ? fmt::format("{}: all {}", human_bytes(host.taken), plan.n_records)
                              : fmt::format("{}; the others stay in the file until they are needed",
                                            human_bytes(host.taken)));
    if (!host.pinned) table.line("pageable", "the device heap is too small to pin the experts as well");
    table.line("minimum", human_bytes(host.least));
}

void describe_speed(const SpeedPlan& speed, const LocalityCurve& locality, Table& table) {
    table.heading("expected speed, upper bound");
    table.line("decode", fmt::format("{:.1f} tokens/s", speed.tokens_per_second()));
    table.line("device", fmt::format("{:.2f} ms per token at {:.1f} GB/s", 1e3 * speed.device_seconds,
                                     speed.measured.device_bytes_per_second / 1e9));
    if (speed.mode == PagerMode::kAuto) return;
    table.line("misses",
               fmt::format("{:.2f} ms per token; {}", 1e3 * speed.link_seconds, describe(speed.measured)));
    table.line("hit rate", fmt::format("{:.0f}%, estimated from {}; {}-managed cache", 100 * speed.hit_rate,
                                       printable(locality.source), mode_name(speed.mode)));
}

std::string describe(const MemoryPlan& plan, const Model& model, const LocalityCurve& locality) {
    Table table;
    table.heading(fmt::format("{} on {}", printable(model.file().path()), plan.device));
    describe_device_memory(plan, table);
    if (plan.is_paged) describe_host_memory(plan, table);
    if (plan.speed) {
        describe_speed(*plan.speed, locality, table);
    } else if (plan.fits()) {
        table.heading("expected speed: not measured");
        table.line("reason", plan.why_no_speed);
    } else if (plan.is_paged || plan.n_records == 0) {
        table.heading("does not fit; raise the budget, or use a smaller context or --micro-batch");
    } else {
        table.heading(
            "does not fit with this context; --pager device or host offloads experts to host memory");
    }
    return table.text();
}

Json to_json(const MemoryPlan& plan, const LocalityCurve& locality) {
    Json json = {{"device", plan.device},
                 {"unified_memory", plan.unified_memory},
                 {"fits", plan.fits()},
                 {"paged", plan.is_paged},
                 {"available_bytes", plan.available},
                 {"vram_budget", plan.budget},
                 {"least_vram_budget", plan.least},
                 {"dense_bytes", plan.dense},
                 {"experts_bytes", plan.experts},
                 {"n_experts", plan.n_records},
                 {"context", plan.session_shape.n_context},
                 {"micro_batch", plan.session_shape.micro_batch},
                 {"kv_cache_bytes", plan.session.kv_cache},
                 {"activation_bytes", plan.session.activations}};
    if (plan.is_paged) {
        json.update({{"slots", plan.slots.n_slots()},
                     {"slot_bytes", slot_bytes(plan.slots)},
                     {"ring_slots", plan.slots.ring_slots},
                     {"ring_bytes", plan.slots.total_bytes() - slot_bytes(plan.slots)},
                     {"host_budget", plan.host.budget},
                     {"least_host_budget", plan.host.least},
                     {"host_bytes", plan.host.taken},
                     {"host_holds_all", plan.host.holds_all},
                     {"host_pinned", plan.host.pinned}});
    }
    if (!plan.why_no_speed.empty()) json["speed_not_measured"] = plan.why_no_speed;
    if (plan.speed) {
        const SpeedPlan& speed = *plan.speed;
        json.update({{"tokens_per_second", speed.tokens_per_second()},
                     {"device_seconds", speed.device_seconds},
                     {"device_bytes_per_second", speed.measured.device_bytes_per_second},
                     {"hit_rate", speed.hit_rate},
                     {"hit_rate_source", locality.source},
                     {"link_seconds", speed.link_seconds},
                     {"shader_bytes_per_second", speed.measured.shader_bytes_per_second},
                     {"copy_bytes_per_second", speed.measured.copy_bytes_per_second},
                     {"host_bytes_per_second", speed.measured.host_bytes_per_second},
                     {"round_trip_seconds", speed.measured.round_trip_seconds},
                     {"pager", mode_name(speed.mode)}});
    }
    return json;
}

/// From the trace that was asked for, which must be one of a model of this shape.
LocalityCurve locality_of(const Options& options, const Model& model) {
    if (options.trace.empty()) return published_locality();
    const RoutingTrace trace = read_trace(options.trace);
    const auto n_layers = static_cast<uint32_t>(model.needs().records.size());
    const HyperParameters& hyper = model.hyper();
    if (trace.shape.n_layers != n_layers || trace.shape.n_experts != hyper.n_experts) {
        fail(
            ErrorCode::kInvalidArgument,
            "'{}' is a trace of {} layers of {} experts, but '{}' has {} of {}; record a trace of this model "
            "with `vkmoe routes`",
            options.trace, trace.shape.n_layers, trace.shape.n_experts, options.model, n_layers,
            hyper.n_experts);
    }
    return measured_locality(trace);
}

void print_plan(const Options& options) {
    ModelParams params =
        options.load.model_params(options.model, options.device, options.session.shape(options.n_context));
    params.measure_only = true;
    const std::shared_ptr<Model> model = Model::load(options.model, params);
    const LocalityCurve locality = locality_of(options, *model);
    const MemoryPlan plan = make_memory_plan(*model, params, locality);
    StandardOutput().write(options.json ? json_text(to_json(plan, locality))
                                        : describe(plan, *model, locality));
}

}  // namespace

void add_plan_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand(
        "plan",
        "Predict memory placement, the smallest working budget and decode speed without loading the model");
    command->footer(std::string(kFormula));
    const auto options = std::make_shared<Options>();
    add_model_option(*command, options->model);
    command
        ->add_option(
            "-c,--context", options->n_context,
            "Context size in tokens; 0 means 4096, or the model's trained context if that is shorter")
        ->check(whole_number(0, 1U << 30));
    add_session_options(*command, options->session);
    add_device_option(*command, options->device);
    add_load_options(*command, options->load);
    command
        ->add_option("--trace", options->trace,
                     "Routing trace of this model, recorded by `vkmoe routes`, to estimate the hit rate; the "
                     "default is "
                     "the published curve of another model")
        ->check(existing_file())
        ->type_name("FILE");
    command->add_flag("--json", options->json, "Print JSON, with sizes in bytes");
    command->callback([options] { print_plan(*options); });
}

}  // namespace vkmoe::cli
