#include "model/model.h"

#include "base/error.h"
#include "model/architecture.h"
#include "model/blocks.h"

namespace vkmoe {

Model::Model() = default;
Model::~Model() = default;

std::shared_ptr<Model> Model::load(const std::string& path, const ModelParams& params) {
    std::shared_ptr<Model> model(new Model);
    model->file_ = std::make_unique<GgufFile>(path);
    const GgufFile& file = *model->file_;
    model->architecture_ = &find_architecture(file);
    model->hyper_ = model->architecture_->read_hyper_parameters(file);
    const HyperParameters& hyper = model->hyper_;

    model->kernels_ = std::make_unique<KernelContext>(Device::create(params.device));
    model->weights_ = std::make_unique<Weights>();
    Weights& weights = *model->weights_;
    weights.arena = std::make_unique<Arena>(model->kernels_->shared_device(), MemoryKind::kDevice, "weights");
    WeightLoader loader(file, *weights.arena, params.progress);
    weights.embedding = loader.matrix("token_embd.weight", hyper.n_vocabulary, hyper.n_embedding);
    for (uint32_t layer = 0; layer < hyper.n_layers; ++layer) {
        weights.layers.push_back(model->architecture_->load_layer(loader, hyper, layer));
    }
    weights.output_norm = loader.vector("output_norm.weight", hyper.n_embedding);
    weights.output = loader.optional_matrix("output.weight", hyper.n_vocabulary, hyper.n_embedding);
    if (!weights.output) weights.output = weights.embedding;  // tied
    weights.rope_table = loader.rope_table(hyper);
    loader.finish();

    for (const GgufTensor& tensor : file.tensors()) model->n_parameters_ += tensor.n_elements();
    model->weight_bytes_ = weights.arena->committed_bytes();
    return model;
}

void Model::add_layers(BatchBuilder& batch) const {
    add_embedding(batch);
    for (uint32_t layer = 0; layer < hyper_.n_layers; ++layer) architecture_->add_layer(batch, layer);
}

}  // namespace vkmoe
