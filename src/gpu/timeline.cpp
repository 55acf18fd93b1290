#include "gpu/timeline.h"
#include "gpu/vk_struct.h"

#include "base/faults.h"

#include <array>
#include <cassert>

namespace vkmoe {
Timeline::Timeline(std::shared_ptr<Device> device) : device_(std::move(device)) {
    VkSemaphoreTypeCreateInfo type =
        vk_struct<VkSemaphoreTypeCreateInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO);
    type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
    VkSemaphoreCreateInfo info = vk_struct<VkSemaphoreCreateInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO);
    info.pNext = &type;
    check_vk(device_->vk().vkCreateSemaphore(device_->handle(), &info, nullptr, &semaphore_),
             "create a timeline semaphore");
}

Timeline::~Timeline() {
    if (!device_->drain()) return;
    device_->forget(semaphore_);
    device_->vk().vkDestroySemaphore(device_->handle(), semaphore_, nullptr);
}

uint64_t Timeline::reached() const {
    uint64_t value = 0;
    device_->check(device_->vk().vkGetSemaphoreCounterValue(device_->handle(), semaphore_, &value),
                   "read a timeline semaphore");
    return value;
}

void Timeline::wait(uint64_t value, double timeout_seconds) const {
    wait_for(*device_, std::array{point(value)}, timeout_seconds);
}

void wait_for(Device& device, std::span<const TimelinePoint> points, double timeout_seconds) {
    assert(points.size() <= kMaxTimelineWaits);
    if (points.empty()) return;
    std::array<VkSemaphore, kMaxTimelineWaits> semaphores{};
    std::array<uint64_t, kMaxTimelineWaits> values{};
    for (size_t i = 0; i < points.size(); ++i) {
        semaphores[i] = points[i].semaphore;
        values[i] = points[i].value;
    }
    device.require_working();
    if (fault(FaultPoint::kWait)) device.check(VK_ERROR_OUT_OF_HOST_MEMORY, "wait for the device");
    if (fault(FaultPoint::kDeviceLost)) device.check(VK_ERROR_DEVICE_LOST, "wait for the device");
    const double seconds = timeout_seconds > 0 ? timeout_seconds : device.timeout_seconds();
    VkSemaphoreWaitInfo info = vk_struct<VkSemaphoreWaitInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO);
    info.semaphoreCount = static_cast<uint32_t>(points.size());
    info.pSemaphores = semaphores.data();
    info.pValues = values.data();
    const VkResult result =
        device.vk().vkWaitSemaphores(device.handle(), &info, static_cast<uint64_t>(seconds * 1e9));
    if (result == VK_TIMEOUT) device.fail_unfinished(seconds);
    device.check(result, "wait for the device");
}

uint64_t submit_commands(Device& device, VkQueue queue, VkCommandBuffer commands, Timeline& timeline,
                         std::span<const TimelinePoint> waits) {
    assert(waits.size() <= kMaxTimelineWaits);
    const auto semaphore = [](const TimelinePoint& point) {
        auto info = vk_struct<VkSemaphoreSubmitInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO);
        info.semaphore = point.semaphore;
        info.value = point.value;
        info.stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;
        return info;
    };
    std::array<VkSemaphoreSubmitInfo, kMaxTimelineWaits> reached;
    for (size_t i = 0; i < waits.size(); ++i) reached[i] = semaphore(waits[i]);
    auto buffer = vk_struct<VkCommandBufferSubmitInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO);
    buffer.commandBuffer = commands;
    const VkSemaphoreSubmitInfo signal = semaphore(timeline.point(timeline.next()));
    auto info = vk_struct<VkSubmitInfo2>(VK_STRUCTURE_TYPE_SUBMIT_INFO_2);
    info.waitSemaphoreInfoCount = static_cast<uint32_t>(waits.size());
    info.pWaitSemaphoreInfos = reached.data();
    info.commandBufferInfoCount = 1;
    info.pCommandBufferInfos = &buffer;
    info.signalSemaphoreInfoCount = 1;
    info.pSignalSemaphoreInfos = &signal;
    device.submit(queue, info);
    return signal.value;
}

}  // namespace vkmoe
