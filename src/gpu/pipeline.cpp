#include "gpu/pipeline.h"

#include "base/error.h"
#include "base/log.h"
#include "base/worker_threads.h"
#include "gpu/debug_names.h"
#include "gpu/pipeline_cache.h"
#include "gpu/vk_struct.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <map>
#include <optional>
#include <thread>
#include <tuple>

namespace vkmoe {
namespace {

constexpr uint32_t kPushConstantBytes = 128;

/// Where a pipeline's SPIR-V lies stands for what it is: the kernel table never moves.
using Key = std::tuple<const uint32_t*, std::vector<uint32_t>, uint32_t>;

}  // namespace

struct PipelineStore::Impl {
    ~Impl();

    struct Job {
        PipelineSource source;
        Pipeline* pipeline = nullptr;
    };
    struct Module {
        VkShaderModule handle = VK_NULL_HANDLE;
        uint32_t users = 0;  // jobs waiting for it or at work with it
    };

    std::shared_ptr<Device> device;
    VkPipelineLayout layout = VK_NULL_HANDLE;
    VkPipelineCache cache = VK_NULL_HANDLE;
    std::optional<std::filesystem::path> cache_file;
    std::mutex save_mutex;         // one save at a time
    std::vector<std::byte> saved;  // what the cache file holds

    std::mutex mutex;  // of all below
    std::condition_variable wake;
    bool stop = false;
    bool made_any = false;
    std::map<Key, std::unique_ptr<Pipeline>> pipelines;
    std::map<const uint32_t*, Module> modules;
    std::deque<Job> jobs;
    WorkerThreads workers;

    void tell_to_stop();
    void make_layout();
    void make_cache(uint64_t kernels_hash);
    bool captures_statistics() const { return cache == VK_NULL_HANDLE && device->captures_statistics(); }
    void work();
    void make(const Job& job);
    void save();
    std::vector<std::byte> data_of(VkPipelineCache of) const;
    std::vector<std::byte> data_with(std::span<const std::byte> others) const;
    VkShaderModule acquire_module(std::span<const uint32_t> spirv);
    void release_module(std::span<const uint32_t> spirv);
    VkPipeline create(const PipelineSource& source, VkShaderModule module, PipelineMeasures& measures) const;
};

void PipelineStore::Impl::make_layout() {
    VkPushConstantRange range{};
    range.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT;
    range.size = kPushConstantBytes;
    VkPipelineLayoutCreateInfo info =
        vk_struct<VkPipelineLayoutCreateInfo>(VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO);
    info.pushConstantRangeCount = 1;
    info.pPushConstantRanges = &range;
    check_vk(device->vk().vkCreatePipelineLayout(device->handle(), &info, nullptr, &layout),
             "create a pipeline layout");
}

void PipelineStore::Impl::make_cache(uint64_t kernels_hash) {
    cache_file = pipeline_cache_file(device->caps(), kernels_hash);
    if (cache_file) saved = load_pipeline_cache(*cache_file, device->caps());
    VkPipelineCacheCreateInfo info =
        vk_struct<VkPipelineCacheCreateInfo>(VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO);
    info.initialDataSize = saved.size();
    info.pInitialData = saved.data();
    check_vk(device->vk().vkCreatePipelineCache(device->handle(), &info, nullptr, &cache),
             "create a pipeline cache");
}

void PipelineStore::Impl::work() {
    std::unique_lock lock(mutex);
    for (;;) {
        wake.wait(lock, [this] { return stop || !jobs.empty(); });
        if (stop) return;
        const Job job = std::move(jobs.front());
        jobs.pop_front();
        lock.unlock();
        make(job);
        lock.lock();
    }
}

void PipelineStore::Impl::make(const Job& job) {
    Pipeline& pipeline = *job.pipeline;
    VkPipeline made = VK_NULL_HANDLE;
    PipelineMeasures measures;
    std::exception_ptr failure;
    try {
        made = create(job.source, acquire_module(job.source.spirv), measures);
        if (captures_statistics()) measures.executables = pipeline_executables(*device, made);
        name_object(*device, VK_OBJECT_TYPE_PIPELINE, object_id(made), job.source.name);
    } catch (...) {
        failure = std::current_exception();
    }
    release_module(job.source.spirv);
    {
        // Before the pipeline can be seen: who has its handle and saves then saves it too.
        const std::lock_guard lock(mutex);
        made_any = true;
    }
    {
        const std::lock_guard lock(pipeline.mutex_);
        pipeline.pipeline_ = made;
        pipeline.measures_ = std::move(measures);
        pipeline.state_ = failure == nullptr ? Pipeline::State::kReady : Pipeline::State::kFailed;
        pipeline.failure_ = std::move(failure);
    }
    pipeline.made_.notify_all();
}

VkShaderModule PipelineStore::Impl::acquire_module(std::span<const uint32_t> spirv) {
    const std::lock_guard lock(mutex);
    Module& module = modules[spirv.data()];
    if (module.handle == VK_NULL_HANDLE) {
        VkShaderModuleCreateInfo info =
            vk_struct<VkShaderModuleCreateInfo>(VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO);
        info.codeSize = spirv.size_bytes();
        info.pCode = spirv.data();
        check_vk(device->vk().vkCreateShaderModule(device->handle(), &info, nullptr, &module.handle),
                 "create a shader module");
    }
    return module.handle;
}

void PipelineStore::Impl::release_module(std::span<const uint32_t> spirv) {
    const std::lock_guard lock(mutex);
    const auto found = modules.find(spirv.data());
    if (--found->second.users != 0) return;
    device->vk().vkDestroyShaderModule(device->handle(), found->second.handle, nullptr);
    modules.erase(found);
}

VkPipeline PipelineStore::Impl::create(const PipelineSource& source, VkShaderModule module,
                                       PipelineMeasures& measures) const {
    const DevicePlan& plan = device->plan();
    const uint32_t local_size = source.constants.empty() ? 1 : source.constants.front();
    if (local_size == 0 || local_size > plan.max_workgroup_invocations ||
        local_size > device->caps().max_workgroup_size[0])
        fail(ErrorCode::kUnsupported,
             "a workgroup of {} invocations was requested; the device supports 1 to {}", local_size,
             std::min(plan.max_workgroup_invocations, device->caps().max_workgroup_size[0]));

    std::vector<VkSpecializationMapEntry> entries;
    for (uint32_t i = 0; i < source.constants.size(); ++i)
        entries.push_back({i, static_cast<uint32_t>(i * sizeof(uint32_t)), sizeof(uint32_t)});
    VkSpecializationInfo constants{};
    constants.mapEntryCount = static_cast<uint32_t>(entries.size());
    constants.pMapEntries = entries.data();
    constants.dataSize = source.constants.size() * sizeof(uint32_t);
    constants.pData = source.constants.data();

    VkComputePipelineCreateInfo info =
        vk_struct<VkComputePipelineCreateInfo>(VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO);
    info.layout = layout;
    info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    info.stage.module = module;
    info.stage.pName = "main";
    info.stage.pSpecializationInfo = &constants;
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size =
        vk_struct<VkPipelineShaderStageRequiredSubgroupSizeCreateInfo>(
            VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO);
    if (source.subgroup_size != 0) {
        if (plan.require_subgroup_size) {
            size.requiredSubgroupSize = source.subgroup_size;
            info.stage.pNext = &size;
        }
        // Full subgroups are only allowed where the workgroup is a whole number of them.
        if (device->caps().full_subgroups && local_size % source.subgroup_size == 0)
            info.stage.flags |= VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    }
    if (captures_statistics()) info.flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
    VkPipeline pipeline = VK_NULL_HANDLE;
    const auto start = std::chrono::steady_clock::now();
    const VkResult result =
        device->vk().vkCreateComputePipelines(device->handle(), cache, 1, &info, nullptr, &pipeline);
    measures.milliseconds =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    check_vk(result, "create a compute pipeline");
    return pipeline;
}

VkPipeline Pipeline::handle() const {
    std::unique_lock lock(mutex_);
    made_.wait(lock, [this] { return state_ != State::kPending; });
    if (state_ == State::kReady) return pipeline_;
    try {
        std::rethrow_exception(failure_);
    } catch (const Error& failure) {
        fail(failure.code(), "kernel {}: {}", name(), failure.what());
    }
}

bool Pipeline::wait_for(std::chrono::milliseconds time) const {
    std::unique_lock lock(mutex_);
    return made_.wait_for(lock, time, [this] { return state_ != State::kPending; });
}

PipelineStore::PipelineStore(std::shared_ptr<Device> device, uint64_t kernels_hash, PipelineMaking making)
    : impl_(std::make_unique<Impl>()) {
    impl_->device = std::move(device);
    impl_->make_layout();
    if (making == PipelineMaking::kForUse) impl_->make_cache(kernels_hash);
    const uint32_t n_workers = std::max(std::thread::hardware_concurrency(), 1u);
    impl_->workers.start(
        "compile kernels", n_workers, [impl = impl_.get()](size_t) { impl->work(); },
        [impl = impl_.get()] { impl->tell_to_stop(); });
}

PipelineStore::~PipelineStore() {
    impl_->tell_to_stop();
    impl_->workers.join();
    save();
}

/// Also of a store whose constructor failed half way.
PipelineStore::Impl::~Impl() {
    if (!device->may_free()) return;
    const VolkDeviceTable& vk = device->vk();
    for (const auto& [key, pipeline] : pipelines)
        vk.vkDestroyPipeline(device->handle(), pipeline->pipeline_, nullptr);
    for (const auto& [spirv, module] : modules)
        vk.vkDestroyShaderModule(device->handle(), module.handle, nullptr);
    vk.vkDestroyPipelineCache(device->handle(), cache, nullptr);
    vk.vkDestroyPipelineLayout(device->handle(), layout, nullptr);
}

void PipelineStore::Impl::tell_to_stop() {
    {
        const std::lock_guard lock(mutex);
        stop = true;
    }
    wake.notify_all();
}

const Pipeline* PipelineStore::get(const PipelineSource& source) {
    const std::lock_guard lock(impl_->mutex);
    Key key{source.spirv.data(), source.constants, source.subgroup_size};
    const auto found = impl_->pipelines.find(key);
    if (found != impl_->pipelines.end()) return found->second.get();

    auto pipeline = std::make_unique<Pipeline>();
    pipeline->layout_ = impl_->layout;
    pipeline->source_ = source;
    Impl::Module& module = impl_->modules[source.spirv.data()];
    // Neither a pipeline without a job, for which its users would wait for ever, nor the reverse.
    impl_->jobs.push_back({source, pipeline.get()});
    try {
        const auto added = impl_->pipelines.emplace(std::move(key), std::move(pipeline)).first;
        ++module.users;
        impl_->wake.notify_one();
        return added->second.get();
    } catch (...) {
        impl_->jobs.pop_back();
        throw;
    }
}

void PipelineStore::save() noexcept {
    const std::lock_guard saving(impl_->save_mutex);
    try {
        impl_->save();
    } catch (const std::exception& error) {
        log_info("the pipeline cache could not be written: {}", error.what());
    }
}

void PipelineStore::Impl::save() {
    {
        const std::lock_guard lock(mutex);
        if (!made_any || !cache_file) return;
        made_any = false;
    }
    std::vector<std::byte> data = data_of(cache);
    if (data.empty() || data == saved) return;
    const PipelineCacheLock lock(*cache_file);
    const std::vector<std::byte> written = load_pipeline_cache(*cache_file, device->caps());
    if (!written.empty() && written != saved) data = data_with(written);
    save_pipeline_cache(*cache_file, data);
    saved = std::move(data);
}

/// The driver's data of a cache. Empty, with a line in the log, where it gives none.
std::vector<std::byte> PipelineStore::Impl::data_of(VkPipelineCache of) const {
    const VolkDeviceTable& vk = device->vk();
    size_t size = 0;
    std::vector<std::byte> data;
    VkResult result = vk.vkGetPipelineCacheData(device->handle(), of, &size, nullptr);
    if (result == VK_SUCCESS) {
        data.resize(size);
        result = vk.vkGetPipelineCacheData(device->handle(), of, &size, data.data());
        data.resize(size);
    }
    // Another worker may have grown the cache between the two calls: what did fit is still a whole cache.
    if (result == VK_SUCCESS || result == VK_INCOMPLETE) return data;
    log_info("the driver returned no pipeline cache data ({})", static_cast<int>(result));
    return {};
}

/// The data of the cache together with those that another process has written.
std::vector<std::byte> PipelineStore::Impl::data_with(std::span<const std::byte> others) const {
    const VolkDeviceTable& vk = device->vk();
    VkPipelineCacheCreateInfo info =
        vk_struct<VkPipelineCacheCreateInfo>(VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO);
    info.initialDataSize = others.size();
    info.pInitialData = others.data();
    VkPipelineCache both = VK_NULL_HANDLE;
    check_vk(vk.vkCreatePipelineCache(device->handle(), &info, nullptr, &both), "create a pipeline cache");
    // Into the new one: workers may be using the other.
    std::vector<std::byte> data;
    if (vk.vkMergePipelineCaches(device->handle(), both, 1, &cache) == VK_SUCCESS) data = data_of(both);
    vk.vkDestroyPipelineCache(device->handle(), both, nullptr);
    return data.empty() ? data_of(cache) : data;
}

VkPipelineLayout PipelineStore::layout() const {
    return impl_->layout;
}

}  // namespace vkmoe
