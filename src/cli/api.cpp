#include "cli/api.h"

#include "base/standard_streams.h"
#include "cli/console.h"

#include <fmt/format.h>

#include <cstdlib>
#include <stdexcept>

namespace vkmoe::cli {
namespace {

/// After the name of a device that is a processor.
std::string_view processor_note(const std::string& wish) {
    const bool chosen = !wish.empty() || std::getenv("VKMOE_DEVICE") != nullptr;
    return chosen ? " (software driver on the CPU: expect low speed)"
                  : " (software driver on the CPU: no GPU found, expect low speed)";
}

}  // namespace

void check(vkmoe_status status) {
    if (status == VKMOE_OK) return;
    if (interrupted()) throw Interrupted();
    throw std::runtime_error(vkmoe_last_error());
}

ModelHandle load_model(const std::string& path, const std::string& device, const LoadOptions& options,
                       const vkmoe_session_params& session) {
    vkmoe_model_params params;
    vkmoe_model_default_params(&params, sizeof params);
    if (!device.empty()) params.device = device.c_str();
    params.vram_budget = options.vram_bytes(device);
    params.ram_budget = options.ram_bytes();
    params.ram_reserve = options.ram_reserve(path);
    params.session = &session;
    params.pager = static_cast<vkmoe_pager>(options.pager_mode());  // the C API's numbers are the same
    params.prefetch = static_cast<vkmoe_prefetch>(options.prefetch_wish());
    std::vector<const char*> ignored_keys;
    for (const std::string& key : options.ignored_keys) ignored_keys.push_back(key.c_str());
    params.ignored_keys = ignored_keys.data();
    params.n_ignored_keys = ignored_keys.size();
    Progress progress("loading");
    params.user = &progress;
    params.progress = [](float done, void* user) {
        // Exceptions may not pass through C.
        try {
            static_cast<Progress*>(user)->update(double{done});
            return true;
        } catch (...) {
            return false;
        }
    };
    vkmoe_model* model = nullptr;
    check(vkmoe_model_load(path.c_str(), &params, &model));
    ModelHandle handle(model);
    const vkmoe_model_info info = model_info(model);
    print_standard_error("device: {}{}\n", info.device, info.device_is_cpu ? processor_note(device) : "");
    if (params.ram_budget != 0) {
        print_standard_error("RAM budget: {} of {} for the model, {} for the program and the driver\n",
                             human_bytes(params.ram_budget - params.ram_reserve),
                             human_bytes(params.ram_budget), human_bytes(params.ram_reserve));
    }
    if (*info.pager != '\0') print_standard_error("{}\n", info.pager);
    return handle;
}

vkmoe_model_info model_info(const vkmoe_model* model) {
    vkmoe_model_info info{};
    info.struct_size = sizeof info;
    check(vkmoe_model_get_info(model, &info));
    return info;
}

SessionHandle create_session(vkmoe_model* model, const vkmoe_session_params& params) {
    vkmoe_session* session = nullptr;
    check(vkmoe_session_create(model, &params, &session));
    return SessionHandle(session);
}

vkmoe_session_stats session_stats(const vkmoe_session* session) {
    vkmoe_session_stats stats{};
    stats.struct_size = sizeof stats;
    check(vkmoe_session_get_stats(session, &stats));
    return stats;
}

vkmoe_pager_stats session_pager_stats(const vkmoe_session* session) {
    vkmoe_pager_stats stats{};
    stats.struct_size = sizeof stats;
    check(vkmoe_session_pager_stats(session, &stats));
    return stats;
}

std::vector<int32_t> tokenize(const vkmoe_model* model, std::string_view text, unsigned flags) {
    // No token is shorter than a byte, but for those put around the text; a vocabulary may still grow a text
    // that it normalizes.
    std::vector<int32_t> tokens(text.size() + 2);
    size_t n_tokens = 0;
    vkmoe_status status =
        vkmoe_tokenize(model, text.data(), text.size(), flags, tokens.data(), tokens.size(), &n_tokens);
    if (status == VKMOE_INVALID_ARGUMENT && n_tokens > tokens.size()) {
        tokens.resize(n_tokens);
        status =
            vkmoe_tokenize(model, text.data(), text.size(), flags, tokens.data(), tokens.size(), &n_tokens);
    }
    check(status);
    tokens.resize(n_tokens);
    return tokens;
}

}  // namespace vkmoe::cli
