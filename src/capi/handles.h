#pragma once

#include "engine/session.h"
#include "text/tokenizer.h"
#include "vkmoe/vkmoe.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace vkmoe::capi {

/// What a model's handle and its sessions share: the last of them frees it.
class LoadedModel {
  public:
    LoadedModel(std::shared_ptr<Model> model, std::string device, std::string driver, std::string pager,
                bool device_is_cpu)
        : model_(std::move(model)),
          device_(std::move(device)),
          driver_(std::move(driver)),
          pager_(std::move(pager)),
          device_is_cpu_(device_is_cpu) {}

    const std::shared_ptr<Model>& model() const { return model_; }
    const std::string& device() const { return device_; }
    const std::string& driver() const { return driver_; }
    const std::string& pager() const { return pager_; }  ///< Pager::describe(), or empty
    bool device_is_cpu() const { return device_is_cpu_; }

    /// Made when it is first wanted: logits can be had of a model without a vocabulary. Throws as
    /// make_tokenizer does.
    const Tokenizer& tokenizer() const;

  private:
    std::shared_ptr<Model> model_;
    std::string device_;
    std::string driver_;
    std::string pager_;
    bool device_is_cpu_;
    mutable std::once_flag tokenizer_once_;
    mutable std::unique_ptr<Tokenizer> tokenizer_;
};

}  // namespace vkmoe::capi

struct vkmoe_model {
    std::shared_ptr<const vkmoe::capi::LoadedModel> loaded;
};

struct vkmoe_session {
    vkmoe_session(std::shared_ptr<const vkmoe::capi::LoadedModel> model, const vkmoe::SessionParams& params)
        : loaded(std::move(model)), session(loaded->model(), params) {}

    std::shared_ptr<const vkmoe::capi::LoadedModel> loaded;
    vkmoe::Session session;
    std::vector<int32_t> history;  // the tokens that the session holds
    std::string profile;           // what vkmoe_session_profile gave last
    vkmoe::LoadBalance balance;    // what vkmoe_session_router_statistics gave last
};
