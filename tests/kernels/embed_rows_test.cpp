#include "kernels/embed_rows.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kEmbedRows);

using EmbedRowsTest = KernelTest;

TEST_F(EmbedRowsTest, RefusesWhatDoesNotFit) {
    EmbedRowsArgs good;
    good.type = TensorType::kQ4_K;
    good.table = 0x10000;
    good.tokens = 0x20000;
    good.output = 0x30000;
    good.n_tokens = 1;
    good.n_columns = 256;
    good.n_vocabulary = 2;
    const auto refused = refusing(embed_rows, good);
    refused([](EmbedRowsArgs& args) { args.n_columns = 128; });
    refused([](EmbedRowsArgs& args) { args.table += 4; });
    refused([](EmbedRowsArgs& args) { args.tokens = 0; });
    refused([](EmbedRowsArgs& args) { args.n_tokens = 0; });
    refused([](EmbedRowsArgs& args) { args.path = Path::kDot4; });
}

}  // namespace
}  // namespace vkmoe
