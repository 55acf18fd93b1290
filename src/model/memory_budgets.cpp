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

uint64_t vram_for_weights(const MemoryQuestion& question) {
    return question.pins_take_vram ? less(question.free_vram, question.session_ram) : question.free_vram;
}

namespace {

/// Of device memory that is RAM, for a model that does not fit, where nobody said how much to take.
uint64_t unified_share(const MemoryQuestion& question, uint64_t ram) {
    const uint64_t wanted = std::max({ram / 4 * 3, less(ram, question.full_tier), question.least_vram});
    // Headroom in the device's heaps as on a card, but not at the price of the least.
    const uint64_t vram = vram_for_weights(question);
    const uint64_t most = std::max(less_headroom(vram), std::min(vram, question.least_vram));
    return std::min({wanted, less(ram, question.least_tier), most});
}

/// Whether a tier of so many bytes is pinned; makes room for it where it must be.
bool plan_pins(const MemoryQuestion& question, uint64_t tier, MemoryBudgets& budgets) {
    if (!question.pins_take_vram) return true;
    const uint64_t vram = vram_for_weights(question);
    if (tier <= less(vram, std::min({budgets.vram, vram, question.whole_vram}))) return true;
    if (!question.must_pin || question.least_vram > less(vram, tier)) return false;
    budgets.vram = less(vram, tier);
    return true;
}

}  // namespace

MemoryBudgets split_memory(const MemoryQuestion& question) {
    const uint64_t ram = ram_for_weights(question);
    MemoryBudgets budgets{.vram = question.vram_budget, .tier = ram};
    const uint64_t vram = vram_for_weights(question);
    if (!question.unified && budgets.vram == 0) budgets.vram = less_headroom(vram);
    uint64_t room = vram;
    if (budgets.vram != 0) room = std::min(room, budgets.vram);
    if (question.unified) room = std::min(room, ram);
    budgets.is_paged = question.has_experts && (question.must_page || question.whole_vram > room);
    if (!budgets.is_paged) {
        if (question.unified && question.ram_budget != 0) budgets.vram = std::max<uint64_t>(room, 1);
        return budgets;
    }
    if (question.unified) {
        if (budgets.vram == 0) budgets.vram = unified_share(question, ram);
        // A budget that was not asked for need not leave room for what the device's will never hold.
        const uint64_t taken =
            question.ram_budget != 0 ? budgets.vram : std::min(budgets.vram, question.whole_vram);
        budgets.tier = less(ram, taken);
    }
    budgets.pins = plan_pins(question, std::min(budgets.tier, question.full_tier), budgets);
    return budgets;
}

}  // namespace vkmoe
