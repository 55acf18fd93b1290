#include "kernels/argmax.h"

#include "base/error.h"
#include "elementwise/params.h"
#include "kernels/elementwise.h"

namespace vkmoe {

Dispatch argmax(KernelContext& context, const ArgmaxArgs& args) {
    const Op op = Op::kArgmax;
    require_address(op, "input", args.input, 4);
    require_address(op, "output", args.output, 4);
    require_multiple(op, "n_rows", args.n_rows, 1);
    require_multiple(op, "n_columns", args.n_columns, 1);
    if (args.n_columns >= 1u << 30)
        fail(ErrorCode::kInvalidArgument, "{}: n_columns is {}, but must be below 2^30", op_name(op),
             args.n_columns);

    const KernelBinary& kernel = find_kernel(context, op, args.path);
    const bool scalar = kernel.key.path == Path::kScalar;
    const uint32_t workgroup_size = args.workgroup_size != 0 ? args.workgroup_size
                                    : scalar                 ? context.plan().workgroup_size
                                             : wide_workgroup(context.device(), args.n_columns / 4, 1024);
    const RowLayout layout = row_layout(context, kernel, {workgroup_size, 0}, workgroup_size, false);
    const bool vector_loads = args.input % 16 == 0 && args.n_columns % 4 == 0;
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(kernel, {layout.workgroup_size, vector_loads ? 1u : 0u});
    dispatch.label = "argmax";
    dispatch.set_push(ArgmaxParams{
        .source = dispatch.read({args.input, strided_bytes(args.n_rows, args.n_columns, args.n_columns)}),
        .destination = dispatch.write({args.output, args.n_rows * sizeof(uint32_t)}),
        .n_rows = args.n_rows,
        .n_columns = args.n_columns});
    dispatch.groups = folded_grid(context, op, args.n_rows);
    return dispatch;
}

}  // namespace vkmoe
