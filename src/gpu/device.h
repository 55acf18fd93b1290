#pragma once

#include "gpu/caps.h"
#include "gpu/plan.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
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
    /// Keeps this instance, which `self` owns, until the process ends.
    void keep(std::shared_ptr<Instance> self) { self_ = std::move(self); }

  private:
    Instance() = default;
    std::shared_ptr<Instance> self_;
    VkInstance instance_ = VK_NULL_HANDLE;
    VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
    std::vector<VkPhysicalDevice> physical_devices_;
};

/// Chooses a device by index or by words of its name, as find_device (gpu/device_choice.h); empty: by
/// VKMOE_DEVICE, else the first that vkmoe can use. Throws Error(kNoDevice) as find_device does.
uint32_t choose_device(const Instance& instance, const std::string& wish);

/// What a device is made with beyond what kernels need.
struct DeviceOptions {
    /// Pipelines may be created so that the driver tells of their machine code, where it can
    /// (Device::captures_statistics). Drivers keep more of such pipelines, and some compile them anew.
    bool capture_statistics = false;
};

/// Whose part of device memory an arena takes.
enum class MemoryShare : uint8_t {
    kGeneral,
    kReserved,  ///< that of the experts' slots, see Device::set_memory_reserve
};

/// A logical device with one compute queue and, where the plan has one, a transfer queue.
class Device : public std::enable_shared_from_this<Device> {
  public:
    /// wish as for choose_device. Reads VKMOE_PATH and VKMOE_GPU_TIMEOUT.
    static std::shared_ptr<Device> create(const std::string& wish = {}, const DeviceOptions& options = {});
    static std::shared_ptr<Device> create(std::shared_ptr<Instance> instance, uint32_t index,
                                          const DeviceOptions& options = {});
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
    /// Asked for, and the driver has VK_KHR_pipeline_executable_properties.
    bool captures_statistics() const { return captures_statistics_; }

    // Work. A device that is lost, or that did not finish its work in time, has failed for good: from then on
    // submit, the waits and new memory throw Error(kDeviceLost) at once.

    /// Submits a batch that signals one timeline semaphore. Safe from any thread.
    void submit(VkQueue queue, const VkSubmitInfo2& info);
    /// Waits for all queues.
    void wait_idle();
    /// Seconds after which a wait counts the device as failed: VKMOE_GPU_TIMEOUT, or 600.
    double timeout_seconds() const { return timeout_seconds_; }
    /// Like check_vk, and remembers a loss.
    void check(VkResult result, const char* doing);
    /// Records that the device did not finish its work within so many seconds.
    [[noreturn]] void fail_unfinished(double seconds);
    bool has_failed() const { return has_failed_; }
    /// Throws once the device has failed.
    void require_working() const;

    // For destructors and exception handlers:
    /// Waits until nothing is in flight. False where the device does not finish: after a failure it gets
    /// kGraceSeconds once, for all callers together. Also needed before a semaphore is destroyed that some
    /// batch has waited for, even when that batch is done: Mesa's submission thread touches those semaphores
    /// for a moment after it has signalled the batch's own (25.0.7, vk_queue_submit_cleanup).
    bool drain() noexcept;
    /// Whether objects that batches used may be destroyed. While the device works their owner has waited for
    /// the batches. After a failure they are left allocated where the device may still use them.
    bool may_free() noexcept { return !has_failed_ || drain(); }
    /// The semaphore, whose batches are all done, is about to be destroyed.
    void forget(VkSemaphore semaphore);
    static constexpr double kGraceSeconds = 2;

    /// Bytes that may still be taken for arenas of MemoryKind::kDevice: from the plan's device heaps what
    /// their budgets for this process (VK_EXT_memory_budget), else their sizes, leave; and no more than
    /// set_memory_budget leaves. For MemoryShare::kGeneral without the part of the reserve that is not taken.
    uint64_t available_device_memory(MemoryShare share = MemoryShare::kGeneral) const;
    /// Keeps so many bytes for arenas of MemoryShare::kReserved, which may take more than that.
    void set_memory_reserve(uint64_t bytes);
    /// Held while arenas that belong together are filled: of two sessions, of which only one fits, that one
    /// then gets all its memory, instead of both a part.
    std::mutex& allocation_mutex() { return allocation_mutex_; }
    /// The most that arenas of MemoryKind::kDevice may hold together, bytes; 0: what the driver gives. Arenas
    /// of other kinds never count, though on unified memory they lie in the same heaps: a budget means there
    /// what it would on a card with memory of its own.
    void set_memory_budget(uint64_t bytes);
    uint64_t memory_budget() const;
    uint64_t device_memory_taken() const;  ///< bytes that arenas of MemoryKind::kDevice hold now
    /// Of these, what arenas of one share hold.
    uint64_t device_memory_taken(MemoryShare share) const;
    uint64_t device_memory_peak() const;  ///< the most that they ever held

    /// Gives device memory back when an arena is short of it: told how many bytes are missing, it frees what
    /// it can.
    using Reclaimer = std::function<void(uint64_t missing_bytes)>;
    /// One at a time; an empty one ends it, and returns once a running call is over. The reclaimer is called
    /// by the thread that allocates, never by two at once, and never for what it allocates itself. It must
    /// not call set_reclaimer.
    void set_reclaimer(Reclaimer reclaimer);

    // For arenas:
    /// How often memory was given back, and how often the driver refused what had been set aside.
    struct MemoryEvents {
        uint64_t given_back = 0;
        uint64_t refused = 0;
    };
    MemoryEvents memory_events() const;
    /// Sets aside what an arena is about to allocate of a heap; false, with nothing taken, where it is not
    /// available.
    bool take_memory(MemoryKind kind, uint32_t heap, uint64_t bytes,
                     MemoryShare share = MemoryShare::kGeneral);
    void give_back_memory(MemoryKind kind, uint32_t heap, uint64_t bytes,
                          MemoryShare share = MemoryShare::kGeneral);
    /// Like give_back_memory, for what was set aside and the driver then refused.
    void note_refused_memory(MemoryKind kind, uint32_t heap, uint64_t bytes, MemoryShare share);
    /// Asks the reclaimer for `bytes` to become available, unless others have given memory back since
    /// `before`. Whether any was given back since then: taking it may work now.
    bool reclaim_device_memory(uint64_t bytes, const MemoryEvents& before);
    /// Where the driver has refused memory within the budget since `before`: lowers the budget to what was
    /// taken then, or is now, so that a pool that gives some back is not asked in vain. False, with nothing
    /// changed, where it refused nothing.
    bool shrink_memory_budget(const MemoryEvents& before);

  private:
    Device() = default;
    /// A semaphore's value that tells when the last batch on a queue is done.
    struct LastBatch {
        VkSemaphore semaphore = VK_NULL_HANDLE;
        uint64_t value = 0;
    };
    VkResult wait_for_batches(double seconds) const;
    void note_failure(const std::string& reason);
    std::vector<HeapState> heap_states_locked() const;
    uint64_t budget_leaves_locked() const;
    uint64_t available_locked(MemoryShare share) const;
    uint64_t& taken_locked(MemoryShare share);
    void give_back_locked(MemoryKind kind, uint32_t heap, uint64_t bytes, MemoryShare share);

    std::shared_ptr<Instance> instance_;
    VkPhysicalDevice physical_ = VK_NULL_HANDLE;
    VkDevice device_ = VK_NULL_HANDLE;
    VkQueue compute_queue_ = VK_NULL_HANDLE;
    VkQueue transfer_queue_ = VK_NULL_HANDLE;
    VolkDeviceTable vk_{};
    DeviceCaps caps_;
    DevicePlan plan_;
    bool captures_statistics_ = false;
    double timeout_seconds_ = 0;
    std::mutex submit_mutex_;  // held by who uses the queues
    LastBatch last_compute_;
    LastBatch last_transfer_;
    bool is_drained_ = false;    // after a failure: nothing is in flight
    bool is_abandoned_ = false;  // after a failure: it did not finish in time
    std::atomic<bool> has_failed_ = false;
    mutable std::mutex failure_mutex_;  // guards the next two
    std::string failure_;
    std::chrono::steady_clock::time_point failed_at_;
    mutable std::mutex memory_mutex_;  // guards the figures
    uint64_t memory_budget_ = 0;
    uint64_t memory_reserve_ = 0;
    uint64_t general_taken_ = 0;
    uint64_t reserved_taken_ = 0;
    uint64_t device_memory_peak_ = 0;
    uint64_t taken_at_refusal_ = 0;
    MemoryEvents memory_events_;
    std::mutex allocation_mutex_;
    std::vector<uint64_t> heap_taken_;  // by arenas of all kinds, for each heap
    std::mutex reclaimer_mutex_;        // held while it runs
    Reclaimer reclaimer_;
    std::atomic<std::thread::id> reclaiming_{};
};

/// Throws an Error that fits the result: kOutOfMemory, kDeviceLost or kInternal. `doing`: "create a compute
/// pipeline".
void check_vk(VkResult result, const char* doing);

}  // namespace vkmoe
