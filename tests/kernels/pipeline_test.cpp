#include "gpu/pipeline.h"

#include "base/error.h"
#include "gpu/pipeline_cache.h"
#include "kernels/kernel_fixture.h"
#include "kernels/scoped_variable.h"
#include "unit/error_matching.h"
#include "unit/temp_folder.h"

namespace vkmoe {
namespace {

class PipelineTest : public KernelTest {
  protected:
    const std::shared_ptr<Device>& device() { return context().shared_device(); }

    PipelineSource source(std::vector<uint32_t> constants = {32}) {
        const KernelBinary& kernel = context().kernel({Op::kCombine, TensorType::kF32, Path::kScalar});
        return {kernel.name, kernel.spirv, std::move(constants), false};
    }
};

TEST_F(PipelineTest, TheSameSourceGivesTheSamePipeline) {
    PipelineStore store(device());
    const Pipeline* first = store.get(source());
    EXPECT_EQ(store.get(source()), first);
    EXPECT_NE(store.get(source({64})), first);
    EXPECT_NE(first->handle(), store.get(source({64}))->handle());
    EXPECT_EQ(first->layout(), store.layout());
    EXPECT_EQ(first->name(), source().name);
}

TEST_F(PipelineTest, ManyAreMadeAtOnce) {
    PipelineStore store(device());
    std::vector<const Pipeline*> pipelines;
    for (uint32_t size = 1; size <= 64; ++size) pipelines.push_back(store.get(source({size})));
    for (const Pipeline* pipeline : pipelines) EXPECT_NE(pipeline->handle(), VkPipeline{VK_NULL_HANDLE});
}

TEST_F(PipelineTest, AStoreMayGoBeforeItsPipelinesAreMade) {
    PipelineStore store(device());
    for (uint32_t size = 1; size <= 64; ++size) store.get(source({size}));
}

TEST_F(PipelineTest, FailureNamesTheKernel) {
    PipelineStore store(device());
    const Pipeline* pipeline = store.get(source({1u << 20}));
    expect_error(ErrorCode::kUnsupported, {source().name, "1048576"}, [&] { pipeline->handle(); });
    EXPECT_THROW(pipeline->handle(), Error) << "and again";
}

TEST_F(PipelineTest, TheCacheFileIsWrittenOnceAndRead) {
    const TempFolder folder;
    const ScopedVariable variable("VKMOE_CACHE_DIR", (folder / "made/for/it").c_str());
    const auto file = pipeline_cache_file(device()->caps(), 77);
    ASSERT_TRUE(file);
    {
        PipelineStore store(device(), 77);
        store.save();
        EXPECT_FALSE(std::filesystem::exists(*file)) << "nothing was made";
        store.get(source())->handle();
        store.save();
    }
    const std::vector<std::byte> data = load_pipeline_cache(*file, device()->caps());
    EXPECT_FALSE(data.empty());
    PipelineStore store(device(), 77);
    EXPECT_NE(store.get(source())->handle(), VkPipeline{VK_NULL_HANDLE});
    EXPECT_NE(pipeline_cache_file(device()->caps(), 78), file) << "other kernels, other file";
}

TEST_F(PipelineTest, AStoreThatMeasuresHasNoCache) {
    const TempFolder folder;
    const ScopedVariable variable("VKMOE_CACHE_DIR", (folder / "").c_str());
    const auto file = pipeline_cache_file(device()->caps(), 77);
    PipelineStore store(device(), 77, PipelineMaking::kMeasured);
    const Pipeline* pipeline = store.get(source());
    EXPECT_NE(pipeline->handle(), VkPipeline{VK_NULL_HANDLE});
    EXPECT_TRUE(pipeline->wait_for(std::chrono::milliseconds(0)));
    EXPECT_GT(pipeline->measures().milliseconds, 0);
    EXPECT_TRUE(pipeline->measures().executables.empty()) << "the device was not asked to tell of them";
    store.save();
    EXPECT_FALSE(std::filesystem::exists(*file));
}

TEST_F(PipelineTest, ADamagedOrForeignCacheIsIgnored) {
    const TempFolder folder;
    const ScopedVariable variable("VKMOE_CACHE_DIR", (folder / "").c_str());
    const std::string file = pipeline_cache_file(device()->caps(), 1)->string();
    {
        PipelineStore store(device(), 1);
        store.get(source())->handle();
    }
    const std::string good = read_file(file);
    ASSERT_FALSE(load_pipeline_cache(file, device()->caps()).empty());

    DeviceCaps other = device()->caps();
    other.pipeline_cache_uuid[3] ^= 1;
    EXPECT_TRUE(load_pipeline_cache(file, other).empty()) << "another driver";
    other = device()->caps();
    ++other.device_id;
    EXPECT_TRUE(load_pipeline_cache(file, other).empty()) << "another device";

    std::uniform_int_distribution<size_t> place(0, good.size() - 1);
    std::vector<std::string> broken{"", "x", good.substr(0, good.size() - 1), good + "x", good.substr(1)};
    for (int i = 0; i < 50; ++i) {
        broken.push_back(good);
        broken.back()[place(random())] ^= static_cast<char>(1 << (random()() % 8));
        broken.push_back(good.substr(0, place(random())));
    }
    for (const std::string& text : broken) {
        write_file(file, text);
        EXPECT_TRUE(load_pipeline_cache(file, device()->caps()).empty()) << text.size() << " bytes";
    }
    PipelineStore store(device(), 1);
    EXPECT_NE(store.get(source())->handle(), VkPipeline{VK_NULL_HANDLE});
    store.save();
    EXPECT_FALSE(load_pipeline_cache(file, device()->caps()).empty()) << "made anew";
}

TEST_F(PipelineTest, StoresOfTwoProcessesAddToOneCacheFile) {
    const TempFolder folder;
    const ScopedVariable variable("VKMOE_CACHE_DIR", (folder / "new").c_str());
    const auto size_of_file = [&] {
        return load_pipeline_cache(*pipeline_cache_file(device()->caps(), 1), device()->caps()).size();
    };
    {
        PipelineStore first(device(), 1);
        PipelineStore second(device(), 1);
        first.get(source({32}))->handle();
        second.get(source({64}))->handle();
        first.save();
        second.save();
    }
    const size_t size_of_both = size_of_file();
    std::filesystem::remove_all(folder / "new");
    PipelineStore one(device(), 1);
    one.get(source({32}))->handle();
    one.save();
    if (size_of_file() <= sizeof(VkPipelineCacheHeaderVersionOne))
        GTEST_SKIP() << "the driver caches nothing";
    EXPECT_GT(size_of_both, size_of_file());
    one.get(source({64}))->handle();
    one.save();
    EXPECT_EQ(size_of_both, size_of_file());
}

TEST_F(PipelineTest, WorksWhereNothingCanBeWritten) {
    const ScopedVariable variable("VKMOE_CACHE_DIR", "/dev/null/nowhere");
    PipelineStore store(device());
    EXPECT_NE(store.get(source())->handle(), VkPipeline{VK_NULL_HANDLE});
    store.save();
}

}  // namespace
}  // namespace vkmoe
