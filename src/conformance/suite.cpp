#include "conformance/suite.h"

#include "base/error.h"
#include "conformance/check.h"
#include "conformance/op_cases.h"

#include <xxhash.h>

#include <chrono>

namespace vkmoe::conformance {

std::string cell_name(const KernelKey& cell) {
    return fmt::format("{}/{}/{}", op_name(cell.op), tensor_type_info(cell.type).name, path_name(cell.path));
}

std::vector<Case> cases_of(const KernelKey& cell, Depth depth) {
    switch (cell.op) {
        case Op::kMatvec:
            return matvec_cases(cell, depth);
        case Op::kEmbedRows:
        case Op::kRmsNorm:
        case Op::kQuantizeQ8:
        case Op::kMatmul:
        case Op::kExpertMatvec:
        case Op::kExpertMatvecSum:
        case Op::kExpertMatmul:
        case Op::kRouter:
        case Op::kRouterStatistics:
        case Op::kWeighRows:
        case Op::kGroupRoutes:
        case Op::kQkNormRope:
        case Op::kAttention:
        case Op::kAttentionReduce:
        case Op::kSwiglu:
        case Op::kCombine:
        case Op::kArgmax:
            return {};
    }
    return {};
}

uint32_t case_seed(uint32_t seed, std::string_view cell, std::string_view name) {
    const uint64_t hash = XXH3_64bits_withSeed(cell.data(), cell.size(), seed);
    return static_cast<uint32_t>(XXH3_64bits_withSeed(name.data(), name.size(), hash));
}

CellResult run_cell(Bench& bench, const KernelKey& cell, Depth depth, uint32_t seed,
                    const std::function<void(std::string_view)>& on_case) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    const std::string name = cell_name(cell);
    CellResult result;
    result.cell = cell;
    for (const Case& one : cases_of(cell, depth)) {
        if (on_case) on_case(one.name);
        ++result.n_cases;
        try {
            CaseContext context(bench, case_seed(seed, name, one.name));
            one.run(context);
            context.check_buffers();
        } catch (const CheckFailure& failure) {
            result.failures.push_back(
                {one.name, failure.what(), failure.nmse, failure.first_wrong, failure.expected, failure.got});
        } catch (const Error& error) {
            if (error.code() == ErrorCode::kDeviceLost) throw;
            result.failures.push_back({one.name, error.what(), std::nullopt, std::nullopt, {}, {}});
        }
    }
    result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return result;
}

}  // namespace vkmoe::conformance
