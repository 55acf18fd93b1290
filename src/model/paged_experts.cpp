#include "model/paged_experts.h"

#include "experts/device_pager.h"
#include "experts/host_pager.h"
#include "experts/pager.h"
#include "kernels/page_wave.h"
#include "model/look_ahead.h"
#include "model/model.h"

#include <algorithm>

namespace vkmoe {

namespace {

constexpr uint64_t kArgumentBytes = 3 * sizeof(uint32_t);

/// The ids of some tokens of a batch.
uint64_t ids_of(const BatchBuilder& batch, const ExpertRows& rows) {
    return rows.ids + uint64_t{rows.first_token} * batch.hyper().n_experts_used * sizeof(uint32_t);
}

/// What the look-ahead says of the layer after this one; empty where nobody looks.
struct Prediction {
    Allocation experts;
    Allocation probabilities;

    uint32_t n() const { return static_cast<uint32_t>(experts.size / sizeof(uint32_t)); }
};

/// Of one token: what several tokens will use fills more slots than may be spared.
Prediction prediction_of(const BatchBuilder& batch, uint32_t layer) {
    const Workspace& workspace = batch.workspace();
    const LookAheadBuffers& look_ahead = workspace.look_ahead;
    if (batch.n_tokens() != 1 || look_ahead.n_predicted == 0 || !next_expert_layer(batch.model(), layer))
        return {};
    const uint64_t bytes = look_ahead.n_predicted * sizeof(uint32_t);
    const auto part = [&](const Allocation& all) {
        return workspace.layer_part(all, layer, look_ahead.n_predicted).slice(0, bytes);
    };
    return {part(look_ahead.ids), part(look_ahead.probabilities)};
}

void add_few_on_device(BatchBuilder& batch, uint32_t layer, const ExpertRows& rows,
                       const Prediction& prediction) {
    const DevicePager& pager = *batch.model().pager()->on_device();
    const PageScratch& scratch = batch.workspace().paging.scratch;
    // Hits do not wait for the copies, whose slots are others.
    std::vector<Dispatch> hits = gate_up_of_few(batch, rows, scratch.hit_ids.address, {});
    std::vector<Dispatch> misses =
        gate_up_of_few(batch, rows, scratch.miss_ids.address, rows.experts.table.memory);
    DevicePager::Resolve resolve =
        pager.resolve(scratch, {.layer = layer,
                                .ids = ids_of(batch, rows),
                                .n_pairs = rows.n_tokens * batch.hyper().n_experts_used,
                                .predicted = prediction.experts.address,
                                .probabilities = prediction.probabilities.address,
                                .n_predicted = prediction.n(),
                                .miss_groups = misses.front().groups});
    batch.add(std::move(resolve.decide));
    batch.add(std::move(resolve.fetch));
    batch.add(std::move(hits));
    for (Dispatch& miss : misses) miss.indirect = resolve.miss_arguments;
    batch.add(std::move(misses));
    if (resolve.prefetch.pipeline != nullptr) batch.add(std::move(resolve.prefetch));
    batch.add(down_of_few(batch, rows));
}

void add_few_by_host(BatchBuilder& batch, uint32_t layer, const ExpertRows& rows,
                     const Prediction& prediction) {
    const PagerWorkspace& paging = batch.workspace().paging;
    const uint32_t n_pairs = rows.n_tokens * batch.hyper().n_experts_used;
    const uint64_t bytes = n_pairs * sizeof(uint32_t);
    const Allocation& chosen = batch.workspace().expert_ids;
    const Allocation ids = chosen.slice(ids_of(batch, rows) - chosen.address, bytes);
    const Allocation arguments = paging.scratch.arguments.slice(0, kArgumentBytes);
    std::vector<Dispatch> misses =
        gate_up_of_few(batch, rows, paging.scratch.miss_ids.address, rows.experts.table.memory);
    const HostResolve resolve{
        .layer = layer,
        .n_pairs = n_pairs,
        .n_predicted = prediction.n(),
        .ids = paging.ids_back.slice(0, bytes),
        .predicted = paging.predicted_back.slice(0, prediction.experts.size),
        .probabilities = paging.probabilities_back.slice(0, prediction.probabilities.size),
        .hit_ids = paging.scratch.hit_ids.slice(0, bytes),
        .miss_ids = paging.scratch.miss_ids.slice(0, bytes),
        .miss_arguments = arguments,
        .miss_groups = misses.front().groups};
    batch.copy(ids, resolve.ids);
    if (prediction.n() > 0) {
        batch.copy(prediction.experts, resolve.predicted);
        batch.copy(prediction.probabilities, resolve.probabilities);
    }
    batch.add_host_step(
        batch.model().pager()->on_host()->step(resolve),
        {gate_up_of_few(batch, rows, paging.scratch.hit_ids.address, rows.experts.table.memory)});
    for (Dispatch& miss : misses) miss.indirect = arguments;
    batch.add(std::move(misses));
    batch.add(down_of_few(batch, rows));
}

/// Waves one after the other; the copies of the next run beside the largest part of each.
void add_many_on_device(BatchBuilder& batch, uint32_t layer, const ExpertRows& rows) {
    const Pager& pager = *batch.model().pager();
    const DevicePager& on_device = *pager.on_device();
    const PageScratch& scratch = batch.workspace().paging.scratch;
    const SlotPlan& plan = pager.plan();
    const uint32_t n_pairs = batch.n_tokens() * batch.hyper().n_experts_used;
    const uint32_t n_waves = plan.n_waves(batch.hyper().n_experts);
    const bool overlaps = plan.ring_slots > plan.wave_slots;
    batch.add(on_device.batch(scratch, layer, rows.ids, n_pairs));
    for (uint32_t wave = 0; wave < n_waves; ++wave) {
        const MemoryView memory =
            wave == 0 ? pager.pool().slots_token() : pager.pool().ring_token(overlaps ? wave % 2 : 0);
        ExpertsOfMany parts = experts_of_many(batch, rows, scratch.wave_ids.address, memory);
        std::vector<std::array<uint32_t, 3>> groups;
        for (Dispatch& dispatch : parts.inner) {
            dispatch.indirect = scratch.wave_arguments.slice(groups.size() * kArgumentBytes, kArgumentBytes);
            groups.push_back(dispatch.groups);
        }
        batch.add(page_wave(batch.kernels(), {.ids = rows.ids,
                                              .waves = scratch.waves.address,
                                              .wave_ids = scratch.wave_ids.address,
                                              .arguments = scratch.wave_arguments.address,
                                              .wave = wave,
                                              .n_pairs = n_pairs,
                                              .n_experts = batch.hyper().n_experts,
                                              .groups = std::move(groups)}));
        batch.add(std::move(parts.group));
        const bool has_next = wave + 1 < n_waves;
        if (has_next && overlaps) batch.add(on_device.fetch_wave(scratch, wave + 1));
        batch.add(std::move(parts.gate_up));
        batch.add(std::move(parts.inner));
        batch.add(std::move(parts.down));
        if (has_next && !overlaps) batch.add(on_device.fetch_wave(scratch, wave + 1));
    }
    batch.add(combine_experts(batch, rows));
}

void add_many_by_host(BatchBuilder& batch, uint32_t layer, const ExpertRows& rows) {
    const PagerWorkspace& paging = batch.workspace().paging;
    const uint32_t n_pairs = batch.n_tokens() * batch.hyper().n_experts_used;
    const uint64_t bytes = n_pairs * sizeof(uint32_t);
    const Allocation& chosen = batch.workspace().expert_ids;
    const HostBatch step{
        .layer = layer,
        .n_pairs = n_pairs,
        .ids = paging.ids_back.slice(0, bytes),
        .wave_ids = {paging.wave_ids[0].slice(0, bytes), paging.wave_ids[1].slice(0, bytes)}};
    batch.copy(chosen.slice(rows.ids - chosen.address, bytes), step.ids);
    std::vector<std::vector<Dispatch>> waves(2);
    for (uint32_t parity : {0u, 1u}) {
        ExpertsOfMany parts =
            experts_of_many(batch, rows, paging.wave_ids[parity].address, rows.experts.table.memory);
        for (std::vector<Dispatch>* part : {&parts.group, &parts.gate_up, &parts.inner, &parts.down})
            std::ranges::move(*part, std::back_inserter(waves[parity]));
    }
    batch.add_host_step(batch.model().pager()->on_host()->step(step), std::move(waves));
    batch.add(combine_experts(batch, rows));
}

}  // namespace

void add_paged_experts(BatchBuilder& batch, uint32_t layer, const ExpertRows& rows) {
    const Pager& pager = *batch.model().pager();
    const uint32_t ordinal = rows.experts.ordinal;
    const bool on_device = pager.on_device() != nullptr;
    if (rows.choice.down != ExpertForm::kPairs) {
        if (on_device) {
            add_many_on_device(batch, ordinal, rows);
        } else {
            add_many_by_host(batch, ordinal, rows);
        }
        return;
    }
    const Prediction prediction = prediction_of(batch, layer);
    const uint32_t at_once = pager.tokens_at_once();
    ExpertRows some = rows;
    for (; some.first_token < batch.n_tokens(); some.first_token += at_once) {
        some.n_tokens = std::min(at_once, batch.n_tokens() - some.first_token);
        if (on_device) {
            add_few_on_device(batch, ordinal, some, prediction);
        } else {
            add_few_by_host(batch, ordinal, some, prediction);
        }
    }
}

}  // namespace vkmoe
