#include "model/memory_budgets.h"

#include <algorithm>

namespace vkmoe {

namespace {

/// Left to other programs and to what drivers take unseen: a twentieth, and at least so much.
constexpr uint64_t kHeadroomParts = 20;
constexpr uint64_t kLeastHeadroom = 256ull << 20;

uint64_t less(uint64_t bytes, uint64_t taken) {
    return bytes - std::min(bytes, taken);
}

uint64_t less_headroom(uint64_t bytes) {
    return less(bytes, std::max(bytes / kHeadroomParts, kLeastHeadroom));
}

}  // namespace

uint64_t ram_for_weights(const MemoryQuestion& question) {
    const uint64_t ram = question.ram_budget != 0 ? question.ram_budget : less_headroom(question.free_ram);
    return less(ram, question.session_ram);
}

MemoryBudgets split_memory(const MemoryQuestion& question) {
    const uint64_t ram = ram_for_weights(question);
    MemoryBudgets budgets{.vram = question.vram_budget, .tier = ram};
    if (!question.unified && budgets.vram == 0) budgets.vram = less_headroom(question.free_vram);
    uint64_t room = question.free_vram;
    if (budgets.vram != 0) room = std::min(room, budgets.vram);
    if (question.unified) room = std::min(room, ram);
    budgets.is_paged = question.has_experts && (question.must_page || question.whole_vram > room);
    if (!question.unified) return budgets;

    if (!budgets.is_paged) {
        if (question.ram_budget != 0) budgets.vram = std::max<uint64_t>(room, 1);
        return budgets;
    }
    if (budgets.vram == 0) {
        const uint64_t wanted = std::max({ram / 4 * 3, less(ram, question.full_tier), question.least_vram});
        budgets.vram = std::min(wanted, less(ram, question.least_tier));
    }
    // A budget that was not asked for need not leave room for what the device's will never hold.
    const uint64_t taken =
        question.ram_budget != 0 ? budgets.vram : std::min(budgets.vram, question.whole_vram);
    budgets.tier = less(ram, taken);
    return budgets;
}

}  // namespace vkmoe
