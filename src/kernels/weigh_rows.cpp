#include "kernels/weigh_rows.h"

#include "elementwise/params.h"
#include "kernels/activation.h"

namespace vkmoe {

Dispatch weigh_rows(KernelContext& context, const WeighRowsArgs& args) {
    const Op op = Op::kWeighRows;
    const bool packs = args.output_q8 != 0;
    require_address(op, "input", args.input, 16);
    require_address(op, "weights", args.weights, 4);
    require_row_outputs(op, args.output, args.output_q8, args.n_columns);
    require_multiple(op, "n_tokens", args.n_tokens, 1);
    require_multiple(op, "n_slots", args.n_slots, 1);
    const uint32_t stride = checked_stride(op, "input_stride", args.input_stride, args.n_columns);
    const uint64_t n_rows = uint64_t{args.n_tokens} * args.n_slots;

    const KernelBinary& kernel = find_kernel(context, op, args.path);
    const RowLayout layout = row_layout(context, kernel, args.tuning, context.plan().workgroup_size, packs);
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(kernel, layout.constants());
    dispatch.label = "weigh rows";
    dispatch.groups = item_grid(context, op, n_rows * layout.items(args.n_columns), layout.workgroup_size);
    dispatch.set_push(WeighRowsParams{
        .source = dispatch.read({args.input, strided_bytes(args.n_tokens, args.n_columns, stride)}),
        .weights = dispatch.read({args.weights, n_rows * sizeof(float)}),
        .destination = dispatch.write({args.output, n_rows * args.n_columns * sizeof(float)}),
        .destination_q8 = dispatch.write({args.output_q8, n_rows * q8_row_bytes(args.n_columns)}),
        .n_rows = static_cast<uint32_t>(n_rows),
        .n_slots = args.n_slots,
        .n_columns = args.n_columns,
        .source_stride = stride});
    return dispatch;
}

}  // namespace vkmoe
