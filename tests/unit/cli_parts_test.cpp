#include "base/error.h"
#include "base/thread_pool.h"
#include "cli/batch_speeds.h"
#include "cli/console.h"
#include "cli/expert_use.h"
#include "cli/likelihood.h"
#include "cli/memory_size.h"
#include "cli/npy.h"
#include "cli/pager_report.h"
#include "cli/random_weights.h"
#include "cli/spread.h"
#include "cli/suggestion.h"
#include "cli/synthetic_model.h"
#include "cli/token_file.h"
#include "formats/dequantize.h"
#include "formats/gguf.h"
#include "text/tokenizer.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vkmoe::cli {
namespace {

std::string refusal(const std::string& json, uint32_t n_vocabulary = 100) {
    try {
        parse_tokens(json, "tokens.json", n_vocabulary);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kBadFile);
        EXPECT_NE(std::string(error.what()).find("tokens.json"), std::string::npos) << error.what();
        return error.what();
    }
    ADD_FAILURE() << json << " was taken";
    return {};
}

TEST(BatchSpeeds, ListsOfRows) {
    EXPECT_EQ(parse_row_counts("1-4", 64), (std::vector<uint32_t>{1, 2, 3, 4}));
    EXPECT_EQ(parse_row_counts("8,1,2-3,8", 64), (std::vector<uint32_t>{1, 2, 3, 8}));
    EXPECT_EQ(parse_row_counts("64", 64), std::vector<uint32_t>{64});
    for (const char* text :
         {"", "0", "0-3", "65", "1-65", "3-1", "1,", ",1", "1-2-3", "-1", "one", "99999999999"})
        EXPECT_THROW(parse_row_counts(text, 64), Error) << text;
}

TEST(BatchSpeeds, NumbersOfRowsTakeTurnsAfterAWarmUp) {
    std::vector<uint32_t> order;
    double last_share = 0;
    const std::vector<BatchSpeed> speeds = measure_batches(
        {1, 2, 9}, 3,
        [&](uint32_t n_rows) {
            order.push_back(n_rows);
            return static_cast<double>(order.size());
        },
        [&](double done) { last_share = done; });
    EXPECT_EQ(order, (std::vector<uint32_t>{1, 2, 9, 1, 2, 9, 9, 2, 1, 1, 2, 9}));
    EXPECT_EQ(speeds[2].n_rows, 9u);
    EXPECT_EQ(speeds[2].seconds, (std::vector<double>{6, 7, 12}));
    EXPECT_EQ(speeds[2].tokens_per_second(), 9.0 / 7);
    EXPECT_DOUBLE_EQ(last_share, 1);
}

TEST(BatchSpeeds, NamesCliffs) {
    // 1.15 times as long a row is none yet; the rows between 2 and 4 are taken into account.
    std::vector<BatchSpeed> speeds{{1, {1.0}}, {2, {2.29}}, {4, {4.5}}};
    EXPECT_TRUE(find_cliffs(speeds).empty());
    EXPECT_NE(batch_table(speeds).find("\nno cliff"), std::string::npos);
    speeds.push_back({5, {4.5 * 1.45}});
    const std::vector<Cliff> cliffs = find_cliffs(speeds);
    ASSERT_EQ(cliffs.size(), 1u);
    EXPECT_EQ(cliffs[0].from, 4u);
    EXPECT_EQ(cliffs[0].to, 5u);
    EXPECT_NEAR(cliffs[0].ratio, 1.45, 1e-9);
    const std::string table = batch_table(speeds);
    EXPECT_NE(table.find("     5     6525.00        0.77  cliff: 1.45 times the time of 4\n"),
              std::string::npos)
        << table;
    EXPECT_TRUE(table.ends_with("\ncliff at 4 to 5 rows\n")) << table;
    EXPECT_EQ(batch_json(speeds)["cliffs"][0]["to"], 5);
}

TEST(ProgressLine, FitsTheTerminal) {
    EXPECT_EQ(progress_line("loading", 0.5, "", 80), "loading [###############---------------]  50%");
    EXPECT_EQ(progress_line("loading", 0.5, "", 36), "loading [##########----------]  50%");
    EXPECT_EQ(progress_line("loading", 0.5, "", 25), "loading  50%");
    EXPECT_EQ(progress_line("loading", 0.5, "", 9), "loadi...");
    EXPECT_EQ(progress_line("loading", 0.5, "", 3), "lo");
    EXPECT_EQ(progress_line("ops", 1, "3 of 9  matvec/F32/scalar", 42),
              "ops [##########] 100%  3 of 9  matvec/...");
    const std::string note = "17 of 900  expert_matvec_sum/IQ2_XXS/subgroup: \u753b\u9762\u306e\u5e45";
    for (size_t columns = 0; columns < 200; ++columns) {
        for (const double done : {0.0, 0.337, 1.0}) {
            const std::string line = progress_line("conformance", done, note, columns);
            // Each of the note's wide characters takes 3 bytes and 2 columns.
            const auto n_wide = std::count_if(
                line.begin(), line.end(), [](char byte) { return static_cast<unsigned char>(byte) >= 0xE0; });
            EXPECT_LT(line.size() - static_cast<size_t>(n_wide), std::max<size_t>(columns, 2)) << columns;
        }
    }
}

TEST(TokenFile, TakesIdsOfTheVocabulary) {
    EXPECT_EQ(parse_tokens("[0, 99, 7]\n", "", 100), (std::vector<int32_t>{0, 99, 7}));
}

TEST(TokenFile, NamesWhatIsWrong) {
    for (const char* json : {"", "[1, 2", "{\"a\": 1}", "[]", "3", "nonsense", "[1] [2]"}) refusal(json);
    EXPECT_NE(refusal("[1, 100]").find("element 1 is 100"), std::string::npos);
    EXPECT_NE(refusal("[1, 2, -1]").find("element 2 is -1"), std::string::npos);
    EXPECT_NE(refusal("[1.5]").find("element 0 is 1.5"), std::string::npos);
    EXPECT_NE(refusal("[18446744073709551616]").find("element 0"), std::string::npos);
    EXPECT_NE(refusal("[1, [2]]").find("element 1 is array"), std::string::npos);
    EXPECT_NE(refusal("[\"a\"]").find("element 0 is \"a\""), std::string::npos);
}

TEST(Suggestion, IsTheWordThatWasMeant) {
    const std::vector<std::string> words = {"--help",  "--version", "run",      "devices",
                                            "inspect", "plan",      "tokenize", "perplexity",
                                            "bench",   "pager-sim", "synth",    "routes"};
    for (const auto& [typed, meant] :
         std::vector<std::pair<const char*, const char*>>{{"rnu", "run"},
                                                          {"ru", "run"},
                                                          {"runn", "run"},
                                                          {"device", "devices"},
                                                          {"list-devices", ""},
                                                          {"ppl", ""},
                                                          {"perplexty", "perplexity"},
                                                          {"perpelxity", "perplexity"},
                                                          {"pagersim", "pager-sim"},
                                                          {"benchmark", "bench"},
                                                          {"help", "--help"},
                                                          {"version", "--version"},
                                                          {"nonsense", ""},
                                                          {"model.gguf", ""},
                                                          {"", ""},
                                                          {"-", ""}})
        EXPECT_EQ(suggest(typed, words), meant) << typed;
    EXPECT_EQ(suggest(std::string(100000, 'r'), words), "");
}

TEST(PagerReport, TellsWhatWasDoneBetweenTwoLooks) {
    vkmoe_pager_stats before{};
    EXPECT_EQ(describe_pager(before), "") << "nothing is paged";
    EXPECT_TRUE(pager_json(before).is_null());
    before.mode = VKMOE_PAGER_HOST;
    before.n_slots = 5;
    before.hits = 100;
    before.misses = 900;
    before.bytes_moved = 1'000'000'000;
    before.seconds = 10;
    before.seconds_stalled = 9;
    before.link_bytes_per_second = 4e9;
    vkmoe_pager_stats after = before;
    after.n_slots = 7;
    after.hits += 30;
    after.misses += 10;
    after.evictions += 3;
    after.bytes_moved += 2'000'000'000;
    after.seconds += 2;
    after.seconds_stalled += 0.5;
    const vkmoe_pager_stats done = pager_difference(before, after);
    EXPECT_EQ(done.n_slots, 7U);
    EXPECT_EQ(done.hits, 30U);
    EXPECT_EQ(done.evictions, 3U);
    EXPECT_DOUBLE_EQ(done.hit_rate, 0.75);
    EXPECT_DOUBLE_EQ(done.link_share, 0.25);
    EXPECT_DOUBLE_EQ(done.stall_share, 0.25);
    const std::string text = describe_pager(done);
    for (const char* part :
         {"expert cache (host-managed)", "hit rate 75.0%", "3 evicted", "2.0 GB transferred, 25% of"})
        EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
    EXPECT_EQ(pager_json(done)["bytes_moved"], 2'000'000'000);

    const vkmoe_pager_stats nothing = pager_difference(after, after);
    EXPECT_EQ(nothing.hit_rate + nothing.link_share + nothing.stall_share, 0) << "nothing over nothing is 0";
}

TEST(Spread, HasTheMiddleAndTheEnds) {
    const Spread odd = spread_of({3, 1, 10});
    EXPECT_EQ(odd.median, 3);
    EXPECT_EQ(odd.least, 1);
    EXPECT_EQ(odd.most, 10);
    EXPECT_EQ(spread_of({4, 1, 2, 100}).median, 3);
    EXPECT_EQ(spread_of({7}).median, 7);
}

TEST(MemorySize, TakesBytesUnitsAndShares) {
    const auto bytes = [](std::string_view text) {
        const std::optional<MemorySize> size = parse_memory_size(text);
        EXPECT_TRUE(size) << text;
        return size ? size->of(1000) : 0;
    };
    EXPECT_EQ(bytes("4096"), 4096U);
    EXPECT_EQ(bytes("1b"), 1U);
    EXPECT_EQ(bytes("3K"), 3U << 10);
    EXPECT_EQ(bytes("800M"), 800ULL << 20);
    EXPECT_EQ(bytes("512MiB"), 512ULL << 20);
    EXPECT_EQ(bytes("12g"), 12ULL << 30);
    EXPECT_EQ(bytes("1.5GiB"), 3ULL << 29);
    EXPECT_EQ(bytes("2TB"), 2ULL << 40);
    EXPECT_EQ(bytes("50%"), 500U);
    EXPECT_EQ(bytes("100%"), 1000U);
    EXPECT_EQ(bytes("0.05%"), 1U) << "never none: that would be the default";
    EXPECT_EQ(MemorySize{}.of(1000), 0U);
}

TEST(MemorySize, RefusesWhatIsNone) {
    for (const char* text :
         {"",    "0",   "0G",   "-1G", "12Q", "12 G", "G",   "12GG",        "12GiBs", "nan",
          "inf", "1e3", "101%", "0%",  "-5%", "50%%", "0.5", "9999999999G", "12,5G",  "0x10"})
        EXPECT_FALSE(parse_memory_size(text)) << text;
}

TEST(Npy, HeaderIsAlignedAndNamesTheShape) {
    for (const size_t columns : {1UL, 4096UL, 123456789UL}) {
        const std::string header = npy_header(12, columns);
        EXPECT_EQ(header.size() % 64, 0U);
        EXPECT_EQ(header.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
        const size_t length =
            static_cast<unsigned char>(header[8]) + 256 * static_cast<unsigned char>(header[9]);
        EXPECT_EQ(length, header.size() - 10);
        EXPECT_EQ(header.back(), '\n');
        EXPECT_NE(header.find("'shape': (12, " + std::to_string(columns) + ")"), std::string::npos) << header;
    }
}

TEST(Likelihood, IsThatOfTheSoftmax) {
    const std::vector<float> logits = {1000, 1001, 999};
    const double total = 1 + std::exp(1.0) + std::exp(-1.0);
    EXPECT_NEAR(negative_log_likelihood(logits, 0), std::log(total), 1e-12);
    EXPECT_NEAR(negative_log_likelihood(logits, 1), std::log(total) - 1, 1e-12);
}

TEST(Likelihood, PerplexityHasTheStandardErrorOfItsMean) {
    PerplexityEstimate estimate;
    for (const double score : {1.0, 2.0, 3.0, 6.0}) estimate.add(score);
    // Mean 3, squared deviations 4 + 1 + 0 + 9 over 4 scores: the variance is 3.5.
    EXPECT_NEAR(estimate.perplexity(), std::exp(3.0), 1e-12);
    EXPECT_NEAR(estimate.error(), std::sqrt(3.5 / 3) * std::exp(3.0), 1e-12);
    EXPECT_EQ(estimate.count(), 4U);
}

TEST(ExpertUse, CountsExpertsOfLayersThatHaveThem) {
    // Layer 0 is dense.
    const std::vector<uint64_t> counts = {0, 0, 0, 0, 10, 0, 5, 5, 1, 0, 3, 0};
    EXPECT_EQ(describe_expert_use(counts, 4),
              "experts: 5 of 8 used; busiest layer 2 expert 2 with 75% of its layer's routes");
    EXPECT_EQ(describe_expert_use(std::vector<uint64_t>(8), 4), "experts: none used");
}

TEST(Synth, EveryRowIsWholeChunks) {
    EXPECT_EQ(RandomWeights::chunk_length(2048), 256U);
    EXPECT_EQ(RandomWeights::chunk_length(2880), 64U);
    for (const PublishedShape& shape : published_shapes()) {
        for (const uint32_t row :
             {shape.n_embedding, shape.n_heads * shape.head_dim, shape.n_expert_feed_forward})
            EXPECT_EQ(RandomWeights::chunk_length(row) % 64, 0U) << shape.name;
        EXPECT_EQ(find_shape(shape.name), &shape);
    }
    EXPECT_NE(find_shape("qwen3-30b-a3b"), nullptr);
    EXPECT_EQ(find_shape("Qwen3"), nullptr);
}

TEST(Synth, WeightsHaveTheirDeviationAndNoRowTwice) {
    for (const TensorType type :
         {TensorType::kF32, TensorType::kQ4_K, TensorType::kQ8_0, TensorType::kIQ1_M, TensorType::kIQ3_S}) {
        constexpr uint64_t kRow = 2048;
        constexpr uint64_t kRows = 3000;
        std::string bytes[2];
        for (const size_t n_threads : {1UL, 3UL}) {
            ThreadPool threads(n_threads);
            RandomWeights weights(5, threads);
            weights.produce(type, kRow, kRows, [&](std::span<const std::byte> portion) {
                bytes[n_threads / 2].append(reinterpret_cast<const char*>(portion.data()), portion.size());
            });
        }
        EXPECT_EQ(bytes[0], bytes[1]) << "must not depend on the threads";
        ASSERT_EQ(bytes[0].size(), kRows * row_bytes(type, kRow));
        std::set<std::string> rows;
        double squares = 0;
        std::vector<float> numbers(kRow);
        for (uint64_t row = 0; row < kRows; ++row) {
            const std::string text = bytes[0].substr(row * row_bytes(type, kRow), row_bytes(type, kRow));
            rows.insert(text);
            dequantize_row(type, reinterpret_cast<const std::byte*>(text.data()), numbers.data(), kRow);
            for (const float number : numbers) squares += double{number} * number;
        }
        EXPECT_EQ(rows.size(), kRows);
        EXPECT_NEAR(squares / kRows, 1, 0.02)
            << "the variance is 1 / row length; " << tensor_type_info(type).name;
    }
}

TEST(Synth, FileIsAModelWithAWorkingVocabulary) {
    ThreadPool threads;
    RandomWeights weights(1, threads);
    SyntheticModel model;
    model.shape = find_shape("OLMoE-1B-7B");
    model.type = TensorType::kQ4_0;
    model.n_layers = 1;
    model.n_vocabulary = 1000;
    uint64_t written = 0;
    const std::vector<std::byte> bytes =
        synthesize(model, weights, [&written](uint64_t n) { written = n; }).to_bytes();
    const GgufFile file("synthetic", bytes);
    EXPECT_EQ(file.get<std::string>("general.architecture"), "olmoe");
    EXPECT_EQ(file.get<uint32_t>("olmoe.expert_count"), 64U);
    EXPECT_EQ(file.tensor("blk.0.ffn_down_exps.weight", {1024, 2048, 64}).type, TensorType::kQ4_0);
    EXPECT_EQ(file.tensor("blk.0.ffn_gate_inp.weight", {2048, 64}).type, TensorType::kF32);
    EXPECT_EQ(file.tensor("blk.0.attn_k_norm.weight", {2048}).type, TensorType::kF32);
    EXPECT_EQ(file.tensor("output.weight", {2048, 1000}).type, TensorType::kQ4_0);
    EXPECT_GT(written, bytes.size() * 9 / 10);

    const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file);
    EXPECT_EQ(tokenizer->vocab_size(), 1000);
    for (const std::string text : {"plain words", "caf\xC3\xA9 \x01\xFF 12 <|endoftext|>"})
        EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false, false), true), text);
    EXPECT_EQ(tokenizer->encode("<|endoftext|>", false, true).size(), 1U);
    EXPECT_LT(tokenizer->encode("letters", false, false).size(), 7U) << "words of two letters are tokens";
}

}  // namespace
}  // namespace vkmoe::cli
