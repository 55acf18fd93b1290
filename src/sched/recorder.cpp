#include "sched/recorder.h"

#include "base/error.h"
#include "gpu/barrier.h"
#include "gpu/debug_names.h"
#include "gpu/vk_struct.h"
#include "sched/hazards.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>
#include <string_view>
#include <variant>

namespace vkmoe {
namespace {

constexpr uint32_t kMaxRegions = 8192;
constexpr uint64_t kIndirectBytes = 12;  // three uint32 group counts

constexpr VkPipelineStageFlags2 kCompute = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT;
constexpr VkPipelineStageFlags2 kCopy = VK_PIPELINE_STAGE_2_COPY_BIT;
constexpr VkPipelineStageFlags2 kHost = VK_PIPELINE_STAGE_2_HOST_BIT;

// What any later command of ours may be.
constexpr VkPipelineStageFlags2 kAllStages = kCompute | kCopy | VK_PIPELINE_STAGE_2_DRAW_INDIRECT_BIT;
constexpr VkAccessFlags2 kAllAccesses =
    VK_ACCESS_2_SHADER_STORAGE_READ_BIT | VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT |
    VK_ACCESS_2_INDIRECT_COMMAND_READ_BIT | VK_ACCESS_2_TRANSFER_READ_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT;

struct Copy {
    Allocation from;
    Allocation to;
};
using Command = std::variant<Dispatch, Copy>;

/// The order of the commands between two barriers: as they were added, or as VKMOE_SHUFFLE_DISPATCHES asks
/// for. Only programs built for tests read the variable.
class CommandOrder {
  public:
    CommandOrder() {
#ifdef VKMOE_FAULT_INJECTION
        const char* text = std::getenv("VKMOE_SHUFFLE_DISPATCHES");
        if (text == nullptr || *text == '\0') return;
        is_reversed_ = text == std::string_view("reversed");
        if (is_reversed_) return;
        uint64_t seed = 0;
        const char* end = text + std::strlen(text);
        if (const auto [rest, error] = std::from_chars(text, end, seed); error != std::errc() || rest != end)
            fail(ErrorCode::kInvalidArgument,
                 "VKMOE_SHUFFLE_DISPATCHES='{}' is not a seed; give a whole number, or 'reversed'", text);
        random_.emplace(seed);
#endif
    }

    /// The last one first, each after the one before it has finished: devices may not run both at once.
    bool is_reversed() const {
        return is_reversed_;
    }
    void apply(std::vector<Command>& commands) {
        if (is_reversed_) std::ranges::reverse(commands);
        if (random_) std::ranges::shuffle(commands, *random_);
    }

  private:
    bool is_reversed_ = false;
    std::optional<std::mt19937_64> random_;
};

}  // namespace

struct Recorder::State {
    std::shared_ptr<Device> device;
    std::unique_ptr<CommandBuffer> result;
    HazardTracker hazards;
    bool copied = false;  // since the last barrier
    /// Commands since the last barrier, which the device may run in any order.
    std::vector<Command> pending;
    CommandOrder order_of_commands;
    const Pipeline* bound = nullptr;
    std::string_view label;  // of the open region
    bool region_open = false;

    VkCommandBuffer commands() const { return result->handle(); }

    void open_region(std::string_view wanted) {
        if (region_open && wanted == label) return;
        close_region();
        label = wanted;
        region_open = true;
        begin_label(commands(), label);
        if (result->queries_) result->queries_->begin(commands(), label);
    }

    void close_region() {
        if (!region_open) return;
        if (result->queries_) result->queries_->end(commands());
        end_label(commands());
        region_open = false;
    }

    /// Puts a barrier where one is needed, then notes the accesses and the command.
    void order(std::span<const Access> accesses, Command command) {
        if (hazards.conflicts(accesses)) {
            emit_pending();
            emit_barrier();
            hazards.clear();
            copied = false;
            ++result->barrier_count_;
        }
        hazards.add(accesses);
        pending.push_back(std::move(command));
    }

    void emit_barrier() {
        memory_barrier(*device, commands(), copied ? kCompute | kCopy : kCompute,
                       VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT | (copied ? VK_ACCESS_2_TRANSFER_WRITE_BIT : 0),
                       kAllStages, kAllAccesses);
    }

    void emit_pending() {
        order_of_commands.apply(pending);
        for (const Command& command : pending) {
            std::visit([this](const auto& one) { emit(one); }, command);
            if (order_of_commands.is_reversed()) emit_barrier();
        }
        pending.clear();
    }

    void emit(const Dispatch& dispatch) {
        const VolkDeviceTable& vk = device->vk();
        open_region(dispatch.label);
        if (dispatch.pipeline != bound) {
            vk.vkCmdBindPipeline(commands(), VK_PIPELINE_BIND_POINT_COMPUTE, dispatch.pipeline->handle());
            bound = dispatch.pipeline;
        }
        if (dispatch.push_bytes != 0)
            vk.vkCmdPushConstants(commands(), dispatch.pipeline->layout(), VK_SHADER_STAGE_COMPUTE_BIT, 0,
                                  dispatch.push_bytes, dispatch.push.data());
        if (dispatch.indirect)
            vk.vkCmdDispatchIndirect(commands(), dispatch.indirect.buffer, dispatch.indirect.offset);
        else
            vk.vkCmdDispatch(commands(), dispatch.groups[0], dispatch.groups[1], dispatch.groups[2]);
        ++result->dispatch_count_;
    }

    void emit(const Copy& copy) {
        open_region("copy");
        VkBufferCopy region{};
        region.srcOffset = copy.from.offset;
        region.dstOffset = copy.to.offset;
        region.size = copy.from.size;
        device->vk().vkCmdCopyBuffer(commands(), copy.from.buffer, copy.to.buffer, 1, &region);
    }
};

CommandBuffer::~CommandBuffer() {
    if (pool_ != VK_NULL_HANDLE && device_->may_free())
        device_->vk().vkDestroyCommandPool(device_->handle(), pool_, nullptr);
}

Recorder::Recorder(std::shared_ptr<Device> device, Profiler* profiler) : state_(std::make_unique<State>()) {
    State& state = *state_;
    state.device = std::move(device);
    const VolkDeviceTable& vk = state.device->vk();
    state.result.reset(new CommandBuffer());
    CommandBuffer& result = *state.result;
    result.device_ = state.device;

    auto pool = vk_struct<VkCommandPoolCreateInfo>(VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
    pool.queueFamilyIndex = state.device->plan().compute_family;
    check_vk(vk.vkCreateCommandPool(state.device->handle(), &pool, nullptr, &result.pool_),
             "create a command pool");
    auto allocate = vk_struct<VkCommandBufferAllocateInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
    allocate.commandPool = result.pool_;
    allocate.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    allocate.commandBufferCount = 1;
    check_vk(vk.vkAllocateCommandBuffers(state.device->handle(), &allocate, &result.commands_),
             "allocate a command buffer");
    auto begin = vk_struct<VkCommandBufferBeginInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO);
    check_vk(vk.vkBeginCommandBuffer(result.commands_, &begin), "begin a command buffer");

    if (profiler != nullptr) {
        result.queries_ = profiler->make_queries(kMaxRegions);
        result.queries_->reset(result.commands_);
    }
    memory_barrier(
        *state.device, state.commands(), kHost | kCompute | kCopy,
        VK_ACCESS_2_HOST_WRITE_BIT | VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT,
        kAllStages, kAllAccesses);
}

Recorder::~Recorder() = default;

void Recorder::add(const Dispatch& dispatch) {
    assert(dispatch.pipeline != nullptr);
    State& state = *state_;
    const DeviceCaps& caps = state.device->caps();
    if (!dispatch.indirect) {
        for (size_t i = 0; i < 3; ++i)
            if (dispatch.groups[i] > caps.max_workgroup_count[i])
                fail(
                    ErrorCode::kUnsupported,
                    "kernel {} needs {} workgroups in dimension {}, but device '{}' launches at most {}; use "
                    "a smaller micro-batch",
                    dispatch.pipeline->name(), dispatch.groups[i], i, caps.name, caps.max_workgroup_count[i]);
        if (dispatch.groups[0] == 0 || dispatch.groups[1] == 0 || dispatch.groups[2] == 0) return;
    }

    if (dispatch.indirect) {
        std::vector<Access> accesses(dispatch.accesses().begin(), dispatch.accesses().end());
        accesses.push_back({AccessKind::kRead, {dispatch.indirect.address, kIndirectBytes}});
        state.order(accesses, dispatch);
    } else {
        state.order(dispatch.accesses(), dispatch);
    }
}

void Recorder::add(std::span<const Dispatch> dispatches) {
    for (const Dispatch& dispatch : dispatches) add(dispatch);
}

void Recorder::copy(const Allocation& from, const Allocation& to) {
    assert(from.size == to.size);
    if (from.size == 0) return;
    State& state = *state_;
    const std::array accesses{Access{AccessKind::kRead, view_of(from)},
                              Access{AccessKind::kWrite, view_of(to)}};
    state.order(accesses, Copy{from, to});
    state.copied = true;
}

std::unique_ptr<CommandBuffer> Recorder::finish() {
    State& state = *state_;
    assert(state.result != nullptr);
    state.emit_pending();
    state.close_region();
    memory_barrier(*state.device, state.commands(), kCompute | kCopy,
                   VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT, kAllStages | kHost,
                   kAllAccesses | VK_ACCESS_2_HOST_READ_BIT);
    check_vk(state.device->vk().vkEndCommandBuffer(state.commands()), "end a command buffer");
    return std::move(state.result);
}

}  // namespace vkmoe
