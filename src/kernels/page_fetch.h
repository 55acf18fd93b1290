#pragma once

#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"
#include "pager/params.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// How page_fetch is laid out over invocations; zeros: by the device. Tests set it to reach every layout.
struct PageFetchTuning {
    uint32_t workgroup_size = 0;
    uint32_t in_flight = 0;  ///< units that an invocation loads before it stores the first: 1 to 16
};

/// An entry of the list. units: of 16 bytes. expert and slot are for those who read the list.
PageCopy page_copy(uint64_t from, uint64_t to, uint32_t units, uint32_t expert = kNowhere,
                   uint32_t slot = kNowhere);

/// Copies whole records, each as a PageCopy of pager/params.h tells: from memory that the device reads by
/// address (pinned host memory, say) to slots. Records are whole units of 16 bytes, any number of them, at
/// addresses of 16 bytes.
struct PageFetchArgs {
    uint64_t copies = 0;      ///< PageCopy [max_copies], 16-byte aligned
    uint32_t max_copies = 0;  ///< entries that the launch may read
    MemoryView from;          ///< covers every record that may be read
    /// Covers every slot that may be written: what else the recorder has read or write there waits. Empty
    /// where the caller sees to that.
    MemoryView to;
    /// uint {groups, copies, 1}, as page_resolve and page_batch write them; groups is any number from 1 on,
    /// best page_copy_groups.
    Allocation indirect;
    uint32_t groups = 0;       ///< without indirect: workgroups a record, and all of max_copies are made
    std::optional<Path> path;  ///< the very cell, for tests; else by the plan
    PageFetchTuning tuning;
};

/// Workgroups that should copy a record of so many units of 16 bytes together: enough that one record alone
/// keeps the link busy.
uint32_t page_copy_groups(const Device& device, uint32_t record_units);

/// Error(kInvalidArgument) for addresses and numbers that do not fit.
Dispatch page_fetch(KernelContext& context, const PageFetchArgs& args);

}  // namespace vkmoe
