#include "cli/memory_plan.h"

#include "base/error.h"
#include "experts/pager.h"
#include "kernels/kernel_table.h"
#include "model/paging.h"

#include <algorithm>

namespace vkmoe::cli {
namespace {

PagerShape pager_shape(const Model& model) {
    PagerShape shape{.n_experts = model.hyper().n_experts, .n_used = model.hyper().n_experts_used};
    for (const RecordLayer& layer : model.needs().records) shape.record_bytes.push_back(layer.record_bytes);
    return shape;
}

uint64_t sum_of_records(const PagerShape& shape) {
    uint64_t bytes = 0;
    for (const uint64_t record : shape.record_bytes) bytes += record * shape.n_experts;
    return bytes;
}

HostPlan plan_host(const MemoryNeeds& needs) {
    HostPlan host;
    host.budget = needs.budgets.tier;
    host.least = needs.question.least_tier;
    host.holds_all = host.budget >= needs.question.full_tier;
    host.taken = std::min(host.budget, needs.question.full_tier);
    host.pinned = needs.budgets.pins;
    return host;
}

/// Bytes of device memory that a token reads: of the embedding only a row.
double bytes_of_a_token(const Model& model, const MemoryPlan& plan, const PagerShape& shape) {
    const GgufFile& file = model.file();
    double bytes = static_cast<double>(plan.dense);
    if (file.find_tensor("output.weight") != nullptr) {
        if (const GgufTensor* embedding = file.find_tensor("token_embd.weight"))
            bytes -= static_cast<double>(embedding->n_bytes);
    }
    for (const uint64_t record : shape.record_bytes) bytes += static_cast<double>(record * shape.n_used);
    return bytes + static_cast<double>(plan.session.kv_cache) / 2;
}

SpeedPlan plan_speed(const Model& model, const ModelParams& params, const MemoryPlan& plan,
                     const PagerShape& shape, const LocalityCurve& locality) {
    SpeedPlan speed;
    if (plan.is_paged) speed.measured = measure_link(model.kernels());
    speed.measured.device_bytes_per_second = measure_device_memory(model.kernels());
    speed.device_seconds = bytes_of_a_token(model, plan, shape) / speed.measured.device_bytes_per_second;
    if (!plan.is_paged) return speed;
    speed.hit_rate = locality.hit_rate_at(static_cast<double>(plan.slots.n_slots()) / plan.n_records);
    const uint32_t n_layers = shape.n_layers();
    const LinkLoad load{.record_bytes = static_cast<double>(sum_of_records(shape)) / plan.n_records,
                        .records_missed = (1 - speed.hit_rate) * n_layers * shape.n_used,
                        .n_layers = n_layers};
    speed.mode = params.pager != PagerMode::kAuto
                     ? params.pager
                     : choose_pager_mode(speed.measured, load, plan.host.holds_all && plan.host.pinned);
    speed.link_seconds = link_seconds(speed.mode, speed.measured, load);
    return speed;
}

}  // namespace

double SpeedPlan::tokens_per_second() const {
    return 1 / std::max(device_seconds, link_seconds);
}

MemoryPlan make_memory_plan(const Model& model, const ModelParams& params, const LocalityCurve& locality) {
    const Device& device = model.kernels().device();
    const MemoryNeeds& needs = model.needs();
    const PagerShape experts = pager_shape(model);
    MemoryPlan plan;
    plan.device = device.caps().name;
    plan.unified_memory = device.plan().unified_memory;
    plan.available = available_for_weights(model);
    plan.budget = device.memory_budget();
    plan.session_shape = needs.session;
    plan.session = measure_session(model, needs.session);
    plan.dense = needs.dense_bytes;
    plan.experts = needs.resident_bytes - needs.dense_bytes;
    plan.n_records = experts.n_layers() * experts.n_experts;
    plan.is_paged = needs.budgets.is_paged;
    const bool has_experts = needs.question.has_experts;
    plan.least = has_experts ? needs.question.least_vram : needs.question.whole_vram;
    if (plan.is_paged) plan.host = plan_host(needs);
    plan.pins_or_need_not = needs.budgets.pins || !needs.question.must_pin;
    if (!plan.fits()) return plan;
    if (plan.is_paged) {
        const uint64_t beside = plan.dense + plan.session.bytes();
        plan.slots = Pager::plan_for(device, needs.pager, experts, plan.available - beside);
    }
    try {
        plan.speed = plan_speed(model, params, plan, experts, locality);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::kOutOfMemory) throw;
        plan.why_no_speed = error.what();
    }
    return plan;
}

}  // namespace vkmoe::cli
