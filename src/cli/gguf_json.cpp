#include "cli/gguf_json.h"

#include "cli/expert_sizes.h"
#include "model/file_check.h"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

namespace vkmoe::cli {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const GgufValue& value);

Json to_json(const GgufArray& array) {
    Json json = Json::array();
    if (!array.arrays().empty()) {
        for (const GgufArray& element : array.arrays()) json.push_back(to_json(element));
        return json;
    }
    for (size_t i = 0; i < array.size(); ++i) json.push_back(to_json(array[i]));
    return json;
}

Json to_json(const GgufValue& value) {
    return std::visit(
        [&value](const auto& data) -> Json {
            using Data = std::decay_t<decltype(data)>;
            if constexpr (std::is_same_v<Data, GgufArray>) {
                return to_json(data);
            } else if constexpr (std::is_same_v<Data, double>) {
                // The shortest decimal of a float32: 1e-06 and not 9.999999974752427e-07.
                if (value.type() != GgufValueType::kFloat32 || !std::isfinite(data)) return data;
                return std::stod(fmt::format("{}", static_cast<float>(data)));
            } else {
                return data;
            }
        },
        value.data());
}

}  // namespace

Json gguf_to_json(const GgufFile& file) {
    Json json;
    json["file"] = file.path();
    json["version"] = file.version();
    json["bytes"] = file.file_bytes();
    json["parts"] = file.n_parts();
    const FileCheck check = check_file(file);
    json["supported"] = check.refusal.empty();
    json["refusal"] = check.refusal;
    json["warnings"] = check.warnings;
    const ExpertSizes sizes = expert_sizes(file);
    json["dense_bytes"] = sizes.dense_bytes;
    json["experts_bytes"] = sizes.all_experts();
    json["expert_classes"] = Json::array();
    for (const ExpertClass& size : sizes.classes)
        json["expert_classes"].push_back({{"expert_bytes", size.expert_bytes}, {"layers", size.n_layers}});
    json["metadata"] = Json::object();
    for (const GgufEntry& entry : file.entries())
        json["metadata"][std::string(entry.key)] = to_json(entry.value);
    json["tensors"] = Json::array();
    for (const GgufTensor& tensor : file.tensors()) {
        json["tensors"].push_back({{"name", tensor.name},
                                   {"type", tensor_type_info(tensor.type).name},
                                   {"shape", tensor.shape()},
                                   {"bytes", tensor.n_bytes},
                                   {"part", tensor.part},
                                   {"offset", tensor.file_offset}});
    }
    return json;
}

}  // namespace vkmoe::cli
