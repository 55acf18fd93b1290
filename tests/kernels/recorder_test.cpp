#include "kernels/kernel_fixture.h"
#include "sched/hazards.h"

namespace vkmoe {
namespace {

using Ranges = std::vector<AddressRange>;

TEST(HazardTracker, OnlySharedBytesWithAWriteConflict) {
    HazardTracker tracker;
    const Ranges none;
    const Ranges first{{100, 200}};
    const Ranges touching{{200, 300}};
    const Ranges overlapping{{199, 300}};
    EXPECT_FALSE(tracker.conflicts(first, first));
    tracker.add(first, touching);
    EXPECT_FALSE(tracker.conflicts(first, none)) << "read after read";
    EXPECT_TRUE(tracker.conflicts(overlapping, none)) << "read after write";
    EXPECT_TRUE(tracker.conflicts(none, first)) << "write after read";
    EXPECT_TRUE(tracker.conflicts(none, touching)) << "write after write";
    EXPECT_FALSE(tracker.conflicts(Ranges{{300, 400}}, Ranges{{0, 100}, {300, 301}}));
    tracker.clear();
    EXPECT_FALSE(tracker.conflicts(touching, first));
}

}  // namespace
}  // namespace vkmoe
