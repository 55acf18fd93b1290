#pragma once

#include "experts/pager_mode.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <string>

namespace vkmoe {

/// How fast records of experts come from host memory to device memory, and what asking the host costs.
struct LinkSpeed {
    double shader_bytes_per_second = 0;  ///< by kernels that read host memory (page_fetch)
    double copy_bytes_per_second =
        0;  ///< by copies of the transfer queue where there is one, else the compute queue
    double host_bytes_per_second = 0;    ///< by threads of the host; 0: it does not see device memory
    double round_trip_seconds = 0;       ///< from submitting hardly anything to knowing that it is done
    double device_bytes_per_second = 0;  ///< device memory as a matrix kernel reads it; 0: not measured

    /// What copies faster where the host decides, and how fast.
    CopyBy copy_by() const {
        return host_bytes_per_second > copy_bytes_per_second ? CopyBy::kHost : CopyBy::kQueue;
    }
    double bytes_per_second(PagerMode mode) const;
};

/// Measures all but device_bytes_per_second, in some tens of milliseconds, with 32 MiB of host memory and 8
/// MiB of device memory, less where less than twice that is available, and gives them back.
/// Error(kOutOfMemory) where not even 128 KiB are.
LinkSpeed measure_link(KernelContext& kernels);

/// Bytes a second that a matrix kernel reads of device memory: what bounds decoding. Takes up to 256 MiB of
/// it, at most a fourth of what is available, and gives it back.
double measure_device_memory(KernelContext& kernels);

/// "link: 9.8 GB/s by shader reads, 12.1 GB/s by queue copies, round trip 35 us", and "; device memory 431
/// GB/s" where that was measured.
std::string describe(const LinkSpeed& speed);

/// What decoding asks of the link.
struct LinkLoad {
    double record_bytes = 0;
    double records_missed = 0;  ///< a token, in all layers together: expected
    uint32_t n_layers = 0;      ///< with experts
};

/// Seconds that a token waits for the link when the device decides (kDevice) or the host does (kHost):
///   device   missed bytes / rate of shader reads
///   host     missed bytes / rate of the faster copies + a round trip a layer, since the ids of each layer's
///   experts go to the
///            host before anything can be copied, missing or not
/// What either mode does beside its copies (hits are computed meanwhile) is the same and left out; so is what
/// page_resolve costs, a few microseconds a layer, and what shader reads take from the kernels beside them.
/// Infinite where a rate is 0.
double link_seconds(PagerMode mode, const LinkSpeed& speed, const LinkLoad& load);

/// The mode that waits less; of equals, the device. Without addresses of all records on the device, only the
/// host can.
PagerMode choose_pager_mode(const LinkSpeed& speed, const LinkLoad& load, bool device_sees_all_records);

}  // namespace vkmoe
