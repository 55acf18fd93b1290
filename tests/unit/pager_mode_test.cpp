#include "experts/link_probe.h"

#include <gtest/gtest.h>

#include <cmath>

namespace vkmoe {
namespace {

// 48 layers whose records are 2.65 MB, on a PCIe 4 card.
constexpr LinkSpeed kCard{
    .shader_bytes_per_second = 20e9, .copy_bytes_per_second = 25e9, .round_trip_seconds = 40e-6};
constexpr LinkLoad kModel{.record_bytes = 2.65e6, .records_missed = 40, .n_layers = 48};

TEST(LinkSeconds, AreBytesByRateAndARoundTripALayerForTheHost) {
    EXPECT_NEAR(link_seconds(PagerMode::kDevice, kCard, kModel), 40 * 2.65e6 / 20e9, 1e-12);
    EXPECT_NEAR(link_seconds(PagerMode::kHost, kCard, kModel), 40 * 2.65e6 / 25e9 + 48 * 40e-6, 1e-12);
    EXPECT_EQ(link_seconds(PagerMode::kDevice, kCard, {.record_bytes = 1e6, .n_layers = 5}), 0);
    EXPECT_NEAR(link_seconds(PagerMode::kHost, kCard, {.record_bytes = 1e6, .n_layers = 5}), 200e-6, 1e-12);
    EXPECT_TRUE(std::isinf(link_seconds(PagerMode::kDevice, {.copy_bytes_per_second = 1e9}, kModel)));
    EXPECT_TRUE(std::isinf(link_seconds(PagerMode::kHost, {.shader_bytes_per_second = 1e9}, kModel)));
}

TEST(ChoosePagerMode, TakesTheDeviceWhereRoundTripsCostMoreThanFasterCopiesSave) {
    LinkSpeed equals{
        .shader_bytes_per_second = 20e9, .copy_bytes_per_second = 20e9, .round_trip_seconds = 1e-9};
    // 1.06 ms saved a token at 106 MB, 1.92 ms of round trips.
    EXPECT_EQ(choose_pager_mode(kCard, kModel, true), PagerMode::kDevice);
    EXPECT_EQ(choose_pager_mode(equals, kModel, true), PagerMode::kDevice);
    equals.round_trip_seconds = 0;
    EXPECT_EQ(choose_pager_mode(equals, kModel, true), PagerMode::kDevice) << "of equals, the device";
}

TEST(ChoosePagerMode, TakesTheHostWhereItsCopiesSaveMore) {
    LinkLoad heavy = kModel;
    heavy.records_missed = 200;  // 26.5 ms by shaders, 21.2 + 1.92 ms by the queue
    EXPECT_EQ(choose_pager_mode(kCard, heavy, true), PagerMode::kHost);
    LinkSpeed slow_shaders = kCard;
    slow_shaders.shader_bytes_per_second = 2e9;  // as CPU drivers have it
    EXPECT_EQ(choose_pager_mode(slow_shaders, kModel, true), PagerMode::kHost);
    LinkLoad hits_only = kModel;
    hits_only.records_missed = 0;
    EXPECT_EQ(choose_pager_mode(slow_shaders, hits_only, true), PagerMode::kDevice) << "nothing moves";
}

TEST(ChoosePagerMode, TakesTheHostWhereTheDeviceDoesNotSeeAllRecords) {
    EXPECT_EQ(choose_pager_mode(kCard, kModel, false), PagerMode::kHost);
}

TEST(LinkSpeedTest, TheHostCopiesInTheFasterWay) {
    LinkSpeed speed = kCard;
    EXPECT_EQ(speed.copy_by(), CopyBy::kQueue);
    EXPECT_EQ(speed.bytes_per_second(PagerMode::kDevice), 20e9);
    EXPECT_EQ(speed.bytes_per_second(PagerMode::kHost), 25e9);
    speed.host_bytes_per_second = 30e9;
    EXPECT_EQ(speed.copy_by(), CopyBy::kHost);
    EXPECT_EQ(speed.bytes_per_second(PagerMode::kDevice), 20e9);
    EXPECT_EQ(speed.bytes_per_second(PagerMode::kHost), 30e9);
    EXPECT_NEAR(link_seconds(PagerMode::kHost, speed, kModel), 40 * 2.65e6 / 30e9 + 48 * 40e-6, 1e-12);
}

TEST(DescribeLinkSpeed, IsOneLine) {
    LinkSpeed speed{
        .shader_bytes_per_second = 9.84e9, .copy_bytes_per_second = 12.06e9, .round_trip_seconds = 35.2e-6};
    EXPECT_EQ(describe(speed), "link: 9.8 GB/s by shader reads, 12.1 GB/s by queue copies, round trip 35 us");
    speed.device_bytes_per_second = 431e9;
    EXPECT_EQ(describe(speed),
              "link: 9.8 GB/s by shader reads, 12.1 GB/s by queue copies, round trip 35 us; device memory "
              "431 GB/s");
    speed.device_bytes_per_second = 0;
    speed.host_bytes_per_second = 15e9;
    EXPECT_EQ(describe(speed),
              "link: 9.8 GB/s by shader reads, 12.1 GB/s by queue copies, 15.0 GB/s by host threads, "
              "round trip 35 us");
}

}  // namespace
}  // namespace vkmoe
