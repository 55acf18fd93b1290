#pragma once

#include <cstdint>
#include <string_view>

namespace vkmoe {

/// Where a build for tests can be made to fail as hardware and systems do.
enum class FaultPoint : uint32_t {
    kDeviceAllocation,  ///< device_allocation: the driver refuses device memory
    kHostPinning,       ///< host_pinning: it refuses host memory that the device sees
    kDiskRead,          ///< disk_read: a read ends in an I/O error
    kShortRead,         ///< short_read: a read brings less than was asked for, and must go on
    kDeviceLost,        ///< device_lost: a submission or a wait finds the device lost, for good
    kSubmit,            ///< submit: the driver has no memory for a submission; nothing is submitted
    kWait,              ///< wait: a wait fails for want of memory, while the work goes on
    kThreadStart,       ///< thread_start: the system refuses a thread
    kRingSubmit,        ///< ring_submit: the kernel refuses io_uring's submissions for good
    kCrash,             ///< crash: the driver ends the process by SIGSEGV
    kHang,              ///< hang: a call of the driver never returns
};

/// Whether the fault is to happen this time. Counts the call; safe from any thread. Until set_faults is
/// called, the environment's VKMOE_FAULTS is the plan; throws Error(kInvalidArgument) where that is none.
/// Always false, and nothing read, where the build has VKMOE_FAULT_INJECTION off.
bool fault(FaultPoint point);
/// The same for a call that concerns something with a name.
bool fault(FaultPoint point, std::string_view name);

/// Replaces the plan and starts counting anew; an empty one ends all faults. A plan names points, each with
/// rules that must all hold for it to fire, calls being counted from 1:
///
///   disk_read:every=50,host_pinning:after=3,short_read:chance=0.01:seed=7:times=2
///
/// every=N: each N-th call; at=N: the N-th; after=N: those after the N-th; chance=P: with that probability,
/// by a generator that `seed` starts (0 without it); times=N: N times at most; only=NAME: calls that concern
/// NAME, the others being neither counted nor failed. Throws Error(kInvalidArgument), also where the build
/// has no faults.
void set_faults(std::string_view plan);

/// How often the point has fired since the plan was set.
uint64_t fault_count(FaultPoint point);

}  // namespace vkmoe
