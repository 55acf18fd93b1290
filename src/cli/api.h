#pragma once

#include "cli/options.h"
#include "vkmoe/vkmoe.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe::cli {

/// Throws the C API's message when a call failed.
void check(vkmoe_status status);

struct FreeModel {
    void operator()(vkmoe_model* model) const { vkmoe_model_free(model); }
};
struct FreeSession {
    void operator()(vkmoe_session* session) const { vkmoe_session_free(session); }
};
using ModelHandle = std::unique_ptr<vkmoe_model, FreeModel>;
using SessionHandle = std::unique_ptr<vkmoe_session, FreeSession>;

/// Loads with a progress bar and says on stderr which device it is, what a RAM budget is for, and where
/// experts are paged how. device: as --device takes it; empty: the best. session: the largest to come.
ModelHandle load_model(const std::string& path, const std::string& device, const LoadOptions& options,
                       const vkmoe_session_params& session);
vkmoe_model_info model_info(const vkmoe_model* model);
SessionHandle create_session(vkmoe_model* model, const vkmoe_session_params& params);
vkmoe_session_stats session_stats(const vkmoe_session* session);
vkmoe_pager_stats session_pager_stats(const vkmoe_session* session);
/// flags: of vkmoe_tokenize_flags.
std::vector<int32_t> tokenize(const vkmoe_model* model, std::string_view text, unsigned flags);

}  // namespace vkmoe::cli
