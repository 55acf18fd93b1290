#include "kernels/quantize_q8.h"

#include "elementwise/params.h"
#include "kernels/activation.h"

namespace vkmoe {

Dispatch quantize_q8(KernelContext& context, const QuantizeQ8Args& args) {
    const Op op = Op::kQuantizeQ8;
    require_address(op, "input", args.input, 16);
    require_address(op, "output", args.output, 16);
    require_multiple(op, "n_columns", args.n_columns, 32);
    require_multiple(op, "n_rows", args.n_rows, 1);
    const uint32_t stride = checked_stride(op, "input_stride", args.input_stride, args.n_columns);

    const KernelBinary& kernel = find_kernel(context, op, args.path);
    const RowLayout layout = row_layout(context, kernel, args.tuning, context.plan().workgroup_size, true);
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(kernel, layout.constants());
    dispatch.label = "quantize_q8";
    dispatch.set_push(QuantizeQ8Params{
        .source = dispatch.read({args.input, strided_bytes(args.n_rows, args.n_columns, stride)}),
        .destination_q8 = dispatch.write({args.output, args.n_rows * q8_row_bytes(args.n_columns)}),
        .n_rows = args.n_rows,
        .n_columns = args.n_columns,
        .source_stride = stride,
        .reserved = 0});
    dispatch.groups =
        item_grid(context, op, args.n_rows * layout.items(args.n_columns), layout.workgroup_size);
    return dispatch;
}

}  // namespace vkmoe
