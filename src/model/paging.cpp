#include "model/paging.h"

#include "base/error.h"
#include "base/host_memory.h"
#include "base/log.h"
#include "experts/link_probe.h"
#include "kernels/kernel_table.h"
#include "model/session_memory.h"

#include <algorithm>

namespace vkmoe {

namespace {

/// Left to other programs and to what drivers take unseen: a twentieth, and at least so much.
constexpr uint64_t kHeadroomParts = 20;
constexpr uint64_t kLeastHeadroom = 256ull << 20;

uint64_t less_headroom(uint64_t bytes) {
    const uint64_t headroom = std::max(bytes / kHeadroomParts, kLeastHeadroom);
    return bytes > headroom ? bytes - headroom : 0;
}

/// Misses that a token is expected to have, for the choice of the mode: LRU of a fifth of Qwen3-30B-A3B's
/// experts hits 74% (ik_llama.cpp's discussion of expert caches), and less than a fifth is rarely what one
/// has.
constexpr double kExpectedMissShare = 0.25;

PagerMode choose_mode(PagerMode wished, const LinkSpeed& link, const PagerShape& shape,
                      const HostTier& host_tier) {
    if (wished == PagerMode::kDevice && !host_tier.all_pinned()) {
        fail(ErrorCode::kUnsupported,
             "--pager device: the device does not see all experts in host memory, because {}; use --pager "
             "host",
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

PagerShape shape_of(const Model& model, const std::vector<RecordLayer>& records) {
    PagerShape shape{.n_experts = model.hyper().n_experts, .n_used = model.hyper().n_experts_used};
    for (const RecordLayer& layer : records) shape.record_bytes.push_back(layer.record_bytes);
    return shape;
}

uint64_t mib_rounded_up(uint64_t bytes) {
    return (bytes + (1u << 20) - 1) >> 20;
}

}  // namespace

void set_memory_budget(Device& device, const ModelParams& params) {
    if (params.vram_budget != 0) {
        device.set_memory_budget(params.vram_budget);
    } else if (!device.plan().unified_memory) {
        device.set_memory_budget(less_headroom(device.available_device_memory()));
    }
}

uint64_t host_memory_budget(const ModelParams& params) {
    return params.ram_budget != 0 ? params.ram_budget : less_headroom(available_host_memory());
}

bool wants_pager(const Model& model, const ModelParams& params, uint64_t weight_bytes) {
    if (model.hyper().n_experts == 0) return false;
    if (params.pager != PagerMode::kAuto) return true;
    const SessionShape session = session_shape(model, 0, 0, TensorType::kF16, false);
    return weight_bytes + measure_session(model, session).bytes() >
           model.kernels().device().available_device_memory();
}

void require_budget(const Model& model, const ModelParams& params, const MeasuredWeights& dense) {
    const Device& device = model.kernels().device();
    const PagerMode mode = params.pager == PagerMode::kHost ? PagerMode::kHost : PagerMode::kDevice;
    const uint64_t least = dense.bytes + Pager::least_bytes(device, mode, shape_of(model, dense.records));
    const uint64_t available = device.available_device_memory();
    if (least <= available) return;
    const SessionShape session = session_shape(model, 0, 0, TensorType::kF16, false);
    fail(ErrorCode::kOutOfMemory,
         "{}: {} MiB of device memory are available, and the weights take {} MiB even with no more than one "
         "token's experts of a layer; the least --vram-budget that works with a context of {} tokens is {} "
         "MiB",
         model.file().path(), available >> 20, mib_rounded_up(least), session.n_context,
         mib_rounded_up(least + measure_session(model, session).bytes()));
}

LinkSpeed probe_link(KernelContext& kernels) {
    try {
        return measure_link(kernels);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::kOutOfMemory) throw;
        log_warn("the link was not measured: {}", error.what());
        return {};
    }
}

std::unique_ptr<Pager> make_pager(const Model& model, const ModelParams& params, const LinkSpeed& link,
                                  std::vector<RecordLayer> records, float share_done) {
    KernelContext& kernels = model.kernels();
    PagerShape shape = shape_of(model, records);
    HostTierOptions options;
    options.budget_bytes = host_memory_budget(params);
    if (params.progress) {
        options.progress = [&](float done) { return params.progress(share_done + (1 - share_done) * done); };
    }
    auto host_tier = std::make_unique<HostTier>(kernels.shared_device(), std::move(records),
                                                model.hyper().n_experts, options);
    const PagerMode mode = choose_mode(params.pager, link, shape, *host_tier);
    const uint32_t n_used = shape.n_used;
    auto pager = std::make_unique<Pager>(kernels, mode, std::move(shape), std::move(host_tier), link);
    const bool beside = mode == PagerMode::kHost && kernels.plan().transfer_family.has_value();
    if (params.prefetch == Prefetch::kOn || (params.prefetch == Prefetch::kAuto && beside))
        pager->set_link_records(n_used);
    return pager;
}

}  // namespace vkmoe
