#include "base/error.h"
#include "gpu/validation.h"
#include "kernels/kernel_fixture.h"

#include <cstdlib>

namespace vkmoe {
namespace {

class DeviceTest : public KernelTest {
  protected:
    Device& device() { return context().device(); }
    const std::shared_ptr<Device>& shared_device() { return context().shared_device(); }
};

std::vector<std::byte> random_bytes(std::mt19937& random, size_t n) {
    std::vector<std::byte> bytes(n);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    return bytes;
}

TEST_F(DeviceTest, ArenaPiecesAreAlignedAndDoNotOverlap) {
    Arena arena(shared_device(), MemoryKind::kDevice, "pieces");
    std::uniform_int_distribution<uint64_t> size(1, 100000);
    std::uniform_int_distribution<uint32_t> shift(0, 13);
    std::vector<std::pair<uint64_t, uint64_t>> taken;
    uint64_t sum = 0;
    for (int i = 0; i < 200; ++i) {
        const uint64_t bytes = size(random());
        const uint64_t alignment = uint64_t{1} << shift(random());
        const Allocation piece = arena.allocate(bytes, alignment);
        EXPECT_EQ(piece.size, bytes);
        EXPECT_EQ(piece.address % std::max(alignment, Arena::kAlignment), 0);
        for (const auto& [begin, end] : taken)
            EXPECT_TRUE(piece.address >= end || piece.address + bytes + Arena::kTailPadding <= begin);
        taken.emplace_back(piece.address, piece.address + bytes + Arena::kTailPadding);
        sum += bytes;
    }
    EXPECT_GE(arena.committed_bytes(), sum);
}

TEST_F(DeviceTest, UploadsAndDownloadsAcrossStagingSegments) {
    Arena arena(shared_device(), MemoryKind::kDevice, "round trip");
    Uploader uploader(shared_device(), 64 << 10);
    for (const size_t bytes : {size_t{1}, size_t{4096}, size_t{65537}, size_t{1} << 20}) {
        const std::vector<std::byte> sent = random_bytes(random(), bytes);
        const Allocation piece = arena.allocate(bytes);
        uploader.copy(piece, sent);
        uploader.flush();
        std::vector<std::byte> received(bytes);
        download(device(), piece, received);
        EXPECT_EQ(sent, received) << bytes << " bytes";
    }
}

}  // namespace
}  // namespace vkmoe
