#include "base/faults.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "unit/error_matching.h"
#include "unit/scoped_faults.h"

namespace vkmoe {
namespace {

/// The calls, counted from 1, at which the point fires.
std::vector<int> firing_calls(FaultPoint point, int n_calls) {
    std::vector<int> calls;
    for (int i = 1; i <= n_calls; ++i)
        if (fault(point)) calls.push_back(i);
    return calls;
}

TEST(Faults, AreNoneWithoutAPlan) {
    set_faults("");
    EXPECT_TRUE(firing_calls(FaultPoint::kDiskRead, 1000).empty());
}

TEST(Faults, RulesMustAllHold) {
    const ScopedFaults faults(
        "disk_read:every=3,host_pinning:after=2,short_read:at=4,device_lost:every=2:after=3:times=2,"
        "device_allocation");
    EXPECT_EQ(firing_calls(FaultPoint::kDiskRead, 10), (std::vector{3, 6, 9}));
    EXPECT_EQ(firing_calls(FaultPoint::kHostPinning, 5), (std::vector{3, 4, 5}));
    EXPECT_EQ(firing_calls(FaultPoint::kShortRead, 10), (std::vector{4}));
    EXPECT_EQ(firing_calls(FaultPoint::kDeviceLost, 20), (std::vector{4, 6}));
    EXPECT_EQ(firing_calls(FaultPoint::kDeviceAllocation, 2), (std::vector{1, 2}));
    EXPECT_EQ(fault_count(FaultPoint::kDiskRead), 3u);
    EXPECT_EQ(fault_count(FaultPoint::kDeviceLost), 2u);
}

TEST(Faults, MayConcernOneNameOnly) {
    const ScopedFaults faults("crash:only=swiglu/F32/scalar:at=2");
    EXPECT_FALSE(fault(FaultPoint::kCrash, "swiglu/F32/scalar"));
    EXPECT_FALSE(fault(FaultPoint::kCrash, "swiglu/F32/subgroup"));
    EXPECT_FALSE(fault(FaultPoint::kCrash));
    EXPECT_TRUE(fault(FaultPoint::kCrash, "swiglu/F32/scalar"));
    EXPECT_EQ(fault_count(FaultPoint::kCrash), 1u);
}

TEST(Faults, ChanceFollowsItsSeed) {
    const std::string plan = "disk_read:chance=0.1:seed=";
    set_faults(plan + "7");
    const std::vector<int> calls = firing_calls(FaultPoint::kDiskRead, 10'000);
    EXPECT_GT(calls.size(), 800u);
    EXPECT_LT(calls.size(), 1200u);
    set_faults(plan + "7");
    EXPECT_EQ(firing_calls(FaultPoint::kDiskRead, 10'000), calls);
    const ScopedFaults other(plan + "8");
    EXPECT_NE(firing_calls(FaultPoint::kDiskRead, 10'000), calls);
}

TEST(Faults, APlanThatIsNoneIsRefusedAndTheOldOneStays) {
    const ScopedFaults faults("short_read:at=1");
    expect_error(ErrorCode::kInvalidArgument, {"disc_read", "disk_read"}, [] { set_faults("disc_read"); });
    expect_error(ErrorCode::kInvalidArgument, {"sometimes=3"}, [] { set_faults("disk_read:sometimes=3"); });
    expect_error(ErrorCode::kInvalidArgument, {"every=x"}, [] { set_faults("disk_read:every=x"); });
    expect_error(ErrorCode::kInvalidArgument, {"every"}, [] { set_faults("disk_read:every"); });
    expect_error(ErrorCode::kInvalidArgument, {"chance=1z"}, [] { set_faults("disk_read:chance=1z"); });
    expect_error(ErrorCode::kInvalidArgument, {"''"}, [] { set_faults("disk_read:"); });
    EXPECT_TRUE(fault(FaultPoint::kShortRead));
}

}  // namespace
}  // namespace vkmoe
