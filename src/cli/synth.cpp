#include "base/standard_streams.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "cli/output_option.h"
#include "cli/synthetic_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace vkmoe::cli {
namespace {

constexpr uint32_t kMaxLayers = 1000;

struct Options {
    std::string shape;
    std::string type = "Q4_K";
    uint32_t n_layers = 0;
    uint32_t n_vocabulary = 4096;
    uint64_t seed = 0;
    std::string output;
};

/// gpt-oss-20b's rows of 2880 are no whole blocks of 128 or 256.
void refuse_unfit_type(const PublishedShape& shape, TensorType type) {
    const TensorTypeInfo& info = tensor_type_info(type);
    for (const uint32_t row :
         {shape.n_embedding, shape.n_heads * shape.head_dim, shape.n_expert_feed_forward})
        if (row % info.block_elements != 0)
            throw CLI::ValidationError(
                "--type",
                fmt::format("{} has blocks of {} numbers, which do not divide the rows of {} of {}; "
                            "use a type with smaller blocks, such as MXFP4 or Q8_0",
                            info.name, info.block_elements, row, shape.name));
}

void write_model(const Options& options) {
    SyntheticModel model;
    model.shape = find_shape(options.shape);
    model.type = *tensor_type_from_name(options.type);
    refuse_unfit_type(*model.shape, model.type);
    model.n_layers = options.n_layers != 0 ? options.n_layers : model.shape->n_layers;
    model.n_vocabulary = options.n_vocabulary;
    model.seed = options.seed;

    catch_interrupts();
    const auto start = std::chrono::steady_clock::now();
    ThreadPool threads;
    RandomWeights weights(model.seed, threads);
    uint64_t total = 0;
    {
        Progress progress("writing");
        const GgufWriter writer = synthesize(model, weights, [&](uint64_t bytes) {
            progress.update(static_cast<double>(bytes) / static_cast<double>(total));
        });
        total = writer.file_bytes();
        writer.write(options.output);
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    print_standard_error("wrote {}: {}, {} of {} layers, {}, vocabulary {}, {} in {:.1f} s\n", options.output,
                         model.shape->name, model.n_layers, model.shape->n_layers,
                         tensor_type_info(model.type).name, model.n_vocabulary, human_bytes(total), seconds);
}

std::vector<std::string> shape_names() {
    std::vector<std::string> names;
    for (const PublishedShape& shape : published_shapes()) names.emplace_back(shape.name);
    return names;
}

std::vector<std::string> type_names() {
    std::vector<std::string> names;
    for (const TensorTypeInfo& info : tensor_types()) names.emplace_back(info.name);
    return names;
}

}  // namespace

void add_synth_command(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("synth",
                           "Create a GGUF file with the exact shape of a published model, random weights and "
                           "a small byte vocabulary, to measure speed without a download; llama.cpp reads it "
                           "too");
    const auto options = std::make_shared<Options>();
    const std::vector<std::string> shapes = shape_names();
    const std::vector<std::string> types = type_names();
    command->add_option("--shape", options->shape, "Published model whose shape to use")
        ->required()
        ->check(CLI::IsMember(shapes, CLI::ignore_case).description(""))
        ->type_name(fmt::format("{}", fmt::join(shapes, "|")));
    command->add_option("--type", options->type, "Type of all matrices except the routers, which are F32")
        ->check(CLI::IsMember(types, CLI::ignore_case).description(""))
        ->type_name(fmt::format("{}", fmt::join(types, "|")));
    command
        ->add_option("--layers", options->n_layers,
                     "Number of layers; 0 means as many as the published model has")
        ->check(whole_number(0, kMaxLayers));
    command
        ->add_option("--vocabulary", options->n_vocabulary,
                     "Vocabulary size in tokens (bytes and short words)")
        ->check(whole_number(kMinVocabulary, kMaxVocabulary));
    command->add_option("--seed", options->seed, "The same seed gives the same file")->check(whole_number(0));
    command->add_option("-o,--output", options->output, "Write the model to FILE")
        ->required()
        ->check(output_file())
        ->type_name("FILE");
    command->callback([options] { write_model(*options); });
}

}  // namespace vkmoe::cli
