#include "capi/handles.h"
#include "capi/session_params.h"
#include "capi/sized_struct.h"
#include "experts/pager.h"
#include "kernels/kernel_table.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

using vkmoe::capi::guard;
using vkmoe::capi::require;

namespace {

constexpr size_t kParamsFirstVersion = offsetof(vkmoe_model_params, vram_budget);
constexpr size_t kInfoFirstVersion = offsetof(vkmoe_model_info, driver);

static_assert(static_cast<int>(vkmoe::PagerMode::kAuto) == VKMOE_PAGER_AUTO &&
              static_cast<int>(vkmoe::PagerMode::kDevice) == VKMOE_PAGER_DEVICE &&
              static_cast<int>(vkmoe::PagerMode::kHost) == VKMOE_PAGER_HOST);
static_assert(static_cast<int>(vkmoe::Prefetch::kAuto) == VKMOE_PREFETCH_AUTO &&
              static_cast<int>(vkmoe::Prefetch::kOn) == VKMOE_PREFETCH_ON &&
              static_cast<int>(vkmoe::Prefetch::kOff) == VKMOE_PREFETCH_OFF);

/// An enumerator of the C API that has the same number as ours, which are 0 to `last`.
template <typename Ours, typename Theirs>
Ours checked(Theirs given, Theirs last, const char* field, const char* type) {
    const auto number = static_cast<int64_t>(given);
    if (number < 0 || number > static_cast<int64_t>(last))
        vkmoe::fail(vkmoe::ErrorCode::kInvalidArgument, "params->{} is {}, which is not a {}", field, number,
                    type);
    return static_cast<Ours>(given);
}

vkmoe_model_params default_params() {
    vkmoe_model_params params{};
    params.struct_size = sizeof params;
    return params;
}

}  // namespace

void vkmoe_model_default_params(vkmoe_model_params* params, size_t struct_size) {
    vkmoe::capi::write_defaults(default_params(), params, struct_size);
}

vkmoe_status vkmoe_model_load(const char* path, const vkmoe_model_params* params, vkmoe_model** model) {
    return guard([&] {
        require(model, "model");
        *model = nullptr;
        require(path, "path");
        const vkmoe_model_params given =
            vkmoe::capi::read_params(params, default_params(), kParamsFirstVersion, "params");
        vkmoe::ModelParams model_params;
        if (given.device != nullptr) model_params.device = given.device;
        if (given.progress != nullptr)
            model_params.progress = [&](float done) { return given.progress(done, given.user); };
        model_params.vram_budget = given.vram_budget;
        model_params.ram_budget = given.ram_budget;
        model_params.ram_reserve = given.ram_reserve;
        if (given.session != nullptr) {
            const vkmoe::SessionParams session =
                vkmoe::capi::read_session_params(given.session, "params->session");
            model_params.session = {.n_context = session.n_context,
                                    .micro_batch = session.n_micro_batch,
                                    .kv_type = session.kv_type,
                                    .router_statistics = session.router_statistics};
        }
        model_params.pager = checked<vkmoe::PagerMode>(given.pager, VKMOE_PAGER_HOST, "pager", "vkmoe_pager");
        model_params.prefetch =
            checked<vkmoe::Prefetch>(given.prefetch, VKMOE_PREFETCH_OFF, "prefetch", "vkmoe_prefetch");
        if (given.n_ignored_keys != 0) require(given.ignored_keys, "params->ignored_keys");
        for (size_t i = 0; i < given.n_ignored_keys; ++i) {
            require(given.ignored_keys[i], "a key of params->ignored_keys");
            model_params.ignored_keys.emplace_back(given.ignored_keys[i]);
        }
        std::shared_ptr<vkmoe::Model> loaded = vkmoe::Model::load(path, model_params);
        const vkmoe::DeviceCaps& caps = loaded->kernels().device().caps();
        std::string pager = loaded->pager() != nullptr ? loaded->pager()->describe() : "";
        auto handle = std::make_unique<vkmoe_model>();
        handle->loaded = std::make_shared<vkmoe::capi::LoadedModel>(
            std::move(loaded), caps.name, caps.driver_name + " " + caps.driver_info, std::move(pager),
            caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU);
        *model = handle.release();
    });
}

void vkmoe_model_free(vkmoe_model* model) {
    delete model;
}

vkmoe_status vkmoe_model_get_info(const vkmoe_model* model, vkmoe_model_info* info) {
    return guard([&] {
        require(model, "model");
        const vkmoe::Model& loaded = *model->loaded->model();
        const vkmoe::HyperParameters& hyper = loaded.hyper();
        vkmoe_model_info result{};
        result.architecture = hyper.architecture.c_str();
        result.name = hyper.name.c_str();
        result.device = model->loaded->device().c_str();
        result.device_is_cpu = model->loaded->device_is_cpu();
        result.n_layers = hyper.n_layers;
        result.n_experts = hyper.n_experts;
        result.n_experts_used = hyper.n_experts_used;
        result.n_vocabulary = hyper.n_vocabulary;
        result.n_embedding = hyper.n_embedding;
        result.n_context_train = hyper.n_context_train;
        result.n_parameters = loaded.n_parameters();
        result.weight_bytes = loaded.weight_bytes();
        result.driver = model->loaded->driver().c_str();
        result.pager = model->loaded->pager().c_str();
        vkmoe::capi::write_result(result, info, kInfoFirstVersion, "info");
    });
}
