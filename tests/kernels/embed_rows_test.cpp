#include "kernels/embed_rows.h"

#include "base/error.h"
#include "formats/dequantize.h"
#include "formats/quantize.h"
#include "kernels/kernel_fixture.h"
#include "kernels/row_checks.h"

namespace vkmoe {
namespace {

constexpr TensorType kTypes[] = {TensorType::kF32,  TensorType::kF16,  TensorType::kBF16, TensorType::kQ8_0,
                                 TensorType::kQ4_0, TensorType::kQ4_K, TensorType::kQ5_K, TensorType::kQ6_K};

class EmbedRowsTest : public KernelTest {
  protected:
    void check(TensorType type, const std::vector<int32_t>& tokens, uint32_t n_vocabulary, uint32_t n_columns,
               float scale, Path path) {
        SCOPED_TRACE(fmt::format("{} [{}, {}], {} tokens, scale {}, path {}", tensor_type_info(type).name,
                                 n_vocabulary, n_columns, tokens.size(), scale, path_name(path)));
        const uint64_t bytes = row_bytes(type, n_columns);
        std::vector<std::byte> table(n_vocabulary * bytes);
        std::vector<float> decoded(uint64_t{n_vocabulary} * n_columns);
        const std::vector<float> values = random_row_values(random(), decoded.size());
        quantize_row(type, values.data(), table.data(), values.size());
        dequantize_row(type, table.data(), decoded.data(), decoded.size());

        auto rows = output<float>(tokens.size() * n_columns);
        EmbedRowsArgs args;
        args.type = type;
        args.table = upload(table).address;
        args.tokens = upload(tokens).address;
        args.output = rows.address();
        args.n_tokens = static_cast<uint32_t>(tokens.size());
        args.n_columns = n_columns;
        args.n_vocabulary = n_vocabulary;
        args.scale = scale;
        args.path = path;
        run({embed_rows(context(), args)});

        const std::vector<float> actual = rows.read();
        std::vector<double> expected(actual.size());
        for (size_t t = 0; t < tokens.size(); ++t) {
            if (tokens[t] < 0 || static_cast<uint32_t>(tokens[t]) >= n_vocabulary) {
                for (size_t i = 0; i < n_columns; ++i)
                    ASSERT_EQ(actual[t * n_columns + i], 0) << "token " << tokens[t];
                continue;
            }
            for (size_t i = 0; i < n_columns; ++i)
                expected[t * n_columns + i] =
                    double{scale} * decoded[static_cast<uint32_t>(tokens[t]) * n_columns + i];
        }
        EXPECT_LE(nmse(expected, actual), 1e-12);
    }

    std::vector<int32_t> random_tokens(size_t n, int32_t n_vocabulary) {
        std::uniform_int_distribution<int32_t> id(0, n_vocabulary - 1);
        std::vector<int32_t> tokens(n);
        for (int32_t& token : tokens) token = id(random());
        return tokens;
    }
};

TEST_F(EmbedRowsTest, MatchesTheReference) {
    for (const TensorType type : kTypes) {
        const uint32_t unit = std::max(32u, tensor_type_info(type).block_elements);
        for (const Path path : paths(Op::kEmbedRows, type)) {
            check(type, random_tokens(1, 61), 61, 8 * unit, 1, path);
            check(type, random_tokens(70, 7), 7, unit, 1, path);
            check(type, random_tokens(5, 33), 33, 3 * unit, 0.37f, path);
        }
    }
}

TEST_F(EmbedRowsTest, IdsOutsideTheVocabularyGiveZeros) {
    for (const TensorType type : kTypes)
        for (const Path path : paths(Op::kEmbedRows, type))
            check(type, {0, -1, 10, 11, 2147483647, -2147483647 - 1, 3}, 11, 256, 1, path);
}

TEST_F(EmbedRowsTest, RefusesWhatDoesNotFit) {
    EmbedRowsArgs good;
    good.type = TensorType::kQ4_K;
    good.table = 0x10000;
    good.tokens = 0x20000;
    good.output = 0x30000;
    good.n_tokens = 1;
    good.n_columns = 256;
    good.n_vocabulary = 2;
    EXPECT_NO_THROW(embed_rows(context(), good));
    auto refused = [&](auto change) {
        EmbedRowsArgs args = good;
        change(args);
        EXPECT_THROW(embed_rows(context(), args), Error);
    };
    refused([](EmbedRowsArgs& args) { args.n_columns = 128; });
    refused([](EmbedRowsArgs& args) { args.table += 4; });
    refused([](EmbedRowsArgs& args) { args.tokens = 0; });
    refused([](EmbedRowsArgs& args) { args.n_tokens = 0; });
    refused([](EmbedRowsArgs& args) { args.path = Path::kDot4; });
}

}  // namespace
}  // namespace vkmoe
