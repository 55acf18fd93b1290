#include "kernels/embed_rows.h"

#include "base/error.h"
#include "elementwise/params.h"
#include "kernels/elementwise.h"

#include <algorithm>

namespace vkmoe {

Dispatch embed_rows(KernelContext& context, const EmbedRowsArgs& args) {
    const Op op = Op::kEmbedRows;
    require_address(op, "table", args.table, 16);
    require_address(op, "tokens", args.tokens, 4);
    require_address(op, "output", args.output, 16);
    const uint32_t unit = std::max(32u, tensor_type_info(args.type).block_elements);
    require_multiple(op, "n_columns", args.n_columns, unit);
    require_multiple(op, "n_tokens", args.n_tokens, 1);
    require_multiple(op, "n_vocabulary", args.n_vocabulary, 1);

    const KernelBinary& kernel = find_kernel(context, op, args.path, args.type);
    const uint32_t workgroup_size = context.plan().workgroup_size;
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(kernel, {workgroup_size});
    dispatch.label = "embed_rows";
    const uint64_t output_bytes = strided_bytes(args.n_tokens, args.n_columns, args.n_columns);
    dispatch.set_push(EmbedRowsParams{
        .table = dispatch.read({args.table, args.n_vocabulary * row_bytes(args.type, args.n_columns)}),
        .tokens = dispatch.read({args.tokens, args.n_tokens * sizeof(int32_t)}),
        .destination = dispatch.write({args.output, output_bytes}),
        .n_tokens = args.n_tokens,
        .n_columns = args.n_columns,
        .n_vocabulary = args.n_vocabulary,
        .scale = args.scale,
        .codebook = dispatch.read(view_of(context.codebook(args.type)))});
    // An invocation decodes one or two runs of 32, as the type has it; with two, half of these have nothing
    // to do.
    dispatch.groups = item_grid(context, op, uint64_t{args.n_tokens} * (args.n_columns / 32), workgroup_size);
    return dispatch;
}

}  // namespace vkmoe
