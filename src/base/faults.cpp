#include "base/faults.h"

#include "base/error.h"

#ifdef VKMOE_FAULT_INJECTION

#include <fmt/ranges.h>

#include <array>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace vkmoe {
namespace {

constexpr std::array<std::string_view, 11> kPointNames = {
    "device_allocation", "host_pinning", "disk_read", "short_read", "device_lost", "submit", "wait",
    "thread_start",      "ring_submit",  "crash",     "hang"};

struct Rules {
    bool active = false;
    uint64_t every = 0;  // 0: no such rule, as in the next ones
    uint64_t at = 0;
    uint64_t after = 0;
    uint64_t times = 0;
    std::optional<double> chance;
    std::string only;  // empty: any
    std::mt19937_64 random{0};
    uint64_t n_calls = 0;
    uint64_t n_fired = 0;

    bool fires(std::string_view name) {
        if (!active || (!only.empty() && only != name)) return false;
        ++n_calls;
        // Drawn at each call, so that what the other rules let through does not shift the sequence.
        const bool drawn = !chance || std::uniform_real_distribution<double>()(random) < *chance;
        if (!drawn || (every != 0 && n_calls % every != 0) || (at != 0 && n_calls != at) ||
            n_calls <= after || (times != 0 && n_fired >= times))
            return false;
        ++n_fired;
        return true;
    }
};

using Plan = std::array<Rules, kPointNames.size()>;

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const size_t end = text.find(separator);
        parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

template <typename T>
T number(std::string_view rule, std::string_view text) {
    T value{};
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
        fail(ErrorCode::kInvalidArgument, "VKMOE_FAULTS: rule '{}' needs a valid number", rule);
    return value;
}

void add_rule(Rules& rules, std::string_view rule) {
    const size_t equals = rule.find('=');
    const std::string_view key = rule.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? "" : rule.substr(equals + 1);
    if (key == "chance") {
        rules.chance = number<double>(rule, value);
    } else if (key == "seed") {
        rules.random.seed(number<uint64_t>(rule, value));
    } else if (key == "only") {
        rules.only = value;
    } else {
        const std::array<std::pair<std::string_view, uint64_t Rules::*>, 4> counts = {
            {{"every", &Rules::every},
             {"at", &Rules::at},
             {"after", &Rules::after},
             {"times", &Rules::times}}};
        for (const auto& [name, member] : counts) {
            if (key != name) continue;
            rules.*member = number<uint64_t>(rule, value);
            return;
        }
        fail(ErrorCode::kInvalidArgument,
             "VKMOE_FAULTS: unknown rule '{}'; use every=, at=, after=, times=, chance=, seed= or only=",
             rule);
    }
}

Plan parse_plan(std::string_view text) {
    Plan plan;
    if (text.empty()) return plan;
    for (const std::string_view entry : split(text, ',')) {
        const std::vector<std::string_view> parts = split(entry, ':');
        size_t point = 0;
        while (point < kPointNames.size() && kPointNames[point] != parts[0]) ++point;
        if (point == kPointNames.size())
            fail(ErrorCode::kInvalidArgument, "VKMOE_FAULTS: unknown point '{}'; use one of {}", parts[0],
                 fmt::join(kPointNames, ", "));
        plan[point] = Rules();
        plan[point].active = true;
        for (size_t i = 1; i < parts.size(); ++i) add_rule(plan[point], parts[i]);
    }
    return plan;
}

/// The process's plan.
class Faults {
  public:
    Faults() {
        const char* text = std::getenv("VKMOE_FAULTS");
        if (text != nullptr) set(parse_plan(text));
    }

    void set(Plan plan) {
        const std::lock_guard lock(mutex_);
        plan_ = std::move(plan);
        any_ = false;
        for (const Rules& rules : plan_) any_ = any_ || rules.active;
    }

    bool fires(FaultPoint point, std::string_view name) {
        if (!any_) return false;
        const std::lock_guard lock(mutex_);
        return plan_[static_cast<size_t>(point)].fires(name);
    }

    uint64_t count(FaultPoint point) {
        const std::lock_guard lock(mutex_);
        return plan_[static_cast<size_t>(point)].n_fired;
    }

  private:
    std::mutex mutex_;
    std::atomic<bool> any_ = false;
    Plan plan_;
};

Faults& faults() {
    static Faults instance;
    return instance;
}

}  // namespace

bool fault(FaultPoint point) {
    return fault(point, {});
}

bool fault(FaultPoint point, std::string_view name) {
    return faults().fires(point, name);
}

void set_faults(std::string_view plan) {
    faults().set(parse_plan(plan));
}

uint64_t fault_count(FaultPoint point) {
    return faults().count(point);
}

}  // namespace vkmoe

#else

namespace vkmoe {

bool fault(FaultPoint) {
    return false;
}

bool fault(FaultPoint, std::string_view) {
    return false;
}

void set_faults(std::string_view plan) {
    if (!plan.empty())
        fail(ErrorCode::kInvalidArgument,
             "this build cannot inject faults; configure it with -DVKMOE_FAULT_INJECTION=ON");
}

uint64_t fault_count(FaultPoint) {
    return 0;
}

}  // namespace vkmoe

#endif
