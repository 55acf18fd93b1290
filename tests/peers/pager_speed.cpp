// What paging costs, side by side in one process, run by hand:
//
//   pager_speed MODEL.gguf [ROUNDS [PART [PROMPT]]]
//
// 1. Decoding with all experts resident, and by pagers whose slots miss nothing.
// 2. Decoding at the least budget, where nearly everything is missed: the time beyond that of the resident
//    model against a plain copy of the same bytes.
// 3. A prompt of PROMPT tokens (64) at the least budget and with slots for half of the experts, against the
//    resident model and a plain copy of all experts.
//
// The runs take turns, so that what else the machine does meets all of them; figures are medians.

#include "base/timing.h"
#include "engine/session.h"
#include "experts/pager.h"
#include "gpu/copy_queue.h"
#include "model/session_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <random>

namespace vkmoe {
namespace {

constexpr SessionParams kSession{.n_context = 1024, .n_micro_batch = 128};

/// A model in one way of being paged, and a session on it.
struct Runner {
    std::string name;
    std::shared_ptr<Model> model;
    std::unique_ptr<Session> session;
    std::vector<double> seconds;

    Runner(std::string called, const std::string& path, const ModelParams& params)
        : name(std::move(called)),
          model(Model::load(path, params)),
          session(std::make_unique<Session>(model, kSession)) {}
    void feed(std::span<const int32_t> tokens) {
        seconds.push_back(seconds_of([&] { session->feed(tokens); }));
    }
    double ms() const { return 1e3 * median(seconds); }
};

/// The budget at which so many bytes are left for experts, or the least.
uint64_t budget_of(const std::string& path, uint64_t expert_bytes) {
    const auto model = Model::load(path, {.measure_only = true});
    const SessionMemory session = measure_session(
        *model, session_shape(*model, kSession.n_context, kSession.n_micro_batch, kSession.kv_type, false));
    PagerShape shape{.n_experts = model->hyper().n_experts, .n_used = model->hyper().n_experts_used};
    for (const RecordLayer& layer : model->needs().records) shape.record_bytes.push_back(layer.record_bytes);
    const uint64_t least =
        Pager::least_bytes(model->kernels().device(), PagerMode::kDevice, shape) + (1u << 20);
    return model->needs().dense_bytes + session.bytes() + std::max(expert_bytes, least);
}

uint64_t all_expert_bytes(const std::string& path) {
    const auto model = Model::load(path, {.measure_only = true});
    uint64_t bytes = 0;
    for (const RecordLayer& layer : model->needs().records)
        bytes += slot_bytes_of(layer.record_bytes) * model->hyper().n_experts;
    return bytes;
}

/// Copies records by a queue and nothing else.
class PlainCopy {
  public:
    explicit PlainCopy(const Model& model)
        : queue_(model.kernels().shared_device()),
          arena_(model.kernels().shared_device(), MemoryKind::kDevice, "plain copy"),
          tier_(model.pager()->host_tier()),
          shape_(model.pager()->shape()) {
        const uint64_t largest = *std::ranges::max_element(shape_.record_bytes);
        for (int i = 0; i < 8; ++i) places_.push_back(arena_.allocate(slot_bytes_of(largest)));
    }

    /// Seconds that so many bytes take, in whole records.
    double seconds(uint64_t bytes) {
        return seconds_of([&] {
            uint64_t value = 0;
            while (bytes > 0) {
                std::vector<BufferCopy> copies;
                for (const Allocation& place : places_) {
                    const uint32_t layer = next_ / shape_.n_experts % shape_.n_layers();
                    const HostRecord record = tier_.acquire(layer, next_ % shape_.n_experts);
                    const uint64_t part = std::min(bytes, shape_.record_bytes[layer] / 16 * 16);
                    copies.push_back({record.memory.slice(0, part), place.slice(0, part)});
                    tier_.release(layer, next_ % shape_.n_experts);
                    bytes -= part;
                    next_ += 37;  // of another layer and far off, as misses are
                    if (bytes == 0) break;
                }
                value = queue_.submit(copies);
            }
            queue_.wait(value);
        });
    }

  private:
    CopyQueue queue_;
    Arena arena_;
    HostTier& tier_;
    const PagerShape& shape_;
    std::vector<Allocation> places_;
    uint32_t next_ = 0;
};

void all_hits(const std::string& path, int rounds) {
    const uint64_t all = all_expert_bytes(path);
    const uint64_t enough = budget_of(path, all + all / 16);
    const uint64_t some_missing = budget_of(path, all / 20 * 19);
    std::vector<Runner> runners;
    runners.emplace_back("resident", path, ModelParams{});
    runners.emplace_back("all slots", path, ModelParams{.vram_budget = enough, .pager = PagerMode::kHost});
    runners.emplace_back("device", path,
                         ModelParams{.vram_budget = some_missing, .pager = PagerMode::kDevice});
    runners.emplace_back("host", path, ModelParams{.vram_budget = some_missing, .pager = PagerMode::kHost});
    const std::vector<int32_t> same{7};
    // The same token over and over settles on few experts, which then are in slots.
    for (Runner& runner : runners) {
        for (int i = 0; i < 24; ++i) runner.feed(same);
        runner.seconds.clear();
    }
    const uint64_t misses_before = runners[2].model->pager()->counters().misses;
    std::vector<size_t> order{0, 1, 2, 3};
    std::mt19937 random(3);
    for (int round = 0; round < rounds; ++round) {
        std::ranges::shuffle(order, random);
        for (size_t i : order) runners[i].feed(same);
    }
    const double resident = runners[0].ms();
    fmt::print(
        "1. decoding, nothing missed (all slots: all experts have one; device, host: 95% do; {} misses in {} "
        "tokens)\n",
        runners[2].model->pager()->counters().misses - misses_before, rounds);
    for (const Runner& runner : runners)
        fmt::print("   {:<10} {:8.3f} ms a token, {:.3f} of resident\n", runner.name, runner.ms(),
                   runner.ms() / resident);
}

void misses(const std::string& path, int rounds) {
    const uint64_t least = budget_of(path, 0);
    Runner resident("resident", path, {});
    for (PagerMode mode : {PagerMode::kDevice, PagerMode::kHost}) {
        resident.session->truncate(0);
        resident.seconds.clear();
        Runner paged(mode == PagerMode::kDevice ? "device" : "host", path,
                     {.vram_budget = least, .pager = mode});
        const auto plain_model = Model::load(path, {.pager = PagerMode::kDevice});
        PlainCopy plain(*plain_model);
        std::mt19937 random(1);
        std::vector<double> plain_seconds;
        std::vector<double> beyond;
        uint64_t bytes = 0;
        for (int round = 0; round < rounds + 2; ++round) {
            const std::vector<int32_t> token{
                static_cast<int32_t>(random() % paged.model->hyper().n_vocabulary)};
            const uint64_t before = paged.model->pager()->counters().bytes_copied;
            resident.feed(token);
            paged.feed(token);
            bytes = paged.model->pager()->counters().bytes_copied - before;
            const double copying = plain.seconds(bytes);
            if (round < 2) continue;  // warms up
            plain_seconds.push_back(copying);
            beyond.push_back(paged.seconds.back() - resident.seconds.back());
        }
        const PagerCounters counters = paged.model->pager()->counters();
        fmt::print(
            "2. decoding at the least budget, {}: {:.1f} MB a token (hit rate {:.2f}), {:.2f} ms a token, "
            "{:.2f} ms resident\n   {:.2f} ms beyond resident, a plain copy {:.2f} ms ({:.1f} GB/s): link "
            "use {:.0f}% of it\n",
            paged.name, static_cast<double>(bytes) / 1e6,
            static_cast<double>(counters.hits) / static_cast<double>(counters.hits + counters.misses),
            paged.ms(), resident.ms(), 1e3 * median(beyond), 1e3 * median(plain_seconds),
            static_cast<double>(bytes) / median(plain_seconds) / 1e9,
            100 * median(plain_seconds) / median(beyond));
    }
}

void prompts(const std::string& path, int rounds, uint32_t n_tokens) {
    Runner resident("resident", path, {});
    std::mt19937 random(2);
    std::vector<int32_t> prompt(n_tokens);
    for (int32_t& token : prompt)
        token = static_cast<int32_t>(random() % resident.model->hyper().n_vocabulary);
    const uint64_t all = all_expert_bytes(path);
    const auto plain_model = Model::load(path, {.pager = PagerMode::kDevice});
    PlainCopy plain(*plain_model);
    std::vector<Runner> runners;
    for (uint64_t slots : {uint64_t{0}, all / 2}) {
        for (PagerMode mode : {PagerMode::kDevice, PagerMode::kHost}) {
            runners.emplace_back(fmt::format("{}, {}", mode == PagerMode::kDevice ? "device" : "host",
                                             slots == 0 ? "least" : "half"),
                                 path, ModelParams{.vram_budget = budget_of(path, slots), .pager = mode});
        }
    }
    runners.push_back(std::move(resident));
    std::vector<double> copying;
    for (int round = 0; round <= rounds; ++round) {
        if (round == 1) {  // the first warmed up
            for (Runner& runner : runners) runner.seconds.clear();
        }
        std::ranges::shuffle(runners, random);
        for (Runner& runner : runners) {
            runner.session->truncate(0);
            runner.feed(prompt);
        }
        copying.push_back(plain.seconds(all));
    }
    std::ranges::sort(runners, {}, &Runner::name);
    const double copy_ms = 1e3 * median(copying);
    const double allowed = std::ranges::find(runners, "resident", &Runner::name)->ms() + copy_ms;
    fmt::print("3. a prompt of {} tokens; all experts copied once takes {:.1f} ms\n", n_tokens, copy_ms);
    for (const Runner& runner : runners)
        fmt::print("   {:<14} {:8.1f} ms, {:.3f} of resident and that copy\n", runner.name, runner.ms(),
                   runner.ms() / allowed);
}

}  // namespace
}  // namespace vkmoe

int main(int argc, char** argv) {
    if (argc < 2) {
        fmt::print(stderr, "usage: pager_speed MODEL.gguf [ROUNDS [PART [PROMPT]]]\n");
        return 2;
    }
    const int rounds = argc > 2 ? std::max(std::atoi(argv[2]), 3) : 60;
    try {
        const int part = argc > 3 ? std::atoi(argv[3]) : 0;
        if (part == 0 || part == 1) vkmoe::all_hits(argv[1], rounds);
        if (part == 0 || part == 2) vkmoe::misses(argv[1], rounds);
        if (part == 0 || part == 3)
            vkmoe::prompts(argv[1], rounds, argc > 4 ? static_cast<uint32_t>(std::atoi(argv[4])) : 64);
    } catch (const std::exception& error) {
        fmt::print(stderr, "pager_speed: {}\n", error.what());
        return 1;
    }
    return 0;
}
