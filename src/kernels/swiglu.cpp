#include "kernels/swiglu.h"

#include "elementwise/params.h"
#include "kernels/activation.h"

namespace vkmoe {

Dispatch swiglu(KernelContext& context, const SwigluArgs& args) {
    const Op op = Op::kSwiglu;
    const bool packs = args.output_q8 != 0;
    require_address(op, "gate", args.gate, 16);
    require_address(op, "up", args.up, 16);
    require_row_outputs(op, args.output, args.output_q8, args.n_columns);
    require_multiple(op, "n_rows", args.n_rows, 1);
    require_optional_address(op, "ids", args.rows.ids, 4);
    const uint32_t gate_stride = checked_stride(op, "gate_stride", args.gate_stride, args.n_columns);
    const uint32_t up_stride = checked_stride(op, "up_stride", args.up_stride, args.n_columns);

    const KernelBinary& kernel = find_kernel(context, op, args.path);
    const RowLayout layout = row_layout(context, kernel, args.tuning, context.plan().workgroup_size, packs);
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(kernel, layout.constants());
    dispatch.label = "swiglu";
    const auto rows = [&args](uint64_t address, uint32_t stride) {
        return MemoryView{address, strided_bytes(args.n_rows, args.n_columns, stride)};
    };
    dispatch.set_push(SwigluParams{
        .gate = dispatch.read(rows(args.gate, gate_stride)),
        .up = dispatch.read(rows(args.up, up_stride)),
        .destination = dispatch.write(rows(args.output, args.n_columns)),
        .destination_q8 = dispatch.write({args.output_q8, args.n_rows * q8_row_bytes(args.n_columns)}),
        .ids = dispatch.read({args.rows.ids, args.n_rows * sizeof(uint32_t)}),
        .n_rows = args.n_rows,
        .n_columns = args.n_columns,
        .gate_stride = gate_stride,
        .up_stride = up_stride,
        .n_experts = args.rows.n_experts,
        .reserved = 0});
    dispatch.groups =
        item_grid(context, op, args.n_rows * layout.items(args.n_columns), layout.workgroup_size);
    return dispatch;
}

}  // namespace vkmoe
