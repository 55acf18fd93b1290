#include "cli/expert_sizes.h"

#include "model/tensor_names.h"

#include <fmt/format.h>

#include <map>
#include <string_view>

namespace vkmoe::cli {

uint64_t ExpertSizes::all_experts() const {
    uint64_t bytes = 0;
    for (const ExpertClass& size : classes) bytes += size.expert_bytes * n_experts * size.n_layers;
    return bytes;
}

uint64_t ExpertSizes::least_bytes() const {
    return dense_bytes + (classes.empty() ? 0 : n_used * classes.back().expert_bytes);
}

ExpertSizes expert_sizes(const GgufFile& file) {
    const std::string architecture = file.get_or<std::string>("general.architecture", "");
    const auto number = [&](std::string_view name) -> uint64_t {
        const GgufValue* value = file.find(fmt::format("{}.{}", architecture, name));
        return value == nullptr ? 0 : value->uniform<uint64_t>().value_or(0);
    };
    ExpertSizes sizes;
    sizes.n_experts = number("expert_count");
    sizes.n_used = number("expert_used_count");
    std::map<std::string_view, uint64_t> layers;  // by the part of the name before "ffn_"
    for (const GgufTensor& tensor : file.tensors()) {
        if (sizes.n_experts != 0 && is_of_experts(tensor.name)) {
            layers[std::string_view(tensor.name).substr(0, tensor.name.find("ffn_"))] += tensor.n_bytes;
        } else {
            sizes.dense_bytes += tensor.n_bytes;
        }
    }
    std::map<uint64_t, uint32_t> classes;
    for (const auto& [layer, bytes] : layers) ++classes[bytes / sizes.n_experts];
    for (const auto& [bytes, n_layers] : classes) sizes.classes.push_back({bytes, n_layers});
    return sizes;
}

}  // namespace vkmoe::cli
