#include "engine/session.h"

#include "base/error.h"
#include "base/log.h"
#include "engine/finite_logits.h"
#include "experts/device_pager.h"
#include "experts/pager.h"
#include "kernels/argmax.h"
#include "model/batch_builder.h"
#include "model/blocks.h"
#include "sched/program.h"
#include "sched/scheduler.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>

namespace vkmoe {

namespace {

/// What a batch's command buffer leaves behind.
enum class Output { kNothing, kLastLogits, kNextToken };

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::unique_ptr<CommandBuffer> recorded_copy(const std::shared_ptr<Device>& device, const Allocation& from,
                                             const Allocation& to) {
    Recorder recorder(device);
    recorder.copy(from, to);
    return recorder.finish();
}

}  // namespace

struct Session::State {
    State(std::shared_ptr<Model> of, const SessionParams& params, const SessionShape& shape)
        : model(std::move(of)),
          micro_batch(shape.micro_batch),
          device(model->kernels().shared_device()),
          profiler(params.profile ? std::make_unique<Profiler>(device) : nullptr),
          cache(device, model->hyper(), shape.kv_type, shape.n_context),
          workspace(*model, shape),
          scheduler(device, profiler.get()),
          has_router_statistics(shape.router_statistics),
          allow_nonfinite(params.allow_nonfinite) {
        stats.kv_bytes = cache.bytes();
        if (workspace.route_totals.size == 0) return;
        keep_totals = recorded_copy(device, workspace.route_totals, workspace.kept_route_totals);
        restore_totals = recorded_copy(device, workspace.kept_route_totals, workspace.route_totals);
    }

    /// Runs what feeds tokens to the sequence: all of it, or where it throws as if it had not been begun.
    void transact(const std::function<void()>& feeding);
    /// Returns the seconds that it took.
    double feed(std::span<const int32_t> tokens, std::span<float> all_logits);
    /// Makes the totals those of the tokens that were fed.
    void settle_totals();
    Program record(BatchBuilder& batch, Output output, uint32_t logit_rows);
    const Program& batch_program(uint32_t n_tokens, Output output);
    void compute(std::span<const int32_t> tokens, std::span<float> all_logits);
    void set_input(std::span<const int32_t> tokens);
    void check_input(std::span<const int32_t> tokens) const;
    void check_logits(std::span<const float> rows, uint32_t first_position) const;
    [[noreturn]] void fail_broken_choice(uint32_t token);
    void read_logits(uint32_t first_row, uint32_t n_rows, uint32_t n_tokens, std::span<float> to);

    std::shared_ptr<Model> model;
    uint32_t micro_batch;
    std::shared_ptr<Device> device;
    std::unique_ptr<Profiler> profiler;
    KvCache cache;
    Workspace workspace;
    /// Between the totals that layers add to while they are computed, and those of the tokens that were fed.
    std::unique_ptr<CommandBuffer> keep_totals;
    std::unique_ptr<CommandBuffer> restore_totals;
    bool totals_are_spoilt = false;  // by tokens that failed
    Scheduler scheduler;             // destroyed before the totals' commands: it waits for those in flight
    uint32_t position = 0;
    uint32_t last_batch = 0;  // tokens of the micro-batch that was computed last
    bool has_logits = false;
    bool has_router_statistics;
    bool allow_nonfinite;
    std::vector<float> last_logits;
    std::vector<float> new_logits;  // of tokens that are being fed
    SessionStats stats;
    /// Recorded once, replayed from then on. Decode is one of them; a long prompt's full micro-batches are
    /// another.
    std::map<std::pair<uint32_t, Output>, std::unique_ptr<Program>> recorded;
    uint64_t pager_generation = 0;  // of the slots that they refer to
};

void Session::State::transact(const std::function<void()>& feeding) {
    settle_totals();
    const uint32_t before = position;
    try {
        feeding();
        // Nobody waits for it: the device has nothing to do until the next tokens come.
        if (keep_totals) scheduler.submit(*keep_totals);
    } catch (...) {
        position = before;  // of several micro-batches some may have gone well
        last_batch = 0;     // and what routes() reads is theirs
        totals_are_spoilt = true;
        throw;
    }
}

void Session::State::settle_totals() {
    if (totals_are_spoilt && restore_totals) scheduler.run(*restore_totals);
    totals_are_spoilt = false;
}

Program Session::State::record(BatchBuilder& batch, Output output, uint32_t logit_rows) {
    if (output == Output::kLastLogits) {
        const uint64_t bytes = uint64_t{logit_rows} * model->hyper().n_vocabulary * sizeof(float);
        batch.copy(workspace.logits.slice(0, bytes), workspace.logits_readback.slice(0, bytes));
    }
    if (const Pager* pager = model->pager(); pager != nullptr && pager->on_device() != nullptr)
        batch.copy(pager->on_device()->header(), pager->on_device()->header_copy());
    return Program(device, profiler.get(), batch.take_parts());
}

const Program& Session::State::batch_program(uint32_t n_tokens, Output output) {
    if (const Pager* pager = model->pager(); pager != nullptr && pager->generation() != pager_generation) {
        recorded.clear();  // what refers to slots that are gone
        pager_generation = pager->generation();
    }
    std::unique_ptr<Program>& program = recorded[{n_tokens, output}];
    if (!program) {
        BatchBuilder batch(*model, workspace, cache, n_tokens);
        model->add_layers(batch);
        if (output != Output::kNothing) add_logits(batch, n_tokens - 1, 1);
        if (output == Output::kNextToken) add_argmax(batch);
        program = std::make_unique<Program>(record(batch, output, 1));
    }
    return *program;
}

void Session::State::check_input(std::span<const int32_t> tokens) const {
    const uint32_t n_vocabulary = model->hyper().n_vocabulary;
    for (size_t i = 0; i < tokens.size(); ++i) {
        if (tokens[i] < 0 || static_cast<uint32_t>(tokens[i]) >= n_vocabulary) {
            fail(ErrorCode::kInvalidArgument, "token {} at index {} is outside the vocabulary of {}",
                 tokens[i], i, n_vocabulary);
        }
    }
    if (tokens.size() > cache.n_context() - position) {
        fail(ErrorCode::kInvalidArgument,
             "{} tokens do not fit: {} of the context's {} tokens are in use; request a longer context or "
             "shorten the text",
             tokens.size(), position, cache.n_context());
    }
}

void Session::State::set_input(std::span<const int32_t> tokens) {
    std::memcpy(workspace.tokens.mapped, tokens.data(), tokens.size_bytes());
    std::vector<int32_t> positions(tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) positions[i] = static_cast<int32_t>(position + i);
    std::memcpy(workspace.positions.mapped, positions.data(), positions.size() * sizeof(int32_t));
}

void Session::State::read_logits(uint32_t first_row, uint32_t n_rows, uint32_t n_tokens,
                                 std::span<float> to) {
    BatchBuilder batch(*model, workspace, cache, n_tokens);
    add_logits(batch, first_row, n_rows);
    record(batch, Output::kLastLogits, n_rows).run(scheduler);
    std::memcpy(to.data(), workspace.logits_readback.mapped, to.size_bytes());
}

void Session::State::check_logits(std::span<const float> rows, uint32_t first_position) const {
    if (allow_nonfinite) return;
    const uint64_t n_vocabulary = model->hyper().n_vocabulary;
    for (; !rows.empty(); rows = rows.subspan(n_vocabulary))
        require_finite_logits(rows.first(n_vocabulary), first_position++);
}

/// token: the one that argmax found a broken logit at. Fetches it, for the message.
void Session::State::fail_broken_choice(uint32_t token) {
    BatchBuilder batch(*model, workspace, cache, 1);
    record(batch, Output::kLastLogits, 1).run(scheduler);
    float logit = 0;
    std::memcpy(&logit, workspace.logits_readback.mapped + uint64_t{token} * sizeof(float), sizeof(logit));
    fail_broken_logit(token, logit, position);
}

/// Computes tokens and moves on behind them, micro-batch by micro-batch.
void Session::State::compute(std::span<const int32_t> tokens, std::span<float> all_logits) {
    const uint64_t n_vocabulary = model->hyper().n_vocabulary;
    for (size_t begin = 0; begin < tokens.size(); begin += micro_batch) {
        const auto n = static_cast<uint32_t>(std::min<size_t>(micro_batch, tokens.size() - begin));
        const bool last = begin + n == tokens.size();
        set_input(tokens.subspan(begin, n));
        batch_program(n, last ? Output::kLastLogits : Output::kNothing).run(scheduler);
        if (last) {
            std::memcpy(new_logits.data(), workspace.logits_readback.mapped, n_vocabulary * sizeof(float));
        }
        if (!all_logits.empty()) {
            std::span<float> rows = all_logits.subspan(begin * n_vocabulary, n * n_vocabulary);
            for (uint32_t row = 0; row < n; row += workspace.max_logit_rows) {
                uint32_t count = std::min(workspace.max_logit_rows, n - row);
                read_logits(row, count, n, rows.subspan(row * n_vocabulary, count * n_vocabulary));
            }
            check_logits(rows, position);
        }
        if (last) check_logits(new_logits, position + n - 1);
        position += n;
        last_batch = n;
    }
}

SessionShape session_shape(const Model& model, const SessionParams& params) {
    const bool prefetches = model.pager() != nullptr && model.pager()->link_records() > 0;
    SessionShape shape = session_shape(model, params.n_context, params.n_micro_batch, params.kv_type,
                                       params.look_ahead || prefetches);
    shape.router_statistics = params.router_statistics;
    return shape;
}

Session::Session(std::shared_ptr<Model> model, const SessionParams& params) {
    if (params.n_context > (1u << 30)) {
        fail(ErrorCode::kInvalidArgument, "a context of {} tokens exceeds the maximum of {}",
             params.n_context, 1u << 30);
    }
    const SessionShape shape = session_shape(*model, params);
    Device& device = model->kernels().device();
    device.require_working();
    const std::lock_guard lock(device.allocation_mutex());
    require_room(*model, shape);
    try {
        state_ = std::make_unique<State>(model, params, shape);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::kOutOfMemory)
            require_room(*model, shape);  // the budget may have shrunk
        throw;
    }
    if (const uint32_t trained = model->hyper().n_context_train; shape.n_context > trained) {
        log_warn(
            "the context of {} tokens is longer than the {} that the model was trained with, so predictions "
            "degrade beyond position {}",
            shape.n_context, trained, trained);
    }
}

Session::~Session() {
    state_->model->kernels().pipelines().save();
}

const Model& Session::model() const {
    return *state_->model;
}
uint32_t Session::n_context() const {
    return state_->cache.n_context();
}
uint32_t Session::position() const {
    return state_->position;
}
bool Session::allows_nonfinite() const {
    return state_->allow_nonfinite;
}

double Session::State::feed(std::span<const int32_t> tokens, std::span<float> all_logits) {
    check_input(tokens);
    const uint64_t n_vocabulary = model->hyper().n_vocabulary;
    if (!all_logits.empty() && all_logits.size() != tokens.size() * n_vocabulary) {
        fail(ErrorCode::kInternal, "the buffer holds {} logits, but {} tokens have {}", all_logits.size(),
             tokens.size(), tokens.size() * n_vocabulary);
    }
    if (tokens.empty()) return 0;
    const Pager::Use use(model->pager());
    const auto start = std::chrono::steady_clock::now();
    new_logits.resize(n_vocabulary);
    transact([&] { compute(tokens, all_logits); });
    std::swap(last_logits, new_logits);
    has_logits = true;
    return seconds_since(start);
}

void Session::feed(std::span<const int32_t> tokens, std::span<float> all_logits) {
    state_->stats.prompt_seconds += state_->feed(tokens, all_logits);
    state_->stats.prompt_tokens += tokens.size();
}

void Session::feed_written(int32_t token) {
    state_->stats.decode_seconds += state_->feed(std::span(&token, 1), {});
    ++state_->stats.decoded_tokens;
}

std::span<const float> Session::logits() const {
    if (!state_->has_logits) fail(ErrorCode::kInvalidArgument, "no logits yet: feed a token first");
    return state_->last_logits;
}

int32_t Session::feed_greedy(int32_t token) {
    State& state = *state_;
    const std::span<const int32_t> tokens(&token, 1);
    state.check_input(tokens);
    const Pager::Use use(state.model->pager());
    const auto start = std::chrono::steady_clock::now();
    uint32_t next = 0;
    state.transact([&] {
        state.set_input(tokens);
        state.batch_program(1, Output::kNextToken).run(state.scheduler);
        std::memcpy(&next, state.workspace.next_token.mapped, sizeof(next));
        if ((next & kArgmaxBroken) != 0) state.fail_broken_choice(next & ~kArgmaxBroken);
        ++state.position;
        state.last_batch = 1;
    });
    state.has_logits = false;
    ++state.stats.decoded_tokens;
    state.stats.decode_seconds += seconds_since(start);
    return static_cast<int32_t>(next);
}

void Session::truncate(uint32_t n_tokens) {
    if (n_tokens > state_->position) {
        fail(ErrorCode::kInvalidArgument, "cannot truncate to {} tokens because the session holds {}",
             n_tokens, state_->position);
    }
    if (n_tokens == state_->position) return;
    state_->position = n_tokens;
    state_->has_logits = false;
}

SessionStats Session::stats() const {
    return state_->stats;
}

PagerStats Session::pager_stats() const {
    const Device& device = *state_->device;
    const Pager* pager = state_->model->pager();
    PagerStats stats = pager != nullptr ? pager->stats() : PagerStats{};
    stats.vram_budget = device.memory_budget();
    stats.peak_device_bytes = device.device_memory_peak();
    return stats;
}

std::vector<uint64_t> Session::expert_counts() const {
    state_->settle_totals();
    const HyperParameters& hyper = state_->model->hyper();
    std::vector<uint32_t> counts(uint64_t{hyper.n_layers} * hyper.n_experts);
    if (!counts.empty()) {
        download(*state_->device, state_->workspace.expert_counts, std::as_writable_bytes(std::span(counts)));
    }
    return {counts.begin(), counts.end()};
}

Routes Session::routes() const {
    if (state_->last_batch == 0) fail(ErrorCode::kInvalidArgument, "no routes yet: feed a token first");
    return read_routes(*state_->model, state_->workspace, state_->last_batch);
}

std::vector<LoadBalance> Session::router_statistics() const {
    if (!state_->has_router_statistics)
        fail(ErrorCode::kInvalidArgument,
             "the session does not collect router statistics; create it with router_statistics");
    const HyperParameters& hyper = state_->model->hyper();
    const size_t n_experts = hyper.n_experts;
    if (n_experts == 0) return {};
    const std::vector<uint64_t> counts = expert_counts();
    std::vector<float> parts(2 * hyper.n_layers * n_experts);
    download(*state_->device, state_->workspace.router_sums, std::as_writable_bytes(std::span(parts)));
    std::vector<LoadBalance> layers;
    for (size_t layer = 0; layer < hyper.n_layers; ++layer) {
        std::vector<double> sums(n_experts);
        for (size_t e = 0; e < n_experts; ++e) {
            const float* part = &parts[2 * (layer * n_experts + e)];
            sums[e] = double{part[0]} + part[1];
        }
        layers.push_back(load_balance(std::span(counts).subspan(layer * n_experts, n_experts), sums,
                                      hyper.n_experts_used));
    }
    return layers;
}

std::string Session::profile() const {
    return state_->profiler ? state_->profiler->table() : std::string();
}

}  // namespace vkmoe
