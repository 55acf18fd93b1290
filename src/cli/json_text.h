#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace vkmoe::cli {

/// A report as the program prints or writes it. Bytes of names that are no UTF-8 are replaced.
inline std::string json_text(const nlohmann::ordered_json& json, int indent = 2) {
    return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace vkmoe::cli
