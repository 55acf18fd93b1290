#pragma once

#include "base/child_process.h"
#include "conformance/result_json.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace vkmoe::conformance {

/// A supervisor's view of one worker process (worker.h).
class WorkerProcess {
  public:
    /// As ChildProcess does.
    explicit WorkerProcess(const std::vector<std::string>& command) : process_(command) {}

    int socket() const { return process_.socket(); }
    int output() const { return output_open_ ? process_.output() : -1; }

    void ask(const std::string& request);
    /// Lets the worker close the device and end.
    void close() { process_.end_requests(); }

    /// Takes in what has come. on_message hears each message; what the worker printed goes to standard error.
    /// False once the worker has ended, or does not speak as it should: then end() tells.
    bool receive(const std::function<void(const Json&)>& on_message);
    /// Waits for the end of a worker that is about to end, and kills it where that takes long. Returns how it
    /// ended and what it printed last, to follow "the process".
    std::string end();
    /// False where it does not end even so.
    bool kill() { return process_.kill(); }
    bool succeeded() const { return process_.succeeded(); }

    /// Errors that the validation layer has reported in this worker so far.
    uint64_t validation_errors() const { return validation_errors_; }

  private:
    LineReader::Read take_printed();

    ChildProcess process_;
    bool output_open_ = true;
    bool is_garbled_ = false;
    std::string last_words_;  // the last line that it printed since the last request
    uint64_t validation_errors_ = 0;
};

}  // namespace vkmoe::conformance
