// Which device --device and VKMOE_DEVICE choose.

#include "gpu/device_choice.h"
#include "base/error.h"
#include "unit/error_matching.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vkmoe {
namespace {

using Names = std::vector<std::string>;

const Names kLavapipe = {"llvmpipe (LLVM 15.0.6, 256 bits)"};
const Names kWorkstation = {"NVIDIA GeForce RTX 3060",
                            "NVIDIA GeForce RTX 3060 Ti",
                            "AMD Radeon RX 6700 XT (RADV NAVI22)",
                            "Intel(R) Arc(tm) A770 Graphics (DG2)",
                            "Mali-G78",
                            "llvmpipe (LLVM 15.0.6, 256 bits)"};

void expect_refused(const Names& names, std::string_view wish,
                    std::initializer_list<std::string_view> parts) {
    SCOPED_TRACE(wish);
    expect_error(ErrorCode::kNoDevice, parts, [&] { find_device(names, wish); });
}

TEST(DeviceChoice, ANumberThatIsAnIndexIsOne) {
    for (uint32_t i = 0; i < kWorkstation.size(); ++i)
        EXPECT_EQ(find_device(kWorkstation, std::to_string(i)), i);
    EXPECT_EQ(find_device(Names{"Radeon 1", "Radeon 0"}, "0"), 0U) << "before any name";
}

TEST(DeviceChoice, DigitsWithinAWordChooseNothing) {
    for (const char* wish : {"1", "2", "5", "6", "7", "15", "25", "0.6", "15.0"})
        expect_refused(kLavapipe, wish, {wish, "0: llvmpipe (LLVM 15.0.6, 256 bits)"});
    expect_refused(kWorkstation, "60", {"'60'", "0: NVIDIA GeForce RTX 3060", "5: llvmpipe"});
    for (const char* wish : {"-1", "+0", "1 ", " 0", "0x0", "4294967296", "99999999999999999999"})
        expect_refused(kWorkstation, wish, {wish, "0: NVIDIA"});
}

TEST(DeviceChoice, WholeWordsOfOneName) {
    EXPECT_EQ(find_device(kWorkstation, "6700"), 2U);
    EXPECT_EQ(find_device(kWorkstation, "rx 6700"), 2U);
    EXPECT_EQ(find_device(kWorkstation, "RX 6700 XT"), 2U);
    EXPECT_EQ(find_device(kWorkstation, "navi22"), 2U);
    EXPECT_EQ(find_device(kWorkstation, "Intel"), 3U);
    EXPECT_EQ(find_device(kWorkstation, "Arc(TM) A770"), 3U);
    EXPECT_EQ(find_device(kWorkstation, "mali-g78"), 4U);
    EXPECT_EQ(find_device(kWorkstation, "G78"), 4U);
    EXPECT_EQ(find_device(kWorkstation, "ti"), 1U);
    EXPECT_EQ(find_device(kLavapipe, "LLVMPIPE"), 0U);
    EXPECT_EQ(find_device(kLavapipe, "15.0.6"), 0U);
    EXPECT_EQ(find_device(kLavapipe, "256"), 0U);
    EXPECT_EQ(find_device(Names{"Größe 1", "Maß 2"}, "Größe"), 0U);
    for (const char* wish : {"670", "6700 RX", "RX XT", "navi", "llvm pipe", "", " ", "()", "."})
        expect_refused(kWorkstation, wish, {"no device", wish});
}

TEST(DeviceChoice, SeveralMatchesAreListed) {
    expect_refused(kWorkstation, "rtx", {"more than one", "0: NVIDIA GeForce RTX 3060;", "1: NVIDIA"});
    expect_refused(kWorkstation, "RTX 3060", {"more than one", "0: NVIDIA", "1: NVIDIA"});
    EXPECT_EQ(find_device(kWorkstation, "nvidia geforce rtx 3060"), 0U) << "the whole name";
    expect_refused(Names{"RTX 3060", "RTX 3060"}, "RTX 3060", {"0: RTX 3060; 1: RTX 3060", "index"});
    try {
        find_device(kWorkstation, "RTX 3060");
    } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).find("AMD"), std::string::npos) << error.what();
    }
    expect_refused(Names{}, "RTX", {"no device"});
}

}  // namespace
}  // namespace vkmoe
