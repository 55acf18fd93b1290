#include "conformance/supervisor.h"

#include "base/error.h"
#include "conformance/worker_process.h"

#include <fmt/ranges.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <limits>
#include <optional>
#include <set>

namespace vkmoe::conformance {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::chrono::milliseconds kTick(100);
constexpr Seconds kLongestTick(1.0);  // longer ones are those of a supervisor that was suspended
constexpr Seconds kStartPause(1.0);   // drivers that reset a device take a moment
constexpr uint32_t kStarts = 3;       // that fail one after the other before a place is given up
constexpr double kCloseLimit = 60;

enum class Work { kRun, kMeasure, kCopy };

struct Task {
    Work work = Work::kRun;
    size_t cell = 0;      // in the result
    std::string request;  // of the worker
    std::string lost;     // how the device was lost beside other cells; empty: it was not
};

/// A task in a worker.
struct Job {
    Task task;
    Clock::time_point start = Clock::now();
    std::string case_name;  // empty: before the first
    CellResult so_far;
    std::set<std::string> company;  // cells that ran at some time during the present case
    bool is_disturbed = false;      // meanwhile another worker lost the device, or all were suspended
};

/// Holds one worker and, after its end, the next.
struct Place {
    std::unique_ptr<WorkerProcess> worker;
    bool is_open = false;  // the device
    bool is_closing = false;
    bool is_closed = false;
    bool wants_memory = false;
    std::optional<Job> job;
    std::optional<Error> error;  // reported by the worker, which ends then
    Seconds silence{0};          // since it was heard or asked
    uint32_t n_failed_starts = 0;
    Clock::time_point next_start{};
};

class Supervisor : public Runner {
  public:
    Supervisor(std::vector<std::string> command, const RunOptions& options)
        : command_(std::move(command)), options_(options) {
        places_.resize(1);
        start(places_[0]);
        while (!places_[0].is_open) {
            wait_for_workers();
            if (places_[0].worker == nullptr) throw *start_failure_;
        }
    }

    DeviceCaps caps() const override { return caps_; }

    void run(const std::vector<KernelKey>& cells, const RunProgress& progress, RunResult& result) override {
        result = waiting_result(cells);
        for (size_t i = 0; i < cells.size(); ++i)
            tasks_.push_back({Work::kRun, i, fmt::format("run {}", cell_name(cells[i])), {}});
        const Clock::time_point begin = Clock::now();
        work_off(cells_at_once(options_), progress, result);
        result.seconds = Seconds(Clock::now() - begin).count();
    }

    SpeedReport measure(const std::vector<KernelKey>& cells, const RunProgress& progress,
                        RunResult& result) override {
        speeds_ = {};
        copy_failure_.clear();
        tasks_.push_back({Work::kCopy, 0, "measure", {}});
        for (size_t i = 0; i < cells.size(); ++i)
            tasks_.push_back({Work::kMeasure, i, fmt::format("measure {}", cell_name(cells[i])), {}});
        // The others would disturb it.
        work_off(1, progress, result);
        if (!copy_failure_.empty()) throw Error(ErrorCode::kInternal, copy_failure_);
        return std::move(speeds_);
    }

    void close(RunResult& result) override {
        result_ = &result;
        for (Place& place : places_) {
            if (!place.is_open) place.worker.reset();  // came too late to be needed
            if (place.worker == nullptr) continue;
            place.worker->close();
            place.is_closing = true;
            place.silence = Seconds(0);
        }
        while (std::ranges::any_of(places_, [](const Place& place) { return place.worker != nullptr; }))
            wait_for_workers();
    }

    uint64_t validation_errors() const override {
        uint64_t sum = ended_validation_errors_;
        for (const Place& place : places_)
            if (place.worker != nullptr) sum += place.worker->validation_errors();
        return sum;
    }

  private:
    /// Until all tasks are done, or no worker can open the device any more.
    void work_off(size_t n_places, const RunProgress& progress, RunResult& result) {
        result_ = &result;
        n_done_ = 0;
        n_tasks_ = tasks_.size();
        places_.resize(std::max(places_.size(), std::min(n_places, n_tasks_)));
        last_tick_ = Clock::now();
        Clock::time_point next_report = Clock::now();
        try {
            while (n_done_ != n_tasks_) {
                hand_out(n_places);
                if (is_stuck()) {
                    result.ended = start_failure_->what();
                    tasks_.clear();
                    break;
                }
                wait_for_workers();
                if (progress && Clock::now() >= next_report) {
                    progress(n_done_, n_tasks_, running_names());
                    next_report = Clock::now() + kTick;
                }
            }
            if (progress) progress(n_done_, n_tasks_, "");
        } catch (...) {
            places_.clear();
            memory_holder_ = nullptr;
            tasks_.clear();
            throw;
        }
    }

    void hand_out(size_t n_places) {
        const auto is_busy = [](const Place& place) { return place.job.has_value(); };
        auto n_busy = static_cast<size_t>(std::ranges::count_if(places_, is_busy));
        const bool alone = std::ranges::any_of(
            places_, [](const Place& place) { return place.job && !place.job->task.lost.empty(); });
        for (Place& place : places_) {
            if (tasks_.empty() || n_busy >= n_places || alone) return;
            // Those that lost the device beside others come last.
            if (!tasks_.front().lost.empty() && n_busy != 0) return;
            if (place.worker == nullptr && may_start(place)) start(place);
            if (!place.is_open || place.job) continue;
            Job job;
            job.task = std::move(tasks_.front());
            tasks_.pop_front();
            job.so_far.cell = result_->cells[job.task.cell].cell;
            place.worker->ask(job.task.request);
            place.silence = Seconds(0);
            for (Place& other : places_)
                if (other.job) other.job->company.insert(cell_name(job.so_far.cell));
            job.company = running_cells();
            place.job = std::move(job);
            ++n_busy;
        }
    }

    static bool may_start(const Place& place) {
        return place.n_failed_starts < kStarts && Clock::now() >= place.next_start;
    }

    /// Whether nothing runs, and no worker can be had for what waits.
    bool is_stuck() const {
        return std::ranges::all_of(places_, [](const Place& place) {
            return place.worker == nullptr && place.n_failed_starts >= kStarts;
        });
    }

    void start(Place& place) {
        place.is_open = false;
        place.silence = Seconds(0);
        try {
            place.worker = std::make_unique<WorkerProcess>(command_);
        } catch (const Error& error) {
            note_failed_start(place, error);
        }
    }

    void note_failed_start(Place& place, const Error& error) {
        start_failure_ = error;
        ++place.n_failed_starts;
        place.is_open = false;
        place.next_start = Clock::now() + std::chrono::duration_cast<Clock::duration>(kStartPause);
    }

    /// Handles what comes from the workers within one tick, and ends those that take too long.
    void wait_for_workers() {
        std::vector<pollfd> files;
        for (const Place& place : places_) {
            if (place.worker == nullptr) continue;
            files.push_back({place.worker->socket(), POLLIN, 0});
            files.push_back({place.worker->output(), POLLIN, 0});
        }
        ::poll(files.data(), files.size(), static_cast<int>(kTick.count()));
        const Clock::time_point now = Clock::now();
        const Seconds passed = std::min<Seconds>(now - last_tick_, kLongestTick);
        last_tick_ = now;
        for (Place& place : places_) {
            if (place.worker == nullptr) continue;
            place.silence += passed;
            if (place.job && passed == kLongestTick) place.job->is_disturbed = true;
            const bool goes_on = place.worker->receive([&](const Json& message) { hear(place, message); });
            if (!goes_on) {
                end(place);
            } else if (!place.wants_memory && place.silence.count() > limit_of(place)) {
                end_hanging(place);
            }
        }
        grant_memory();
    }

    double limit_of(const Place& place) const {
        if (place.is_closing) return kCloseLimit;
        // Nothing is expected of an idle one.
        return place.is_open && !place.job ? std::numeric_limits<double>::infinity() : options_.case_limit;
    }

    void hear(Place& place, const Json& message) {
        place.silence = Seconds(0);
        if (message.contains("device")) {
            caps_ = device_from(message["device"]);
            place.is_open = true;
            place.n_failed_starts = 0;
        } else if (message.contains("closed")) {
            place.is_closed = true;
        } else if (message.contains("error")) {
            const Json& error = message["error"];
            place.error.emplace(static_cast<ErrorCode>(error.at("code").get<int>()),
                                error.at("message").get<std::string>());
        } else if (place.job) {
            hear_of_job(place, message);
        }
    }

    void hear_of_job(Place& place, const Json& message) {
        Job& job = *place.job;
        const KernelKey cell = job.so_far.cell;
        if (message.contains("wants_memory")) {
            place.wants_memory = true;
            return;
        }
        release_memory(place);
        if (message.contains("case")) {
            job.case_name = message["case"];
            job.so_far = cell_result_from(message.at("so_far"), cell);
            job.company = running_cells();
            job.company.erase(cell_name(cell));
        } else if (message.contains("cell")) {
            finish_cell(place, cell_result_from(message["cell"], cell));
        } else if (message.contains("copy")) {
            speeds_.copy_gigabytes = speeds_.best_gigabytes = message["copy"];
            finish(place);
        } else {
            for (const Json& speed : message.at("speeds")) add_speed(speeds_, speed_from(speed, cell));
            finish(place);
        }
    }

    // Only one worker at a time takes large pieces of memory: no driver need tell how much others have taken.
    void grant_memory() {
        if (memory_holder_ != nullptr) return;
        for (Place& place : places_) {
            if (!place.wants_memory) continue;
            place.wants_memory = false;
            place.silence = Seconds(0);
            memory_holder_ = place.worker.get();
            place.worker->ask("memory");
            return;
        }
    }
    void release_memory(Place& place) {
        place.wants_memory = false;
        if (memory_holder_ == place.worker.get()) memory_holder_ = nullptr;
    }

    void finish(Place& place) {
        place.job.reset();
        ++n_done_;
    }

    void finish_cell(Place& place, CellResult result) {
        const Task& task = place.job->task;
        result.ran = true;
        if (!task.lost.empty() && result.failures.empty())
            result_->problems.push_back(
                fmt::format("{}; alone, {} passes", task.lost, cell_name(result.cell)));
        result_->cells[task.cell] = std::move(result);
        finish(place);
    }

    /// A cell that brought its worker to an end.
    void fail_job(Place& place, const std::string& message) {
        Job& job = *place.job;
        if (job.task.work == Work::kRun) {
            CellResult failed = std::move(job.so_far);
            if (!job.case_name.empty()) ++failed.n_cases;
            failed.seconds = Seconds(Clock::now() - job.start).count();
            failed.failures.push_back({job.case_name.empty() ? "before the first case" : job.case_name,
                                       message,
                                       std::nullopt,
                                       std::nullopt,
                                       {},
                                       {}});
            finish_cell(place, std::move(failed));
        } else if (job.task.work == Work::kMeasure) {
            result_->cells[job.task.cell].failures.push_back(
                {"its speed", message, std::nullopt, std::nullopt, {}, {}});
            finish(place);
        } else {
            copy_failure_ = message;
            finish(place);
            n_done_ += tasks_.size();
            tasks_.clear();
        }
    }

    /// The worker's streams have ended.
    void end(Place& place) {
        const std::string how = place.worker->end();
        if (place.job) {
            if (place.error && place.error->code() == ErrorCode::kDeviceLost)
                lose_device(place, place.error->what());
            else if (place.error)
                fail_job(place, place.error->what());
            else
                fail_job(place, "the process " + how);
        } else if (place.is_closing) {
            if (!place.is_closed || !place.worker->succeeded())
                result_->problems.push_back(fmt::format("the process {}, while it closed the device", how));
        } else if (place.error) {
            note_failed_start(place, *place.error);
        } else {
            const std::string message = place.is_open
                                            ? fmt::format("the process {}, while nothing ran in it", how)
                                            : fmt::format("cannot open the device: the process {}", how);
            if (place.is_open && result_ != nullptr) result_->problems.push_back(message);
            note_failed_start(place, Error(ErrorCode::kInternal, message));
        }
        remove_worker(place);
    }

    void end_hanging(Place& place) {
        std::string message = fmt::format("did not end within {} s and was killed", limit_of(place));
        if (!place.worker->kill()) message += ", but does not end even so";
        if (place.job)
            fail_job(place, "the case " + message);
        else if (place.is_closing)
            result_->problems.push_back(fmt::format("the process {}, while it closed the device", message));
        else
            note_failed_start(place,
                              Error(ErrorCode::kInternal, "cannot open the device: the process " + message));
        remove_worker(place);
    }

    void lose_device(Place& place, const std::string& message) {
        Job& job = *place.job;
        for (Place& other : places_)
            if (&other != &place && other.job) other.job->is_disturbed = true;
        const bool is_clear = job.company.empty() && !job.is_disturbed;
        if (!job.task.lost.empty() || is_clear) return fail_job(place, message);
        job.task.lost =
            fmt::format("{}; it occurred in {}: {}", message, cell_name(job.so_far.cell), job.case_name);
        if (!job.company.empty())
            job.task.lost += fmt::format(", while {} also ran", fmt::join(job.company, " and "));
        tasks_.push_back(std::move(job.task));
        place.job.reset();
    }

    void remove_worker(Place& place) {
        release_memory(place);
        ended_validation_errors_ += place.worker->validation_errors();
        place.worker.reset();
        place.is_open = place.is_closing = place.is_closed = false;
        place.error.reset();
    }

    std::set<std::string> running_cells() const {
        std::set<std::string> cells;
        for (const Place& place : places_)
            if (place.job) cells.insert(cell_name(place.job->so_far.cell));
        return cells;
    }

    std::string running_names() const {
        std::vector<std::string> names;
        for (const Place& place : places_)
            if (place.job)
                names.push_back(
                    fmt::format("{}: {}", cell_name(place.job->so_far.cell), place.job->case_name));
        return fmt::format("{}", fmt::join(names, "; "));
    }

    std::vector<std::string> command_;
    RunOptions options_;
    DeviceCaps caps_;
    std::vector<Place> places_;
    const WorkerProcess* memory_holder_ = nullptr;
    std::optional<Error> start_failure_;  // the last
    uint64_t ended_validation_errors_ = 0;
    Clock::time_point last_tick_ = Clock::now();

    // Of the present run:
    std::deque<Task> tasks_;
    size_t n_tasks_ = 0;
    size_t n_done_ = 0;
    RunResult* result_ = nullptr;
    SpeedReport speeds_;
    std::string copy_failure_;  // without it there are no speeds
};

}  // namespace

std::unique_ptr<Runner> run_in_workers(std::vector<std::string> command, const RunOptions& options) {
    return std::make_unique<Supervisor>(std::move(command), options);
}

}  // namespace vkmoe::conformance
