#include "kernels/rms_norm.h"

#include "elementwise/params.h"
#include "kernels/activation.h"

namespace vkmoe {

Dispatch rms_norm(KernelContext& context, const RmsNormArgs& args) {
    const Op op = Op::kRmsNorm;
    const bool packs = args.output_q8 != 0;
    require_address(op, "input", args.input, 16);
    require_optional_address(op, "weight", args.weight, 16);
    require_row_outputs(op, args.output, args.output_q8, args.n_columns);
    require_multiple(op, "n_rows", args.n_rows, 1);
    const uint32_t stride = checked_stride(op, "input_stride", args.input_stride, args.n_columns);

    const KernelBinary& kernel = find_kernel(context, op, args.path);
    // 512 invocations read a row of 8192 in four steps; more make the final sum slower than they make the row
    // faster.
    const uint32_t workgroup_size = wide_workgroup(context.device(), args.n_columns / 4, 512);
    const RowLayout layout = row_layout(context, kernel, args.tuning, workgroup_size, packs);
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(kernel, layout.constants());
    dispatch.label = "rms_norm";
    const uint64_t output_bytes = strided_bytes(args.n_rows, args.n_columns, args.n_columns);
    dispatch.set_push(RmsNormParams{
        .source = dispatch.read({args.input, strided_bytes(args.n_rows, args.n_columns, stride)}),
        .weight = dispatch.read({args.weight, args.n_columns * sizeof(float)}),
        .destination = dispatch.write({args.output, output_bytes}),
        .destination_q8 = dispatch.write({args.output_q8, args.n_rows * q8_row_bytes(args.n_columns)}),
        .n_rows = args.n_rows,
        .n_columns = args.n_columns,
        .source_stride = stride,
        .epsilon = args.epsilon});
    dispatch.groups = folded_grid(context, op, args.n_rows);
    return dispatch;
}

}  // namespace vkmoe
