#include "kernels/page_tables.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "pager/params.h"

namespace vkmoe {

void check_page_tables(Op op, const PageTablesOnDevice& tables, uint32_t layer) {
    require_address(op, "tables", tables.tables, 16);
    require_address(op, "header", tables.header, 16);
    require_address(op, "layers", tables.layers, 16);
    require_address(op, "slots", tables.slots, 16);
    require_address(op, "experts", tables.experts, 16);
    require_address(op, "slot_records", tables.slot_records, 16);
    require_address(op, "host_records", tables.host_records, 16);
    require_address(op, "records", tables.records, 16);
    require_multiple(op, "n_experts", tables.n_experts, 1);
    if (tables.n_experts > kMaxPagedExperts)
        fail(ErrorCode::kUnsupported, "{}: {} experts per layer; at most {} can be paged", op_name(op),
             tables.n_experts, kMaxPagedExperts);
    if (layer >= tables.n_layers)
        fail(ErrorCode::kInvalidArgument, "{}: layer {} of {} layers with experts", op_name(op), layer,
             tables.n_layers);
    // Of numbers of experts the highest bit marks those that were fetched ahead.
    if (uint64_t{tables.n_layers} * tables.n_experts >= kPrefetchedBit || tables.n_slots >= kPrefetchedBit ||
        tables.n_places < tables.n_slots)
        fail(ErrorCode::kInvalidArgument, "{}: {} layers of {} experts in {} slots among {} places",
             op_name(op), tables.n_layers, tables.n_experts, tables.n_slots, tables.n_places);
}

DeviceAddress use_page_tables(Dispatch& dispatch, const PageTablesOnDevice& tables) {
    const uint64_t n_experts = uint64_t{tables.n_layers} * tables.n_experts;
    return dispatch.read_table(
        {tables.tables, sizeof(PageTables)},
        {{AccessKind::kUpdate, {tables.header, sizeof(PageHeader)}},
         {AccessKind::kRead, {tables.layers, tables.n_layers * sizeof(PageLayer)}},
         {AccessKind::kUpdate, {tables.slots, tables.n_slots * sizeof(uint32_t)}},
         {AccessKind::kUpdate, {tables.experts, n_experts * sizeof(PageExpert)}},
         {AccessKind::kRead, {tables.slot_records, tables.n_places * sizeof(uint64_t)}},
         {AccessKind::kRead, {tables.host_records, n_experts * sizeof(uint64_t)}},
         {AccessKind::kWrite, {tables.records, n_experts * sizeof(uint64_t)}}});
}

}  // namespace vkmoe
