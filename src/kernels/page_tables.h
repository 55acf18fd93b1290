#pragma once

#include "gpu/device.h"
#include "kernels/dispatch.h"
#include "kernels/op.h"

#include <cstdint>

namespace vkmoe {

/// The tables of pager/params.h in device memory: all addresses multiples of 16.
struct PageTablesOnDevice {
    uint64_t tables = 0;        ///< PageTables: the numbers and addresses that follow
    uint64_t header = 0;        ///< PageHeader
    uint64_t layers = 0;        ///< PageLayer [n_layers]
    uint64_t slots = 0;         ///< uint32 [n_slots]
    uint64_t experts = 0;       ///< PageExpert [n_layers, n_experts]
    uint64_t slot_records = 0;  ///< uint64 [n_places]
    uint64_t host_records = 0;  ///< uint64 [n_layers, n_experts]
    uint64_t records = 0;       ///< uint64 [n_layers, n_experts]
    uint32_t n_layers = 0;
    uint32_t n_experts = 0;
    uint32_t n_slots = 0;
    uint32_t n_places = 0;  ///< slots and, behind them or among them, the ring
};

/// Error(kInvalidArgument) for tables that are not there or layers that they have not; kUnsupported for more
/// experts than kMaxPagedExperts.
void check_page_tables(Op op, const PageTablesOnDevice& tables, uint32_t layer);

/// The address of PageTables, for a kernel that reads the tables behind it, changes some and writes records.
DeviceAddress use_page_tables(Dispatch& dispatch, const PageTablesOnDevice& tables);

}  // namespace vkmoe
