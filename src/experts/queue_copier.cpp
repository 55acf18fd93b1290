#include "experts/queue_copier.h"

#include "experts/slot_plan.h"

#include <cstring>

namespace vkmoe {

namespace {

constexpr size_t kStages = 8;

}  // namespace

QueueCopier::QueueCopier(const std::shared_ptr<Device>& device, uint64_t largest_record)
    : arena_(device, MemoryKind::kUpload, "staging of experts"),
      queue_(device),
      largest_record_(largest_record) {}

uint64_t QueueCopier::submit(std::span<const RecordMove> moves, std::span<const TimelinePoint> waits) {
    batch_.clear();
    for (const RecordMove& move : moves) {
        const Allocation from =
            move.from.memory ? move.from.memory.slice(0, move.to.size) : stage(move, waits);
        batch_.push_back({.from = from, .to = move.to});
    }
    submit_batch(waits);
    return submitted_;
}

void QueueCopier::submit_batch(std::span<const TimelinePoint> waits) {
    submitted_ = queue_.submit(batch_, waits);
    batch_.clear();
    for (Stage& stage : stages_) {
        if (stage.free_at == kNotSubmitted) stage.free_at = submitted_;
    }
}

void QueueCopier::prepare() {
    if (!stages_.empty()) return;
    std::vector<Stage> stages(kStages);
    for (Stage& stage : stages) stage.memory = arena_.allocate(slot_bytes_of(largest_record_));
    stages_ = std::move(stages);  // all or none: a later record tries anew
}

Allocation QueueCopier::stage(const RecordMove& move, std::span<const TimelinePoint> waits) {
    prepare();
    Stage& stage = stages_[next_stage_];
    if (stage.free_at == kNotSubmitted) submit_batch(waits);
    queue_.wait(stage.free_at);
    next_stage_ = (next_stage_ + 1) % kStages;
    stage.free_at = kNotSubmitted;
    std::memcpy(stage.memory.mapped, move.from.data, move.to.size);
    return stage.memory.slice(0, move.to.size);
}

}  // namespace vkmoe
