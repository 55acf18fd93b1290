#include "conformance/result_json.h"

#include <cmath>
#include <limits>

namespace vkmoe::conformance {
namespace {

// JSON has no infinity.
constexpr const char* kInfinite = "infinite";

Json to_json(const CaseFailure& failure) {
    Json json{{"case", failure.case_name}, {"message", failure.message}};
    if (failure.nmse) json["nmse"] = std::isfinite(*failure.nmse) ? Json(*failure.nmse) : Json(kInfinite);
    if (failure.first_wrong) {
        json["first_wrong"] = *failure.first_wrong;
        json["expected"] = failure.expected;
        json["got"] = failure.got;
    }
    return json;
}

CaseFailure failure_from(const Json& json) {
    CaseFailure failure;
    failure.case_name = json.at("case");
    failure.message = json.at("message");
    if (json.contains("nmse")) {
        const Json& nmse = json["nmse"];
        failure.nmse = nmse == kInfinite ? std::numeric_limits<double>::infinity() : nmse.get<double>();
    }
    if (json.contains("first_wrong")) {
        failure.first_wrong = json["first_wrong"].get<uint64_t>();
        failure.expected = json.at("expected");
        failure.got = json.at("got");
    }
    return failure;
}

}  // namespace

Json to_json(const CellResult& result) {
    Json json;
    if (!result.missing.empty()) json["missing"] = result.missing;
    json["cases"] = result.n_cases;
    json["seconds"] = result.seconds;
    for (const CaseFailure& failure : result.failures) json["failures"].push_back(to_json(failure));
    for (const CaseSkip& skip : result.skipped)
        json["skipped"].push_back({{"case", skip.case_name}, {"reason", skip.reason}});
    return json;
}

CellResult cell_result_from(const Json& json, const KernelKey& cell) {
    CellResult result;
    result.cell = cell;
    result.missing = json.value("missing", "");
    result.n_cases = json.at("cases");
    result.seconds = json.at("seconds");
    for (const Json& failure : json.value("failures", Json::array()))
        result.failures.push_back(failure_from(failure));
    for (const Json& skip : json.value("skipped", Json::array()))
        result.skipped.push_back({skip.at("case"), skip.at("reason")});
    return result;
}

Json to_json(const Speed& speed) {
    return {{"tokens", speed.n_tokens},
            {"form", speed.form},
            {"shape", speed.shape},
            {"seconds", speed.seconds},
            {"gigabytes_per_second", speed.gigabytes},
            {"teraflops", speed.teraflops},
            {"bound_by_memory", speed.is_bound_by_memory}};
}

Speed speed_from(const Json& json, const KernelKey& cell) {
    Speed speed;
    speed.cell = cell;
    speed.n_tokens = json.at("tokens");
    speed.form = json.at("form");
    speed.shape = json.at("shape");
    speed.seconds = json.at("seconds");
    speed.gigabytes = json.at("gigabytes_per_second");
    speed.teraflops = json.at("teraflops");
    speed.is_bound_by_memory = json.at("bound_by_memory");
    return speed;
}

Json device_json(const DeviceCaps& caps) {
    return {{"name", caps.name},
            {"driver_name", caps.driver_name},
            {"driver_info", caps.driver_info},
            {"driver_version", caps.driver_version},
            {"vendor", caps.vendor_id},
            {"device", caps.device_id},
            {"vulkan", caps.api_version}};
}

DeviceCaps device_from(const Json& json) {
    DeviceCaps caps;
    caps.name = json.at("name");
    caps.driver_name = json.at("driver_name");
    caps.driver_info = json.at("driver_info");
    caps.driver_version = json.at("driver_version");
    caps.vendor_id = json.at("vendor");
    caps.device_id = json.at("device");
    caps.api_version = json.at("vulkan");
    return caps;
}

std::string json_text(const Json& json, int indent) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace vkmoe::conformance
