#pragma once

#include "kernels/router.h"

#include <vector>

namespace vkmoe::conformance {

/// What a published model's router does, beside its sizes.
struct Gating {
    RouterArgs args;  ///< without addresses
    bool biased = false;
    bool scaled_by_expert = false;
    bool by_table = false;
};

struct PublishedRouter {
    const char* name;
    Gating gating;
};

/// Every kind of router that published models have.
std::vector<PublishedRouter> published_routers();

}  // namespace vkmoe::conformance
