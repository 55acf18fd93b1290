// A system that refuses threads is an error of the call that needs one, through the C API: it says which
// thread could not start, nothing is left behind, and the same call works as soon as threads are to be had.

#include "base/faults.h"
#include "model/tiny_models.h"
#include "unit/temp_folder.h"

#include "vkmoe/vkmoe.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace vkmoe {
namespace {

constexpr uint32_t kVocabulary = 300;

class ThreadStart : public testing::Test {
  protected:
    void SetUp() override {
        set_faults("");
        TinyModel model{.architecture = "qwen3moe", .seed = 3, .n_vocabulary = kVocabulary};
        make_tiny_file(model.with_type(TensorType::kQ4_K)).write(path_);
        vkmoe_model_default_params(&params_, sizeof params_);
        vkmoe_session_default_params(&session_params_, sizeof session_params_);
        session_params_.n_context = 64;
    }
    void TearDown() override { set_faults(""); }

    /// Calls until it succeeds; a thread may be refused once.
    void despite_refusal(const std::function<vkmoe_status()>& call) {
        const uint64_t refused = fault_count(FaultPoint::kThreadStart);
        vkmoe_status status = call();
        if (fault_count(FaultPoint::kThreadStart) > refused) {
            EXPECT_EQ(status, VKMOE_RESOURCE_LIMIT) << vkmoe_last_error();
            const std::string error = vkmoe_last_error();
            const std::string begin = "cannot start a thread to ";
            EXPECT_EQ(error.find(begin), 0u) << error;
            EXPECT_EQ(error.find('\n'), std::string::npos) << error;
            refused_.insert(error.substr(begin.size(), error.find(" (") - begin.size()));
            status = call();
        }
        ASSERT_EQ(status, VKMOE_OK) << vkmoe_last_error();
    }

    /// Loads, makes a session and feeds it; the logits.
    std::vector<float> logits() {
        vkmoe_model* model = nullptr;
        vkmoe_session* session = nullptr;
        despite_refusal([&] { return vkmoe_model_load(path_.c_str(), &params_, &model); });
        if (HasFatalFailure()) return {};
        despite_refusal([&] { return vkmoe_session_create(model, &session_params_, &session); });
        if (HasFatalFailure()) return {};
        std::vector<float> all;
        for (const std::vector<int32_t>& tokens : {std::vector<int32_t>{5}, {7, 8, 9, 10, 11}, {12}}) {
            despite_refusal(
                [&] { return vkmoe_session_feed(session, tokens.data(), tokens.size(), nullptr); });
            if (HasFatalFailure()) return {};
            const float* last = nullptr;
            EXPECT_EQ(vkmoe_session_logits(session, &last), VKMOE_OK);
            all.insert(all.end(), last, last + kVocabulary);
        }
        vkmoe_session_free(session);
        vkmoe_model_free(model);
        return all;
    }

    TempFolder folder_;
    const std::string path_ = folder_ / "tiny.gguf";
    vkmoe_model_params params_{};
    vkmoe_session_params session_params_{};
    std::set<std::string> refused_;  // what threads were for
};

TEST_F(ThreadStart, EachThatIsRefusedIsAnErrorOfItsCall) {
    for (const vkmoe_pager pager : {VKMOE_PAGER_AUTO, VKMOE_PAGER_DEVICE, VKMOE_PAGER_HOST}) {
        params_.pager = pager;
        const std::vector<float> expected = logits();
        ASSERT_FALSE(HasFailure());
        for (int at = 1;; ++at) {
            SCOPED_TRACE(fmt::format("pager {}, thread {}", static_cast<int>(pager), at));
            set_faults(fmt::format("thread_start:at={}", at));
            EXPECT_TRUE(logits() == expected);
            const bool was_refused = fault_count(FaultPoint::kThreadStart) > 0;
            set_faults("");
            if (!was_refused || HasFailure()) break;
        }
    }
    EXPECT_EQ(refused_.count("compile kernels"), 1u);
    EXPECT_EQ(refused_.count("read files by io_uring") + refused_.count("read files"), 1u);
    // Drivers of the CPU, whose memory the host sees.
    EXPECT_EQ(refused_.count("copy experts"), 1u);
}

}  // namespace
}  // namespace vkmoe
