#include "kernels/page_fetch.h"

#include "base/error.h"
#include "kernels/elementwise.h"

#include <algorithm>

namespace vkmoe {
namespace {

constexpr uint32_t kUnitBytes = 16;
constexpr uint32_t kMaxInFlight = 16;  // units, of 4 registers each
constexpr uint32_t kIndirectBytes = 12;

// With 256 invocations of 4 units a workgroup has 16 KiB under way. A link of 64 GB/s and 2 us needs 128 KB:
// eight workgroups. More take compute units from what runs beside the copies, fewer leave the link idle while
// some of them store. (By these figures; not measured on a GPU.)
constexpr uint32_t kWideInFlight = 4;
constexpr uint32_t kWideWorkgroup = 256;
constexpr uint64_t kPartBytes = 64 << 10;
constexpr uint32_t kMostParts = 32;
constexpr uint32_t kMostPartsNarrow = 8;  // a CPU has few cores, and long runs suit its prefetchers

PageFetchTuning tuning_for(const KernelContext& context, const PageFetchTuning& wished) {
    const DevicePlan& plan = context.plan();
    PageFetchTuning tuning = wished;
    // CPU drivers run a workgroup's subgroups one after the other, each through the whole loop: with several,
    // each goes through the part's cache lines again. They gather and scatter word by word, which no form of
    // this kernel brings near their own copies: on such devices the pager does better by queue copies
    // (link_probe). Two cores with other work on them, cold caches, GB/s, median (best tenth):
    //   lavapipe 25.0.7       vkCmdCopyBuffer  8 x 4 units  32 x 4
    //     8 of 2.65 MB        10.1 (11.1)      1.6 (1.8)    0.9 (1.1)
    //     1 of 2.65 MB         9.3 (11.0)      1.9 (3.0)    0.9 (1.6)
    //     64 of 100 KB         7.9  (9.1)      2.3 (4.2)    0.8 (1.4)
    //   SwiftShader
    //     8 of 2.65 MB         5.8 (10.0)      0.3 (0.4) with 4, 32 or 128 invocations
    // Others were tried on lavapipe: 2 or 8 units in flight, words in place of units and a run of units for
    // each invocation are within the noise of 8 x 4, 2 to 32 workgroups a record too; 64-bit integers
    // reach 1.6 times as much.
    if (tuning.workgroup_size == 0) {
        tuning.workgroup_size = plan.subgroup_size < kWideSubgroup
                                    ? plan.subgroup_size
                                    : std::min(kWideWorkgroup, plan.max_workgroup_invocations);
    }
    if (tuning.in_flight == 0) tuning.in_flight = kWideInFlight;
    if (tuning.workgroup_size > plan.max_workgroup_invocations || tuning.in_flight > kMaxInFlight)
        fail(ErrorCode::kInvalidArgument,
             "page_fetch: {} invocations with {} units each in flight; at most {} and {} are supported",
             tuning.workgroup_size, tuning.in_flight, plan.max_workgroup_invocations, kMaxInFlight);
    return tuning;
}

}  // namespace

PageCopy page_copy(uint64_t from, uint64_t to, uint32_t units, uint32_t expert, uint32_t slot) {
    return {.from_low = static_cast<uint32_t>(from),
            .from_high = static_cast<uint32_t>(from >> 32),
            .to_low = static_cast<uint32_t>(to),
            .to_high = static_cast<uint32_t>(to >> 32),
            .units = units,
            .expert = expert,
            .slot = slot,
            .padding = 0};
}

uint32_t page_copy_groups(const Device& device, uint32_t record_units) {
    const bool narrow = device.plan().subgroup_size < kWideSubgroup;
    const uint64_t parts = (uint64_t{record_units} * kUnitBytes + kPartBytes - 1) / kPartBytes;
    return static_cast<uint32_t>(std::clamp<uint64_t>(parts, 1, narrow ? kMostPartsNarrow : kMostParts));
}

Dispatch page_fetch(KernelContext& context, const PageFetchArgs& args) {
    const Op op = Op::kPageFetch;
    require_address(op, "copies", args.copies, kUnitBytes);
    require_optional_address(op, "from", args.from.address, kUnitBytes);
    require_optional_address(op, "to", args.to.address, kUnitBytes);
    // Never folded: a layer has fewer experts than any device launches workgroups in y.
    const GridSize most = context.most_groups();
    if (args.max_copies == 0 || args.max_copies > most.y)
        fail(ErrorCode::kInvalidArgument, "page_fetch: max_copies is {}, but must be from 1 to {}",
             args.max_copies, most.y);

    Dispatch dispatch;
    if (args.indirect) {
        if (args.indirect.size < kIndirectBytes || args.indirect.offset % sizeof(uint32_t) != 0)
            fail(ErrorCode::kInvalidArgument,
                 "page_fetch: indirect arguments of {} bytes at offset {} of their buffer; {} at a multiple "
                 "of 4 are needed",
                 args.indirect.size, args.indirect.offset, kIndirectBytes);
        dispatch.indirect = args.indirect;
    } else {
        if (args.groups == 0 || args.groups > most.x)
            fail(ErrorCode::kInvalidArgument, "page_fetch: {} workgroups per record; 1 to {} are supported",
                 args.groups, most.x);
        dispatch.groups = {args.groups, args.max_copies, 1};
    }
    const PageFetchTuning tuning = tuning_for(context, args.tuning);
    dispatch.pipeline =
        context.pipeline(find_kernel(context, op, args.path), {tuning.workgroup_size, tuning.in_flight});
    dispatch.label = "fetch experts";
    dispatch.set_push(PageFetchParams{
        dispatch.read_table({args.copies, args.max_copies * sizeof(PageCopy)},
                            {{AccessKind::kRead, args.from}, {AccessKind::kWrite, args.to}})});
    return dispatch;
}

}  // namespace vkmoe
