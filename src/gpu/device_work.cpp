// Device's work: submissions, waits, and the end of a device that fails.
#include "base/error.h"
#include "base/faults.h"
#include "base/log.h"
#include "gpu/device.h"
#include "gpu/vk_struct.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <thread>

namespace vkmoe {

Device::~Device() {
    if (device_ == VK_NULL_HANDLE) return;
    if (drain()) {
        vk_.vkDestroyDevice(device_, nullptr);
        return;
    }
    // A driver whose threads still run must not be unloaded: its instance stays too.
    Instance& instance = *instance_;
    instance.keep(std::move(instance_));
}

void Device::submit(VkQueue queue, const VkSubmitInfo2& info) {
    assert(info.signalSemaphoreInfoCount == 1);
    const std::lock_guard lock(submit_mutex_);
    require_working();
    VkResult result = VK_SUCCESS;
    if (fault(FaultPoint::kSubmit)) {
        result = VK_ERROR_OUT_OF_HOST_MEMORY;
    } else if (fault(FaultPoint::kDeviceLost)) {
        result = VK_ERROR_DEVICE_LOST;
    } else {
        result = vk_.vkQueueSubmit2(queue, 1, &info, VK_NULL_HANDLE);
    }
    check(result, "submit work to the device");
    const VkSemaphoreSubmitInfo& signal = info.pSignalSemaphoreInfos[0];
    (queue == compute_queue_ ? last_compute_ : last_transfer_) = {signal.semaphore, signal.value};
}

/// Batches of a queue signal in the order of their submission, so that the last ones stand for all.
VkResult Device::wait_for_batches(double seconds) const {
    std::array<VkSemaphore, 2> semaphores{};
    std::array<uint64_t, 2> values{};
    uint32_t n = 0;
    for (const LastBatch& last : {last_compute_, last_transfer_}) {
        if (last.semaphore == VK_NULL_HANDLE) continue;
        semaphores[n] = last.semaphore;
        values[n++] = last.value;
    }
    if (n == 0) return VK_SUCCESS;
    auto info = vk_struct<VkSemaphoreWaitInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO);
    info.semaphoreCount = n;
    info.pSemaphores = semaphores.data();
    info.pValues = values.data();
    return vk_.vkWaitSemaphores(device_, &info, static_cast<uint64_t>(seconds * 1e9));
}

void Device::wait_idle() {
    const std::lock_guard lock(submit_mutex_);
    require_working();
    VkResult result = VK_SUCCESS;
    if (fault(FaultPoint::kWait)) {
        result = VK_ERROR_OUT_OF_HOST_MEMORY;
    } else if (fault(FaultPoint::kDeviceLost)) {
        result = VK_ERROR_DEVICE_LOST;
    } else {
        result = wait_for_batches(timeout_seconds_);
        if (result == VK_TIMEOUT) fail_unfinished(timeout_seconds_);
        if (result == VK_SUCCESS) result = vk_.vkDeviceWaitIdle(device_);
    }
    check(result, "wait for the device");
}

bool Device::drain() noexcept {
    using Clock = std::chrono::steady_clock;
    const std::lock_guard lock(submit_mutex_);
    if (is_drained_) return true;
    const bool had_failed = has_failed_;
    const double seconds = had_failed ? kGraceSeconds : timeout_seconds_;
    const Clock::time_point start = had_failed ? failed_at_ : Clock::now();
    VkResult result = VK_TIMEOUT;
    for (;;) {
        const double passed = std::chrono::duration<double>(Clock::now() - start).count();
        result = wait_for_batches(std::max(seconds - passed, 0.0));
        if (result == VK_SUCCESS || result == VK_ERROR_DEVICE_LOST || passed >= seconds) break;
        // Woken early, or without memory to wait by.
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (result == VK_SUCCESS) result = vk_.vkDeviceWaitIdle(device_);
    // A lost device runs nothing any more.
    const bool is_done = result == VK_SUCCESS || result == VK_ERROR_DEVICE_LOST;
    is_drained_ = is_done && (had_failed || result != VK_SUCCESS);
    try {
        if (!had_failed && is_done) check(result, "wait for the device");
        if (!had_failed && !is_done) fail_unfinished(seconds);
        if (!is_done && !is_abandoned_) {
            is_abandoned_ = true;
            log_warn("device '{}' is still busy {} s after it failed; its memory is not freed", caps_.name,
                     kGraceSeconds);
        }
    } catch (const std::exception& error) {
        log_error("{}", error.what());
    }
    return is_done;
}

void Device::forget(VkSemaphore semaphore) {
    const std::lock_guard lock(submit_mutex_);
    for (LastBatch* last : {&last_compute_, &last_transfer_})
        if (last->semaphore == semaphore) *last = {};
}

void Device::check(VkResult result, const char* doing) {
    try {
        check_vk(result, doing);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::kDeviceLost) note_failure(error.what());
        throw;
    }
}

void Device::fail_unfinished(double seconds) {
    const std::string reason = fmt::format(
        "device '{}' did not finish its work within {} s; if it is merely slow, increase VKMOE_GPU_TIMEOUT",
        caps_.name, seconds);
    note_failure(reason);
    throw Error(ErrorCode::kDeviceLost, reason);
}

void Device::note_failure(const std::string& reason) {
    const std::lock_guard lock(failure_mutex_);
    if (has_failed_) return;  // the first one is why
    failure_ = reason;
    failed_at_ = std::chrono::steady_clock::now();
    has_failed_ = true;
}

void Device::require_working() const {
    if (!has_failed_) return;
    const std::lock_guard lock(failure_mutex_);
    fail(ErrorCode::kDeviceLost, "device '{}' has failed and accepts no more work ({}); load the model again",
         caps_.name, failure_);
}

}  // namespace vkmoe
