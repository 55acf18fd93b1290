#include "model/tensor_names.h"

#include <algorithm>

namespace vkmoe {

bool is_single_expert(std::string_view name) {
    for (const std::string_view part : {".ffn_gate.", ".ffn_up.", ".ffn_down."}) {
        const size_t at = name.find(part);
        if (at == std::string_view::npos || !name.ends_with(".weight")) continue;
        const size_t begin = at + part.size();
        if (begin + 7 >= name.size()) return false;
        const std::string_view number = name.substr(begin, name.size() - 7 - begin);
        return std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
    }
    return false;
}

bool is_of_experts(std::string_view name) {
    return name.find("_exps.") != std::string_view::npos || is_single_expert(name);
}

}  // namespace vkmoe
