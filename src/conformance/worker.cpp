#include "conformance/worker.h"

#include "base/child_process.h"
#include "base/error.h"
#include "conformance/result_json.h"
#include "gpu/validation.h"

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace vkmoe::conformance {
namespace {

/// The socket to the supervisor.
class Channel {
  public:
    Channel() : socket_(adopt_parent_socket()), reader_(socket_) {}

    std::optional<std::string> receive() { return receive_line(reader_); }

    void send(Json message) {
        message["validation_errors"] = validation_error_count();
        send_line(socket_, json_text(message, -1));
    }

    /// Leaves at once: objects of a device that failed may wait for it.
    [[noreturn]] void leave(const Error& error) {
        send({{"error", {{"code", static_cast<int>(error.code())}, {"message", error.what()}}}});
        std::fflush(nullptr);
        std::_Exit(1);
    }

  private:
    int socket_;
    LineReader reader_;
};

KernelKey cell_named(std::string_view name) {
    for (const KernelBinary& binary : kernel_table())
        if (cell_name(binary.key) == name) return binary.key;
    fail(ErrorCode::kInternal, "no kernel is called {}", name);
}

class Worker {
  public:
    Worker(Channel& channel, const std::string& device, const RunOptions& options)
        : channel_(channel), options_(options), kernels_(Device::create(device)), bench_(kernels_) {
        bench_.time_limit = options.time_limit;
        bench_.before_large_pieces = [this] {
            channel_.send({{"wants_memory", true}});
            channel_.receive();
        };
        channel_.send({{"device", device_json(kernels_.device().caps())}});
    }

    void answer(std::string_view request) {
        const size_t space = request.find(' ');
        const std::string_view word = request.substr(0, space);
        const std::string_view name = space == std::string_view::npos ? "" : request.substr(space + 1);
        if (word == "run") {
            run(cell_named(name));
        } else if (name.empty()) {
            const Profiler needs_timestamps(kernels_.shared_device());  // of which a copy has no need
            channel_.send({{"copy", copy_speed(kernels_)}});
        } else {
            Json speeds = Json::array();
            for (const Speed& speed : measure_speeds(kernels_, bench_, cell_named(name), options_.speeds))
                speeds.push_back(to_json(speed));
            channel_.send({{"speeds", speeds}});
        }
    }

  private:
    void run(const KernelKey& cell) {
        const auto on_case = [this](const CellResult& so_far, std::string_view name) {
            channel_.send({{"case", name}, {"so_far", to_json(so_far)}});
        };
        const CellResult result =
            run_cell(bench_, cell, options_.depth, options_.seed, on_case, options_.find_cases);
        channel_.send({{"cell", to_json(result)}});
    }

    Channel& channel_;
    const RunOptions& options_;
    KernelContext kernels_;
    Bench bench_;
};

}  // namespace

void serve_cells(const std::string& device, const RunOptions& options) {
    Channel channel;
    try {
        Worker worker(channel, device, options);
        while (const std::optional<std::string> request = channel.receive()) worker.answer(*request);
    } catch (const Error& error) {
        channel.leave(error);
    }
    channel.send({{"closed", true}});
}

}  // namespace vkmoe::conformance
