#include "model/model.h"

#include "base/error.h"
#include "base/log.h"
#include "model/architecture.h"
#include "model/blocks.h"
#include "model/file_check.h"
#include "model/paging.h"

namespace vkmoe {

namespace {

/// What weights take of device memory, and where the records of experts lie in the file.
struct MeasuredWeights {
    ArenaLayout layout;
    uint64_t bytes = 0;
    std::vector<RecordLayer> records;
};

}  // namespace

Model::Model() = default;
Model::~Model() = default;

std::shared_ptr<Model> Model::load(const std::string& path, const ModelParams& params) {
    std::shared_ptr<Model> model(new Model);
    model->file_ = std::make_unique<GgufFile>(path);
    for (const std::string& key : params.ignored_keys) {
        if (!model->file_->drop(key)) log_warn("{}: there is no key '{}' to ignore", path, key);
    }
    const GgufFile& file = *model->file_;
    check_kind(file);
    model->architecture_ = &find_architecture(file);
    check_layout(file);
    model->hyper_ = model->architecture_->read_hyper_parameters(file);
    const HyperParameters& hyper = model->hyper_;
    for (const std::string& warning : check_metadata(file, hyper)) log_warn("{}: {}", path, warning);

    model->kernels_ = std::make_unique<KernelContext>(Device::create(params.device));
    KernelContext& kernels = *model->kernels_;
    const auto load = [&](WeightLoader& loader) {
        auto weights = std::make_unique<Weights>();
        load_weights(loader, *model->architecture_, hyper, *weights);
        return weights;
    };
    const auto measure = [&](bool leaves_experts) {
        Arena arena(kernels.shared_device(), MemoryKind::kDevice, "weights", ArenaMode::kMeasure);
        WeightLoader loader(file, arena, {});
        if (leaves_experts) loader.leave_experts();
        load(loader);
        return MeasuredWeights{arena.layout(), arena.committed_bytes(), loader.records()};
    };
    MeasuredWeights dense = measure(true);
    MeasuredWeights whole = measure(false);
    MemoryNeeds& needs = model->needs_;
    needs.dense_bytes = dense.bytes;
    needs.resident_bytes = whole.bytes;
    needs.records = std::move(dense.records);
    needs.pager = params.pager == PagerMode::kHost ? PagerMode::kHost : PagerMode::kDevice;
    needs.question = memory_question(*model, params);
    needs.budgets = split_memory(needs.question);
    const bool is_paged = needs.budgets.is_paged;
    needs.session = planned_session(*model, params, is_paged ? needs.pager : PagerMode::kAuto);
    kernels.device().set_memory_budget(needs.budgets.vram);
    if (params.measure_only) return model;
    LinkSpeed link;
    if (is_paged) {
        require_budget(*model, params);
        link = probe_link(kernels);
    }

    auto arena = std::make_unique<Arena>(kernels.shared_device(), MemoryKind::kDevice, "weights");
    arena->expect(std::move((is_paged ? dense : whole).layout));
    float share_done = 0;
    {
        WeightLoader loader(file, *arena, params.progress);
        if (is_paged) loader.leave_experts();
        model->weights_ = load(loader);
        share_done = loader.share_done();
    }
    model->weights_->arena = std::move(arena);
    for (const GgufTensor& tensor : file.tensors()) {
        model->n_parameters_ += tensor.n_elements();
        kernels.codebook(tensor.type);  // now, before experts take what memory is left
    }
    model->weight_bytes_ = model->weights_->arena->committed_bytes();
    if (is_paged) model->pager_ = make_pager(*model, params, link, share_done);
    return model;
}

void Model::add_layers(BatchBuilder& batch) const {
    add_embedding(batch);
    for (uint32_t layer = 0; layer < hyper_.n_layers; ++layer) architecture_->add_layer(batch, layer);
}

}  // namespace vkmoe
