#include "conformance/worker_process.h"

#include "base/standard_streams.h"
#include "formats/gguf_value.h"

#include <optional>

namespace vkmoe::conformance {
namespace {

// A worker that writes more without the end of a line has lost its senses.
constexpr size_t kLongestLine = size_t{64} << 20;
constexpr size_t kMostWords = 300;
constexpr std::chrono::milliseconds kEndTime(5000);

}  // namespace

void WorkerProcess::ask(const std::string& request) {
    last_words_.clear();
    process_.send(request);
}

LineReader::Read WorkerProcess::take_printed() {
    LineReader& printed = process_.printed();
    const LineReader::Read read = printed.read_some();
    std::string text;
    const auto add = [&](const std::string& line) {
        text += line + '\n';
        if (!line.empty()) last_words_ = line;
    };
    while (const std::optional<std::string> line = printed.line()) add(*line);
    if (read == LineReader::Read::kEnd || printed.bytes_waiting() > kLongestLine)
        if (const std::string rest = printed.take_rest(); !rest.empty()) add(rest);
    write_standard_error(text);
    if (read == LineReader::Read::kEnd) output_open_ = false;
    return read;
}

bool WorkerProcess::receive(const std::function<void(const Json&)>& on_message) {
    if (output_open_) take_printed();
    LineReader& messages = process_.messages();
    const bool is_open = messages.read_some() != LineReader::Read::kEnd;
    try {
        while (const std::optional<std::string> line = messages.line()) {
            const Json message = Json::parse(*line);
            validation_errors_ = message.at("validation_errors");
            on_message(message);
        }
        is_garbled_ = messages.bytes_waiting() > kLongestLine;
    } catch (const nlohmann::json::exception&) {
        is_garbled_ = true;
    }
    return is_open && !is_garbled_;
}

std::string WorkerProcess::end() {
    if (is_garbled_) {
        process_.kill();
        return "sent something that is no message, and was killed";
    }
    if (!process_.wait(kEndTime)) {
        process_.kill();
        return "closed its streams without ending, and was killed";
    }
    while (output_open_ && take_printed() == LineReader::Read::kBytes) continue;
    std::string text = process_.end_text();
    if (!last_words_.empty())
        text += fmt::format("; the last that it printed is '{}'", printable(last_words_, kMostWords));
    return text;
}

}  // namespace vkmoe::conformance
