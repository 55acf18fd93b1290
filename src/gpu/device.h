#pragma once

#include "gpu/caps.h"
#include "gpu/plan.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace vkmoe {

/// The Vulkan instance. Throws Error(kNoDevice) with what to install when there is no loader or no driver.
class Instance {
  public:
    static std::shared_ptr<Instance> create();
    ~Instance();
    Instance(const Instance&) = delete;
    Instance& operator=(const Instance&) = delete;

    VkInstance handle() const { return instance_; }
    /// Devices in the order of preference: discrete, integrated, virtual, CPU; the driver's own order within
    /// a kind. Their index here is what --device INDEX means.
    const std::vector<VkPhysicalDevice>& physical_devices() const { return physical_devices_; }

  private:
    Instance() = default;
    VkInstance instance_ = VK_NULL_HANDLE;
    VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
    std::vector<VkPhysicalDevice> physical_devices_;
};

/// Chooses a device by index or by part of its name (case ignored); empty: VKMOE_DEVICE, else the first that
/// vkmoe can use. Throws Error(kNoDevice) that lists the devices when nothing matches or several do.
uint32_t choose_device(const Instance& instance, const std::string& wish);

/// A logical device with one compute queue and, where the plan has one, a transfer queue.
class Device : public std::enable_shared_from_this<Device> {
  public:
    /// wish as for choose_device. Reads VKMOE_PATH.
    static std::shared_ptr<Device> create(const std::string& wish = {});
    static std::shared_ptr<Device> create(std::shared_ptr<Instance> instance, uint32_t index);
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    const DeviceCaps& caps() const { return caps_; }
    const DevicePlan& plan() const { return plan_; }
    const VolkDeviceTable& vk() const { return vk_; }
    VkDevice handle() const { return device_; }
    VkPhysicalDevice physical() const { return physical_; }
    VkQueue compute_queue() const { return compute_queue_; }
    VkQueue transfer_queue() const { return transfer_queue_; }  ///< VK_NULL_HANDLE where the plan has none

    /// Queue submission, which Vulkan wants done by one thread at a time. Throws kDeviceLost.
    void submit(VkQueue queue, const VkSubmitInfo2& info);
    void wait_idle();

    /// Bytes that this process may still take from the largest device-local heap: its budget
    /// (VK_EXT_memory_budget), else its size, less what is in use.
    uint64_t available_device_memory() const;
    /// Arenas tell what device-local memory they took (or, negative, gave back).
    void note_device_memory(int64_t bytes) { device_memory_taken_ += bytes; }

  private:
    Device() = default;
    std::shared_ptr<Instance> instance_;
    VkPhysicalDevice physical_ = VK_NULL_HANDLE;
    VkDevice device_ = VK_NULL_HANDLE;
    VkQueue compute_queue_ = VK_NULL_HANDLE;
    VkQueue transfer_queue_ = VK_NULL_HANDLE;
    VolkDeviceTable vk_{};
    DeviceCaps caps_;
    DevicePlan plan_;
    std::mutex submit_mutex_;
    std::atomic<int64_t> device_memory_taken_ = 0;
};

/// Throws an Error that fits the result: kOutOfMemory, kDeviceLost or kInternal. `doing`: "create a compute
/// pipeline".
void check_vk(VkResult result, const char* doing);

}  // namespace vkmoe
