#pragma once

#include "conformance/run.h"

#include <string>
#include <vector>

namespace vkmoe::conformance {

/// How fast a matrix kernel is on a shape of a real model.
struct Speed {
    KernelKey cell{};
    uint32_t n_tokens = 0;
    std::string form;                 ///< "pairs", "registers" or "tiles", as ExpertForm has them
    std::string shape;                ///< "4096 x 4096"
    double seconds = 0;               ///< of one launch, the best of several
    double gigabytes = 0;             ///< a second, read and written
    double teraflops = 0;             ///< a second; a multiplication and an addition are two
    bool is_bound_by_memory = false;  ///< few tokens: gigabytes a second say how good it is, else teraflops
};

/// Speeds of cells, and what they are compared with.
struct SpeedReport {
    std::vector<Speed> speeds;
    double copy_gigabytes = 0;  ///< a second, read and written, of the driver's own copy of 256 MiB
    double best_gigabytes = 0;  ///< the larger of the copy and the fastest cell
    double best_teraflops = 0;  ///< of the fastest cell
};

/// Gigabytes read and written a second by the driver's own copy.
double copy_speed(KernelContext& kernels);
/// By the device's timestamps; Error(kUnsupported) where it has none. At those numbers of tokens for which a
/// step takes the cell's operation. None for what is no matrix kernel or cannot run.
std::vector<Speed> measure_speeds(KernelContext& kernels, Bench& bench, const KernelKey& cell,
                                  const SpeedOptions& options);
void add_speed(SpeedReport& report, const Speed& speed);

/// Measures the copy and then one cell after the other.
SpeedReport measure_cells(KernelContext& kernels, const std::vector<KernelKey>& cells,
                          const SpeedOptions& options, const RunProgress& progress);

/// Of the memory's or the arithmetic's, whichever bounds it: 0 to 1.
double share_of_peak(const SpeedReport& report, const Speed& speed);

/// A table of speeds with the share of the peak.
std::string speed_table(const SpeedReport& report);

}  // namespace vkmoe::conformance
