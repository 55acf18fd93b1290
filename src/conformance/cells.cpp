#include "conformance/cells.h"

#include "base/error.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>

namespace vkmoe::conformance {
namespace {

std::optional<Op> op_from_name(std::string_view name) {
    for (uint32_t i = 0; i < kOpCount; ++i)
        if (op_name(static_cast<Op>(i)) == name) return static_cast<Op>(i);
    return std::nullopt;
}

std::vector<std::string_view> known_ops() {
    std::vector<std::string_view> names;
    for (uint32_t i = 0; i < kOpCount; ++i) names.push_back(op_name(static_cast<Op>(i)));
    return names;
}

std::vector<std::string_view> known_paths() {
    std::vector<std::string_view> names;
    for (uint32_t i = 0; i < kPathCount; ++i) names.push_back(path_name(static_cast<Path>(i)));
    return names;
}

/// Of the table: what has no kernel in this build is not known here.
std::vector<std::string_view> known_types() {
    std::set<TensorType> types;
    for (const KernelBinary& binary : kernel_table()) types.insert(binary.key.type);
    std::vector<std::string_view> names;
    for (TensorType type : types) names.push_back(tensor_type_info(type).name);
    return names;
}

template <typename T, typename Find>
std::vector<T> parse_names(std::string_view what, const std::vector<std::string>& names, const Find& find,
                           const std::vector<std::string_view>& known) {
    std::vector<T> values;
    for (const std::string& name : names) {
        const std::optional<T> value = find(name);
        if (!value) {
            fail(ErrorCode::kInvalidArgument, "--{}: unknown name '{}'; use one of {}", what, name,
                 fmt::join(known, ", "));
        }
        values.push_back(*value);
    }
    return values;
}

template <typename T>
bool meant(const std::vector<T>& values, T value) {
    return values.empty() || std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

std::string cell_name(const KernelKey& cell) {
    return fmt::format("{}/{}/{}", op_name(cell.op), tensor_type_info(cell.type).name, path_name(cell.path));
}

CellFilter parse_filter(const std::vector<std::string>& ops, const std::vector<std::string>& types,
                        const std::vector<std::string>& paths) {
    const std::vector<std::string_view> built = known_types();
    const auto find_type = [&built](std::string_view name) {
        std::optional<TensorType> type = tensor_type_from_name(name);
        if (type && std::find(built.begin(), built.end(), tensor_type_info(*type).name) == built.end())
            type.reset();
        return type;
    };
    CellFilter filter;
    filter.ops = parse_names<Op>("op", ops, op_from_name, known_ops());
    filter.types = parse_names<TensorType>("type", types, find_type, built);
    filter.paths = parse_names<Path>("path", paths, path_from_name, known_paths());
    return filter;
}

std::vector<KernelKey> find_cells(const CellFilter& filter) {
    std::vector<KernelKey> cells;
    for (const KernelBinary& binary : kernel_table()) {
        const KernelKey& key = binary.key;
        if (meant(filter.ops, key.op) && meant(filter.types, key.type) && meant(filter.paths, key.path))
            cells.push_back(key);
    }
    if (cells.empty()) {
        fail(ErrorCode::kInvalidArgument,
             "no kernel has this combination of op, type and path; --list shows all cells");
    }
    std::sort(cells.begin(), cells.end(), [](const KernelKey& left, const KernelKey& right) {
        return std::tie(left.op, left.type, left.path) < std::tie(right.op, right.type, right.path);
    });
    return cells;
}

}  // namespace vkmoe::conformance
