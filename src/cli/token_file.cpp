#include "cli/token_file.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace vkmoe::cli {

std::vector<int32_t> parse_tokens(std::string_view json, const std::string& path, uint32_t n_vocabulary) {
    nlohmann::json parsed;
    try {
        parsed = nlohmann::json::parse(json.begin(), json.end());
    } catch (const nlohmann::json::parse_error& error) {
        fail(ErrorCode::kBadFile,
             "'{}' is not JSON (at byte {}); give an array of token ids, such as [1, 2, 3]", path,
             error.byte);
    }
    if (!parsed.is_array() || parsed.empty())
        fail(ErrorCode::kBadFile, "'{}' does not contain an array of token ids, such as [1, 2, 3]", path);
    std::vector<int32_t> tokens;
    tokens.reserve(parsed.size());
    for (size_t i = 0; i < parsed.size(); ++i) {
        const nlohmann::json& element = parsed[i];
        // Negative numbers are integers, but not unsigned ones.
        if (!element.is_number_unsigned() || element.get<uint64_t>() >= n_vocabulary) {
            fail(ErrorCode::kBadFile, "'{}': element {} is {}, not a token id from 0 to {}", path, i,
                 element.is_primitive()
                     ? element.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                     : element.type_name(),
                 n_vocabulary - 1);
        }
        tokens.push_back(element.get<int32_t>());
    }
    return tokens;
}

}  // namespace vkmoe::cli
