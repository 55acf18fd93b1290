#pragma once

#include "conformance/perf.h"
#include "conformance/suite.h"

#include <nlohmann/json.hpp>

#include <string>

namespace vkmoe::conformance {

using Json = nlohmann::ordered_json;

/// The result of a cell, without the cell's name.
Json to_json(const CellResult& result);
/// The same back. Throws nlohmann::json::exception for anything else.
CellResult cell_result_from(const Json& json, const KernelKey& cell);

/// The speed of a cell, without the cell's name.
Json to_json(const Speed& speed);
Speed speed_from(const Json& json, const KernelKey& cell);

/// The facts of a device that header() shows.
Json device_json(const DeviceCaps& caps);
DeviceCaps device_from(const Json& json);

/// Bytes of a driver's texts that are no UTF-8 are replaced.
std::string json_text(const Json& json, int indent);

}  // namespace vkmoe::conformance
