#include "conformance/suite.h"

#include "base/error.h"
#include "base/faults.h"
#include "conformance/check.h"
#include "conformance/op_cases.h"

#include <unistd.h>
#include <xxhash.h>

#include <chrono>
#include <csignal>

namespace vkmoe::conformance {
namespace {

/// Fails as a driver may, where a test wants it.
void inject_faults(const std::string& cell) {
    if (fault(FaultPoint::kCrash, cell)) std::raise(SIGSEGV);
    while (fault(FaultPoint::kHang, cell)) ::pause();
    if (fault(FaultPoint::kDeviceLost, cell)) fail(ErrorCode::kDeviceLost, "injected fault");
}

}  // namespace

std::vector<Case> cases_of(const KernelKey& cell, Depth depth) {
    switch (cell.op) {
        case Op::kMatvec:
            return matvec_cases(cell, depth);
        case Op::kEmbedRows:
            return embed_rows_cases(cell, depth);
        case Op::kMatmul:
            return matmul_cases(cell, depth);
        case Op::kExpertMatvec:
            return expert_matvec_cases(cell, depth);
        case Op::kExpertMatvecSum:
            return expert_matvec_sum_cases(cell, depth);
        case Op::kExpertMatmul:
            return expert_matmul_cases(cell, depth);
        case Op::kRmsNorm:
            return rms_norm_cases(cell, depth);
        case Op::kQuantizeQ8:
            return quantize_q8_cases(cell, depth);
        case Op::kPackFloat16:
            return pack_float16_cases(cell, depth);
        case Op::kSwiglu:
            return swiglu_cases(cell, depth);
        case Op::kArgmax:
            return argmax_cases(cell, depth);
        case Op::kQkNormRope:
            return qk_norm_rope_cases(cell, depth);
        case Op::kAttention:
            return attention_cases(cell, depth);
        case Op::kAttentionReduce:
            return attention_reduce_cases(cell, depth);
        case Op::kGroupRoutes:
            return group_routes_cases(cell, depth);
        case Op::kRouter:
            return router_cases(cell, depth);
        case Op::kRouterStatistics:
            return router_statistics_cases(cell, depth);
        case Op::kWeighRows:
            return weigh_rows_cases(cell, depth);
        case Op::kCombine:
            return combine_cases(cell, depth);
        case Op::kPageFetch:
            return page_fetch_cases(cell, depth);
        case Op::kPageResolve:
            return page_resolve_cases(cell, depth);
        case Op::kPageBatch:
            return page_batch_cases(cell, depth);
        case Op::kPageWave:
            return page_wave_cases(cell, depth);
    }
    return {};
}

Outcome outcome(const CellResult& result) {
    if (!result.failures.empty()) return Outcome::kFailed;
    if (!result.ran) return Outcome::kNotRun;
    return result.missing.empty() ? Outcome::kOk : Outcome::kUnsupported;
}

uint32_t case_seed(uint32_t seed, std::string_view cell, std::string_view name) {
    const uint64_t hash = XXH3_64bits_withSeed(cell.data(), cell.size(), seed);
    return static_cast<uint32_t>(XXH3_64bits_withSeed(name.data(), name.size(), hash));
}

CellResult run_cell(Bench& bench, const KernelKey& cell, Depth depth, uint32_t seed, const OnCase& on_case,
                    FindCases find_cases) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    const std::string name = cell_name(cell);
    CellResult result;
    result.cell = cell;
    result.missing = missing_for_kernels(bench.kernels.plan(), cell.path);
    result.ran = true;
    if (!result.missing.empty()) return result;
    for (const Case& one : find_cases(cell, depth)) {
        if (on_case) on_case(result, one.name);
        ++result.n_cases;
        try {
            inject_faults(name);
            CaseContext context(bench, case_seed(seed, name, one.name));
            one.run(context);
            context.check_buffers();
        } catch (const CheckFailure& failure) {
            result.failures.push_back(
                {one.name, failure.what(), failure.nmse, failure.first_wrong, failure.expected, failure.got});
        } catch (const CaseSkipped& skipped) {
            result.skipped.push_back({one.name, skipped.what()});
        } catch (const Error& error) {
            if (error.code() == ErrorCode::kDeviceLost) throw;
            result.failures.push_back({one.name, error.what(), std::nullopt, std::nullopt, {}, {}});
        }
    }
    result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return result;
}

}  // namespace vkmoe::conformance
