#pragma once

#include "gpu/caps.h"
#include "gpu/plan.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
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
    /// Waits for all queues. Needed before a semaphore goes that some batch has waited for, though that batch
    /// be done: where Mesa emulates timelines its submission thread still touches those semaphores for a
    /// moment after it has signalled the batch's own (25.0.7, vk_queue_submit_cleanup).
    void wait_idle();

    /// Bytes that may still be taken for arenas of MemoryKind::kDevice: from the largest device-local heap
    /// what its budget for this process (VK_EXT_memory_budget), else its size, leaves; and no more than
    /// set_memory_budget leaves.
    uint64_t available_device_memory() const;
    /// The most that arenas of MemoryKind::kDevice may hold together, bytes; 0: what the driver gives. Arenas
    /// of other kinds never count, though on unified memory they lie in the same heap: a budget means there
    /// what it would on a card with memory of its own.
    void set_memory_budget(uint64_t bytes);
    uint64_t memory_budget() const;
    uint64_t device_memory_taken() const;  ///< bytes that arenas of MemoryKind::kDevice hold now
    uint64_t device_memory_peak() const;   ///< the most that they ever held

    /// Gives device memory back when an arena is short of it: told how many bytes are missing, it frees what
    /// it can and returns how many bytes those were, 0 when nothing is left to free.
    using Reclaimer = std::function<uint64_t(uint64_t missing_bytes)>;
    /// One at a time; an empty one ends it, and returns once a running call is over. The reclaimer is called
    /// by the thread that allocates, never by two at once, and never for what it allocates itself. It must
    /// not call set_reclaimer.
    void set_reclaimer(Reclaimer reclaimer);

    // For arenas:
    /// Sets aside what a kDevice arena is about to allocate; false, with nothing taken, where it is not
    /// available.
    bool take_device_memory(uint64_t bytes);
    void give_back_device_memory(uint64_t bytes);
    /// What other arenas took of device-local memory (or, negative, gave back): unified memory is one heap.
    void note_shared_memory(int64_t bytes);
    /// Asks the reclaimer for `bytes` to become available. Returns the bytes freed; 0 where nothing was.
    uint64_t reclaim_device_memory(uint64_t bytes);
    /// The driver refused memory within the budget: from now on no more than what is taken is counted on, so
    /// that a pool that gives some back is not asked in vain. Without a budget nothing changes.
    void shrink_memory_budget();

  private:
    Device() = default;
    uint64_t heap_leaves(int64_t taken) const;
    uint64_t available_locked() const;

    std::shared_ptr<Instance> instance_;
    VkPhysicalDevice physical_ = VK_NULL_HANDLE;
    VkDevice device_ = VK_NULL_HANDLE;
    VkQueue compute_queue_ = VK_NULL_HANDLE;
    VkQueue transfer_queue_ = VK_NULL_HANDLE;
    VolkDeviceTable vk_{};
    DeviceCaps caps_;
    DevicePlan plan_;
    std::mutex submit_mutex_;
    mutable std::mutex memory_mutex_;  // guards the figures
    uint64_t memory_budget_ = 0;
    uint64_t device_memory_taken_ = 0;
    uint64_t device_memory_peak_ = 0;
    int64_t shared_memory_taken_ = 0;
    std::mutex reclaimer_mutex_;  // held while it runs
    Reclaimer reclaimer_;
    std::atomic<std::thread::id> reclaiming_{};
};

/// Throws an Error that fits the result: kOutOfMemory, kDeviceLost or kInternal. `doing`: "create a compute
/// pipeline".
void check_vk(VkResult result, const char* doing);

}  // namespace vkmoe
