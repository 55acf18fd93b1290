#pragma once

#include "engine/session.h"
#include "vkmoe/vkmoe.h"

namespace vkmoe::capi {

/// What the caller gave, or the defaults for NULL. name: the argument's, for messages. Throws
/// kInvalidArgument.
SessionParams read_session_params(const vkmoe_session_params* params, const char* name);

}  // namespace vkmoe::capi
