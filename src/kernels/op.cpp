#include "kernels/op.h"

#include <array>

namespace vkmoe {
namespace {

constexpr std::array<std::string_view, kOpCount> kNames = {
    "embed_rows",
    "rms_norm",
    "quantize_q8",
    "pack_float16",
    "matvec",
    "matmul",
    "expert_matvec",
    "expert_matvec_sum",
    "expert_matmul",
    "router",
    "router_statistics",
    "group_routes",
    "qk_norm_rope",
    "attention",
    "attention_reduce",
    "swiglu",
    "weigh_rows",
    "combine",
    "argmax",
    "page_fetch",
    "page_resolve",
    "page_batch",
    "page_wave",
};
static_assert(!kNames.back().empty(), "every op needs a name");

}  // namespace

std::string_view op_name(Op op) {
    return kNames[static_cast<size_t>(op)];
}

}  // namespace vkmoe
