#include "experts/trace.h"
#include "base/error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "unit/error_matching.h"
#include "unit/temp_folder.h"

namespace vkmoe {
namespace {

std::vector<uint32_t> random_ids(std::mt19937& random, size_t n, uint32_t n_experts) {
    std::vector<uint32_t> ids(n);
    for (uint32_t& id : ids) id = static_cast<uint32_t>(random() % n_experts);
    return ids;
}

/// A trace of random routes, in the folder under `name`, and what it holds.
RoutingTrace write_random_trace(const std::string& path, const TraceShape& shape, size_t n_tokens) {
    std::mt19937 random(7);
    TraceWriter writer(path, shape);
    RoutingTrace expected;
    expected.shape = shape;
    expected.n_tokens = n_tokens;
    for (size_t token = 0; token < n_tokens; ++token) {
        if (token % 5 == 3) writer.begin_sequence();
        if (token == 0 || token % 5 == 3) expected.sequences.push_back(token);
        const std::vector<uint32_t> ids = random_ids(random, shape.n_layers * shape.n_used, shape.n_experts);
        const size_t n_predicted = size_t{shape.n_layers - 1} * shape.n_predicted;
        const std::vector<uint32_t> predicted = random_ids(random, n_predicted, shape.n_experts);
        std::vector<float> probabilities(n_predicted);
        for (float& probability : probabilities) {
            const auto stored = static_cast<uint16_t>(random());
            probability = static_cast<float>(stored) / 65536.0F;
            expected.probabilities.push_back(stored);
        }
        writer.add_token(ids, predicted, probabilities);
        expected.ids.insert(expected.ids.end(), ids.begin(), ids.end());
        expected.predicted.insert(expected.predicted.end(), predicted.begin(), predicted.end());
    }
    writer.finish();
    return expected;
}

void expect_equal(const RoutingTrace& trace, const RoutingTrace& expected) {
    EXPECT_EQ(trace.shape, expected.shape);
    EXPECT_EQ(trace.n_tokens, expected.n_tokens);
    EXPECT_EQ(trace.ids, expected.ids);
    EXPECT_EQ(trace.predicted, expected.predicted);
    EXPECT_EQ(trace.probabilities, expected.probabilities);
    EXPECT_EQ(trace.sequences, expected.sequences);
}

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

TEST(Trace, ComesBackAsItWasWritten) {
    const TempFolder folder;
    const TraceShape shapes[] = {{4, 16, 2, 4, "a model"},
                                 {1, 1, 1, 0, ""},
                                 {1, 8, 3, 4, "one layer"},
                                 {3, 256, 8, 0, "bytes"},
                                 {3, 257, 8, 16, "wide \xC3\xA9"}};
    for (const TraceShape& shape : shapes) {
        const std::string path = folder / "t.trace";
        const RoutingTrace expected = write_random_trace(path, shape, 23);
        expect_equal(read_trace(path), expected);
    }
}

TEST(Trace, TakesAFewBytesAnEntry) {
    const TempFolder folder;
    write_random_trace(folder / "t", {4, 16, 2, 4, "m"}, 100);
    // A mark, and in 3 layers 2 experts and 4 predicted with 2 bytes of probability, in the last 2 experts.
    EXPECT_EQ(read_file(folder / "t").size(), 8 + 6 * 4 + 1 + 100 * (1 + 3 * (2 + 4 + 8) + 2) + 9);
}

TEST(Trace, GivesRowsOfTokensAndLayers) {
    const TempFolder folder;
    TraceWriter writer(folder / "t", {2, 10, 2, 1, "m"});
    writer.add_token(std::vector<uint32_t>{1, 2, 3, 4}, std::vector<uint32_t>{7}, std::vector<float>{0.5F});
    writer.add_token(std::vector<uint32_t>{5, 6, 8, 9}, std::vector<uint32_t>{0}, std::vector<float>{0.25F});
    EXPECT_EQ(writer.n_tokens(), 2U);
    writer.finish();
    const RoutingTrace trace = read_trace(folder / "t");
    EXPECT_EQ(trace.used(1, 0)[1], 6);
    EXPECT_EQ(trace.used(1, 1)[0], 8);
    EXPECT_EQ(trace.predicted_next(0, 0)[0], 7);
    EXPECT_EQ(trace.predicted_probabilities(1, 0)[0], 16384);
    EXPECT_TRUE(trace.predicted_next(0, 1).empty());
}

TEST(Trace, StoresProbabilitiesOf65536) {
    EXPECT_EQ(stored_probability(0.5F), 32768);
    EXPECT_EQ(stored_probability(1), 65535);
    EXPECT_EQ(stored_probability(std::numeric_limits<float>::infinity()), 65535);
    EXPECT_EQ(stored_probability(-1), 0);
    EXPECT_EQ(stored_probability(std::nanf("")), 0);
}

TEST(Trace, WriterRefusesWhatDoesNotFit) {
    const TempFolder folder;
    const auto write = [&](const TraceShape& shape) { TraceWriter writer(folder / "t", shape); };
    expect_error(ErrorCode::kInvalidArgument, {"0 layers"}, [&] { write({0, 4, 2, 0, ""}); });
    expect_error(ErrorCode::kInvalidArgument, {"65537 experts"}, [&] { write({1, 65537, 2, 0, ""}); });
    expect_error(ErrorCode::kInvalidArgument, {"5 experts per token"}, [&] { write({1, 4, 5, 0, ""}); });
    expect_error(ErrorCode::kInvalidArgument, {"5 predicted"}, [&] { write({1, 4, 2, 5, ""}); });
    expect_error(ErrorCode::kInvalidArgument, {"name"}, [&] { write({1, 4, 2, 2, std::string(1025, 'x')}); });
    TraceWriter writer(folder / "t", {1, 4, 2, 0, ""});
    expect_error(ErrorCode::kInvalidArgument, {"expert 4"}, [&] {
        writer.add_token(std::vector<uint32_t>{0, 4});
    });
    expect_error(ErrorCode::kInvalidArgument, {"3 experts"}, [&] {
        writer.add_token(std::vector<uint32_t>{0, 1, 2});
    });
    expect_error(ErrorCode::kInvalidArgument, {"one token"}, [&] { writer.finish(); });
    EXPECT_EQ(folder.n_files(), 0U);
}

TEST(Trace, EveryTruncationIsAnError) {
    const TempFolder folder;
    write_random_trace(folder / "t", {3, 16, 2, 4, "model"}, 3);
    const std::string whole = read_file(folder / "t");
    for (size_t n = 0; n < whole.size(); ++n) {
        const std::string cut = whole.substr(0, n);
        expect_error(ErrorCode::kBadFile, {"'cut.trace'"}, [&] { parse_trace(bytes_of(cut), "cut.trace"); });
    }
    expect_error(ErrorCode::kBadFile, {"1 bytes follow"},
                 [&] { parse_trace(bytes_of(whole + "x"), "long"); });
}

TEST(Trace, SaysWhatIsWrong) {
    const TempFolder folder;
    expect_error(ErrorCode::kIo, {"nowhere"}, [&] { read_trace(folder / "nowhere"); });
    expect_error(ErrorCode::kBadFile, {"not a routing trace"},
                 [&] { parse_trace(bytes_of("GGUF1234abcd"), "p"); });
    write_random_trace(folder / "t", {3, 10, 2, 4, "model"}, 3);
    const std::string good = read_file(folder / "t");
    const size_t header = 8 + 6 * 4 + 5;
    const auto with = [&](size_t at, char value) {
        std::string bad = good;
        bad[at] = value;
        return bad;
    };
    expect_error(ErrorCode::kUnsupported, {"version 9"}, [&] { parse_trace(bytes_of(with(8, 9)), "p"); });
    expect_error(ErrorCode::kBadFile, {"0 layers"}, [&] { parse_trace(bytes_of(with(12, 0)), "p"); });
    expect_error(ErrorCode::kBadFile, {"expert 10 of 10", "token 0", "layer 0"},
                 [&] { parse_trace(bytes_of(with(header + 1, 10)), "p"); });
    expect_error(ErrorCode::kBadFile, {"should begin"}, [&] { parse_trace(bytes_of(with(header, 0)), "p"); });
    expect_error(ErrorCode::kBadFile, {"its end counts"},
                 [&] { parse_trace(bytes_of(with(good.size() - 8, 4)), "p"); });
}

/// Whatever the bytes: either a trace whose parts fit together, or one error.
TEST(Trace, SurvivesRandomBytes) {
    const TempFolder folder;
    write_random_trace(folder / "t", {3, 16, 2, 4, "model"}, 5);
    const std::string good = read_file(folder / "t");
    std::mt19937 random(11);
    size_t n_read = 0;
    for (int round = 0; round < 20000; ++round) {
        std::string bytes = good;
        const size_t n_changes = 1 + random() % 4;
        // A good part of the changes in the header, whose numbers say how much is read.
        for (size_t i = 0; i < n_changes; ++i)
            bytes[random() % (round % 2 == 0 ? 40 : bytes.size())] = static_cast<char>(random());
        try {
            const RoutingTrace trace = parse_trace(bytes_of(bytes), "random");
            EXPECT_EQ(trace.ids.size(), trace.n_tokens * trace.shape.n_layers * trace.shape.n_used);
            ++n_read;
        } catch (const Error& error) {
            EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
        }
    }
    EXPECT_GT(n_read, 0U);
}

}  // namespace
}  // namespace vkmoe
