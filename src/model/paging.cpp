#include "model/paging.h"

#include "base/error.h"
#include "base/host_memory.h"
#include "base/log.h"
#include "base/units.h"
#include "experts/host_budget.h"
#include "experts/link_probe.h"
#include "kernels/kernel_table.h"
#include "model/session_memory.h"

#include <algorithm>

namespace vkmoe {

namespace {

/// Misses that a token is expected to have, for the choice of the mode: LRU of a fifth of Qwen3-30B-A3B's
/// experts hits 74% (ik_llama.cpp's discussion of expert caches), and less than a fifth is rarely what one
/// has.
constexpr double kExpectedMissShare = 0.25;

PagerMode choose_mode(PagerMode wished, const LinkSpeed& link, const PagerShape& shape,
                      const HostTier& host_tier) {
    if (wished == PagerMode::kDevice && !host_tier.all_pinned()) {
        fail(
            ErrorCode::kUnsupported,
            "--pager device is not possible: the device cannot access all experts in host memory because {}; "
            "use --pager host",
            host_tier.all_resident() ? "the driver refused to pin some of them"
                                     : "--ram-budget does not hold them all");
    }
    if (wished != PagerMode::kAuto) return wished;
    double record_bytes = 0;
    for (uint64_t bytes : shape.record_bytes) record_bytes += static_cast<double>(bytes);
    const LinkLoad load{.record_bytes = record_bytes / shape.n_layers(),
                        .records_missed = kExpectedMissShare * shape.n_layers() * shape.n_used,
                        .n_layers = shape.n_layers()};
    return choose_pager_mode(link, load, host_tier.all_pinned());
}

PagerShape shape_of(const Model& model) {
    PagerShape shape{.n_experts = model.hyper().n_experts, .n_used = model.hyper().n_experts_used};
    for (const RecordLayer& layer : model.needs().records) shape.record_bytes.push_back(layer.record_bytes);
    return shape;
}

/// Whether experts are fetched ahead: unless that was decided, where a queue can copy beside the computing.
bool prefetches(const Model& model, const ModelParams& params, PagerMode mode) {
    const bool beside = mode == PagerMode::kHost && model.kernels().plan().transfer_family.has_value();
    return params.prefetch == Prefetch::kOn || (params.prefetch == Prefetch::kAuto && beside);
}

}  // namespace

SessionShape planned_session(const Model& model, const ModelParams& params, PagerMode pager) {
    const SessionShape wish = params.session.value_or(SessionShape{});
    // The one who pages is not chosen yet: the host might.
    const PagerMode mode = params.pager == PagerMode::kDevice ? PagerMode::kDevice : PagerMode::kHost;
    const bool looks_ahead =
        wish.look_ahead || (pager != PagerMode::kAuto && prefetches(model, params, mode));
    SessionShape shape = session_shape(model, wish.n_context, wish.micro_batch, wish.kv_type, looks_ahead);
    shape.router_statistics = wish.router_statistics;
    shape.pager = pager;
    return shape;
}

MemoryQuestion memory_question(const Model& model, const ModelParams& params) {
    const Device& device = model.kernels().device();
    const MemoryNeeds& needs = model.needs();
    const SessionMemory session = measure_session(model, planned_session(model, params, PagerMode::kAuto));
    MemoryQuestion question{.unified = device.plan().unified_memory,
                            .vram_budget = params.vram_budget,
                            .free_vram = device.available_device_memory(),
                            .free_ram = available_host_memory(),
                            .whole_vram = needs.resident_bytes + session.bytes(),
                            .session_ram = session.host,
                            .has_experts = !needs.records.empty(),
                            .must_page = params.pager != PagerMode::kAuto,
                            .must_pin = params.pager == PagerMode::kDevice,
                            .pins_take_vram = device.plan().heaps.upload_is_device};
    // 0 would stand for no budget.
    if (params.ram_budget != 0)
        question.ram_budget = std::max(params.ram_budget, params.ram_reserve + 1) - params.ram_reserve;
    if (!question.has_experts) return question;

    const SessionMemory paged = measure_session(model, planned_session(model, params, needs.pager));
    const PagerShape shape = shape_of(model);
    question.least_vram = needs.dense_bytes + paged.bytes() + Pager::least_bytes(device, needs.pager, shape);
    question.session_ram = std::max(session.host, paged.host);
    question.full_tier = full_host_budget(needs.records, shape.n_experts, {});
    question.least_tier = params.pager == PagerMode::kDevice
                              ? question.full_tier  // it cannot read files
                              : least_host_budget(needs.records, shape.n_experts, {});
    return question;
}

uint64_t available_for_weights(const Model& model) {
    return std::min(model.kernels().device().available_device_memory(),
                    vram_for_weights(model.needs().question));
}

void require_budget(const Model& model, const ModelParams& params) {
    const MemoryNeeds& needs = model.needs();
    const MemoryQuestion& question = needs.question;
    const uint64_t available = available_for_weights(model);
    // Unless it is known which session comes, it need not be the one that was measured.
    const uint64_t session = measure_session(model, needs.session).bytes();
    const uint64_t least = question.least_vram - (params.session ? 0 : session);
    const bool pins = needs.budgets.pins || !question.must_pin;
    if (least <= available && needs.budgets.tier >= question.least_tier && pins) return;
    const uint64_t heaps = vram_for_weights(question);
    if (least > heaps) {
        fail(ErrorCode::kOutOfMemory,
             "{}: device '{}' has {} of memory left, but the weights take {} even with only the active "
             "experts of one token in one layer; use a smaller context or micro-batch, or another device",
             model.file().path(), model.kernels().device().caps().name, human_bytes(heaps),
             human_bytes(least));
    }
    if (!pins && needs.budgets.tier >= question.least_tier) {
        fail(ErrorCode::kOutOfMemory,
             "{}: --pager device needs {} of pinned memory for all experts, which device '{}' takes from its "
             "own memory; {} of it is left, but the other weights take {}; use --pager host",
             model.file().path(), human_bytes(question.full_tier), model.kernels().device().caps().name,
             human_bytes(heaps), human_bytes(least));
    }
    const uint64_t least_ram = question.least_tier + question.session_ram + params.ram_reserve;
    if (question.unified && params.vram_budget == 0) {
        fail(
            ErrorCode::kOutOfMemory,
            "{}: {} of RAM, which the device shares, is available for the model, but the model takes {} even "
            "with only the active experts of one token in one layer on the device; the smallest "
            "--ram-budget that works with a context of {} tokens is {} MiB",
            model.file().path(), human_bytes(ram_for_weights(question)),
            human_bytes(question.least_vram + question.least_tier), needs.session.n_context,
            mib_rounded_up(question.least_vram + least_ram));
    }
    if (least > available) {
        fail(ErrorCode::kOutOfMemory,
             "{}: {} of device memory is available, but the weights take {} even with only the active "
             "experts of one token in one layer; the smallest --vram-budget that works with a context of {} "
             "tokens is {} MiB",
             model.file().path(), human_bytes(available), human_bytes(question.least_vram - session),
             needs.session.n_context, mib_rounded_up(question.least_vram));
    }
    fail(ErrorCode::kOutOfMemory,
         "{}: {} of RAM is left for experts{}, but they need {} there; the smallest --ram-budget that works "
         "is {} MiB",
         model.file().path(), human_bytes(needs.budgets.tier),
         question.unified ? " besides the device memory, which is also RAM" : "",
         human_bytes(question.least_tier),
         mib_rounded_up(least_ram + (question.unified ? needs.budgets.vram : 0)));
}

LinkSpeed probe_link(KernelContext& kernels) {
    try {
        return measure_link(kernels);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::kOutOfMemory) throw;
        log_warn("the link could not be measured: {}", error.what());
        return {};
    }
}

std::unique_ptr<Pager> make_pager(const Model& model, const ModelParams& params, const LinkSpeed& link,
                                  float share_done) {
    KernelContext& kernels = model.kernels();
    PagerShape shape = shape_of(model);
    HostTierOptions options;
    options.budget_bytes = model.needs().budgets.tier;
    options.pin = model.needs().budgets.pins;
    if (params.progress) {
        options.progress = [&](float done) { return params.progress(share_done + (1 - share_done) * done); };
    }
    auto host_tier = std::make_unique<HostTier>(kernels.shared_device(), model.needs().records,
                                                model.hyper().n_experts, options);
    const PagerMode mode = choose_mode(params.pager, link, shape, *host_tier);
    if (params.copy_by == CopyBy::kHost && !kernels.plan().unified_memory) {
        fail(ErrorCode::kUnsupported,
             "host threads cannot copy experts to device '{}' because its memory is not mapped to the host; "
             "let a queue copy them",
             kernels.device().caps().name);
    }
    const uint32_t n_used = shape.n_used;
    auto pager =
        std::make_unique<Pager>(kernels, mode, std::move(shape), std::move(host_tier), link, params.copy_by);
    if (prefetches(model, params, mode)) pager->set_link_records(n_used);
    return pager;
}

}  // namespace vkmoe
