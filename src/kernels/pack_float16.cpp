#include "kernels/pack_float16.h"

#include "base/error.h"
#include "elementwise/params.h"
#include "kernels/activation.h"
#include "kernels/elementwise.h"

namespace vkmoe {

Dispatch pack_float16(KernelContext& context, const PackFloat16Args& args) {
    const Op op = Op::kPackFloat16;
    require_address(op, "input", args.input, 16);
    require_address(op, "output", args.output, 16);
    require_multiple(op, "n_columns", args.n_columns, 32);
    require_multiple(op, "n_rows", args.n_rows, 1);
    require_optional_address(op, "ids", args.rows.ids, 4);
    const uint32_t stride = checked_stride(op, "input_stride", args.input_stride, args.n_columns);
    // Shaders count the bytes of a packed row in 32 bits.
    if (args.n_columns > (1u << 30))
        fail(ErrorCode::kInvalidArgument, "{}: {} columns; at most 2^30 are supported", op_name(op),
             args.n_columns);

    const KernelBinary& kernel = find_kernel(context, op, args.path);
    const bool scalar = kernel.key.path == Path::kScalar;
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(
        kernel,
        {scalar ? context.plan().workgroup_size : wide_workgroup(context.device(), args.n_columns / 8, 512)});
    dispatch.label = "pack_float16";
    dispatch.set_push(PackFloat16Params{
        .source = dispatch.read({args.input, strided_bytes(args.n_rows, args.n_columns, stride)}),
        .destination = dispatch.write({args.output, args.n_rows * float16_row_bytes(args.n_columns)}),
        .ids = dispatch.read({args.rows.ids, args.n_rows * sizeof(uint32_t)}),
        .n_rows = args.n_rows,
        .n_columns = args.n_columns,
        .source_stride = stride,
        .n_experts = args.rows.n_experts});
    dispatch.groups = folded_grid(context, op, args.n_rows);
    return dispatch;
}

}  // namespace vkmoe
