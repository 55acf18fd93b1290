#include "cli/options.h"

#include "base/error.h"
#include "base/host_memory.h"
#include "base/input_file.h"
#include "cli/memory_size.h"
#include "formats/gguf.h"
#include "gpu/device.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>

namespace vkmoe::cli {
namespace {

constexpr uint32_t kMaxMicroBatch = 1U << 16;
/// What program and driver take from the load on, for threads and kernels that are compiled. On lavapipe that
/// was 107 MiB where no kernel had been compiled before, and 49 MiB where all of them came from the cache.
constexpr uint64_t kLaterRam = 128ULL << 20;
/// Both together are taken for no less: some MiB of the libraries are there in one run and not in the next,
/// and a budget that worked is to work again. lavapipe's 58 MiB stay below it.
constexpr uint64_t kLeastReserve = 200ULL << 20;
/// What a model file's header and the tokenizer made of it take, by the header's size. With the 151,643
/// tokens and their merges that Qwen has 5 were measured.
constexpr uint64_t kHeaderCopies = 6;

constexpr std::string_view kStandardInput = "-";

}  // namespace

CLI::Validator existing_file() {
    const auto check = [](std::string& path) -> std::string {
        struct stat status {};
        if (::stat(path.c_str(), &status) != 0) return open_failure(path, errno);
        return S_ISDIR(status.st_mode) ? not_a_file(path, status.st_mode) : std::string();
    };
    return CLI::Validator(check, "").name(kInputMark);
}

CLI::Validator existing_text() {
    const CLI::Validator file = existing_file();
    const auto check = [file](std::string& path) { return path == kStandardInput ? "" : file(path); };
    return CLI::Validator(check, "").name(kInputMark);
}

void add_model_option(CLI::App& command, std::string& path) {
    command.add_option("-m,--model", path, "GGUF model file; any part of a split model")
        ->required()
        ->check(existing_file())
        ->type_name("FILE");
}

void add_device_option(CLI::App& command, std::string& device) {
    command
        .add_option(
            "--device", device,
            "Device to use, by its index in `vkmoe devices` or by whole words of its name, such as 3060 or "
            "'rtx 3060'; default: $VKMOE_DEVICE, else the best one")
        ->type_name("INDEX|NAME");
}

void add_text_option(CLI::App& command, TextOption& option, const std::string& what) {
    CLI::Option_group* group = command.add_option_group(what, "One of these");
    group
        ->add_option(
            "-p,--prompt", option.text,
            "The text. Backslashes are taken as they are: for a line break write $'one\\ntwo' in bash, "
            "or use -f")
        ->type_name("TEXT");
    group->add_option("-f,--file", option.file, "File with the text; - reads standard input")
        ->check(existing_text())
        ->type_name("FILE");
    group->require_option(1);
}

std::string TextOption::read() const {
    return file.empty() ? text : read_text(file);
}

std::string read_text(const std::string& path) {
    return path == kStandardInput ? read_standard_input() : read_stream(path);
}

void add_session_options(CLI::App& command, SessionOptions& options) {
    command.add_option("--micro-batch", options.n_micro_batch, "Number of prompt tokens computed at once")
        ->check(whole_number(1, kMaxMicroBatch))
        ->type_name("N");
    command.add_option("--kv", options.kv_type, "Data type of the KV cache")
        ->check(CLI::IsMember({"f16", "f32", "q8_0"}, CLI::ignore_case).description(""))
        ->type_name("f16|f32|q8_0");
}

TensorType SessionOptions::cache_type() const {
    const std::string type = CLI::detail::to_lower(kv_type);
    return type == "f32" ? TensorType::kF32 : type == "q8_0" ? TensorType::kQ8_0 : TensorType::kF16;
}

vkmoe_session_params SessionOptions::params(uint32_t n_context) const {
    vkmoe_session_params params;
    vkmoe_session_default_params(&params, sizeof params);
    params.n_context = n_context;
    params.n_micro_batch = n_micro_batch;
    const TensorType type = cache_type();
    params.kv_type = type == TensorType::kF32    ? VKMOE_KV_F32
                     : type == TensorType::kQ8_0 ? VKMOE_KV_Q8_0
                                                 : VKMOE_KV_F16;
    return params;
}

SessionShape SessionOptions::shape(uint32_t n_context) const {
    return {.n_context = n_context, .micro_batch = n_micro_batch, .kv_type = cache_type()};
}

void add_load_options(CLI::App& command, LoadOptions& options) {
    const auto check = [](std::string& text) -> std::string {
        if (parse_memory_size(text)) return {};
        return fmt::format(
            "'{}' is not an amount of memory; use a form such as 12G, 800MiB, 50% or a number of bytes",
            text);
    };
    const CLI::Validator is_size(check, "");
    command
        .add_option("--vram-budget", options.vram_budget,
                    "Maximum device memory, such as 12G, 800MiB, 50% or a number of bytes; experts that do "
                    "not fit are "
                    "offloaded to host memory; default: the free device memory less some headroom")
        ->check(is_size)
        ->type_name("SIZE");
    command
        .add_option("--ram-budget", options.ram_budget,
                    "Maximum RAM of the process, including program, driver and, on devices without memory of "
                    "their own, "
                    "device memory; experts that do not fit stay in the file; default: the free RAM less "
                    "some headroom")
        ->check(is_size)
        ->type_name("SIZE");
    command
        .add_option(
            "--pager", options.pager,
            "Manage the expert cache on the device or on the host; auto measures both and selects the "
            "faster one")
        ->check(CLI::IsMember({"auto", "device", "host"}).description(""))
        ->type_name("auto|device|host");
    command
        .add_option(
            "--prefetch", options.prefetch,
            "Prefetch the experts that the next layer will probably use; auto enables it if transfers "
            "do not slow computation down")
        ->check(CLI::IsMember({"auto", "on", "off"}).description(""))
        ->type_name("auto|on|off");
    command
        .add_option("--ignore-key", options.ignored_keys,
                    "Load the model as if its file lacked this metadata key; repeatable")
        ->take_all()
        ->allow_extra_args(false)
        ->type_name("KEY");
}

uint64_t LoadOptions::vram_bytes(const std::string& device) const {
    const MemorySize size = parse_memory_size(vram_budget).value_or(MemorySize{});
    if (size.share == 0) return size.bytes;
    const std::shared_ptr<Instance> instance = Instance::create();
    const uint32_t index = choose_device(*instance, device);
    const DeviceCaps caps = query_caps(instance->physical_devices()[index]);
    return size.of(device_heap_totals(caps, plan_heaps(caps)).size);
}

uint64_t LoadOptions::ram_bytes() const {
    return parse_memory_size(ram_budget).value_or(MemorySize{}).of(total_host_memory());
}

uint64_t LoadOptions::ram_reserve(const std::string& model) const {
    if (ram_bytes() == 0) return 0;
    const std::shared_ptr<Instance> instance = Instance::create();  // the driver is loaded now
    const uint64_t now = process_memory();
    const GgufFile file(model);
    uint64_t header = file.file_bytes();
    for (const GgufTensor& tensor : file.tensors()) header -= tensor.n_bytes;
    return std::max(now + kLaterRam, kLeastReserve) + kHeaderCopies * header;
}

PagerMode LoadOptions::pager_mode() const {
    return pager == "device" ? PagerMode::kDevice : pager == "host" ? PagerMode::kHost : PagerMode::kAuto;
}

Prefetch LoadOptions::prefetch_wish() const {
    return prefetch == "on" ? Prefetch::kOn : prefetch == "off" ? Prefetch::kOff : Prefetch::kAuto;
}

ModelParams LoadOptions::model_params(const std::string& model, const std::string& device,
                                      const SessionShape& session) const {
    ModelParams params;
    params.device = device;
    params.vram_budget = vram_bytes(device);
    params.ram_budget = ram_bytes();
    params.ram_reserve = ram_reserve(model);
    params.session = session;
    params.pager = pager_mode();
    params.prefetch = prefetch_wish();
    params.ignored_keys = ignored_keys;
    return params;
}

CLI::Validator whole_number(uint64_t low, uint64_t high) {
    const auto check = [=](std::string& text) -> std::string {
        uint64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error == std::errc() && end == text.data() + text.size() && value >= low && value <= high)
            return {};
        return fmt::format("'{}' is not a whole number from {} to {}", text, low, high);
    };
    return CLI::Validator(check, "");
}

CLI::Validator number_in_range(double low, bool low_open, double high, bool high_open,
                               const std::string& description) {
    const auto check = [=](std::string& text) -> std::string {
        char* end = nullptr;
        // As float, which the option becomes: a number so near a bound that it rounds to it lies there.
        const double exact = std::strtod(text.c_str(), &end);
        const auto value = static_cast<double>(static_cast<float>(exact));
        const bool vanishes = value == 0 && exact != 0;
        const bool is_number = end != text.c_str() && *end == '\0' && !vanishes;
        // NaN fails each comparison.
        const bool above = low_open ? value > low : value >= low;
        const bool below = high_open ? value < high : value <= high;
        if (is_number && above && below) return {};
        return fmt::format("'{}' is not a number {}", text, description);
    };
    return CLI::Validator(check, "");
}

}  // namespace vkmoe::cli
