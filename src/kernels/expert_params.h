#pragma once

#include "base/error.h"
#include "kernels/dispatch.h"
#include "kernels/expert_matvec.h"
#include "kernels/linear_shape.h"

#include "matmul/params.h"

namespace vkmoe {

/// Error(kInvalidArgument) for shapes that no expert kernel takes. Args: of expert_matvec or expert_matmul.
template <typename Args>
void check_expert_shape(std::string_view what, const Args& args) {
    check_linear_shape(what, args.type, args.n_rows, args.n_columns);
    if (args.n_pairs == 0 || args.x_divisor == 0 || args.n_pairs % args.x_divisor != 0)
        fail(ErrorCode::kInvalidArgument, "{}: {} pairs, {} for each token", what, args.n_pairs,
             args.x_divisor);
}

/// What expert_matvec and expert_matmul pass alike: the caller adds routes, results and the grid. Notes that
/// the dispatch reads the experts and x.
template <typename Args>
ExpertParams read_experts(KernelContext& context, Dispatch& dispatch, const Args& args, Path path) {
    const uint64_t x_stride = activation_row_bytes(path, args.n_columns);
    dispatch.read(args.experts.records, uint64_t{args.experts.n_experts} * sizeof(uint64_t));
    dispatch.reads.push_back(args.experts.memory);
    dispatch.read(args.x, x_stride * (args.n_pairs / args.x_divisor));
    ExpertParams params{};
    params.experts = args.experts.records;
    params.x = args.x;
    params.codebook = context.codebook(args.type);
    params.first_offset = checked_record_offset(args.first_offset);
    params.second_offset = checked_record_offset(args.second_offset);
    params.n_rows = args.n_rows;
    params.n_columns = args.n_columns;
    params.n_pairs = args.n_pairs;
    params.n_experts = args.experts.n_experts;
    params.x_divisor = args.x_divisor;
    params.x_stride = static_cast<uint32_t>(x_stride);
    return params;
}

}  // namespace vkmoe
