#include "base/file_reader.h"
#include "base/error.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/input_file.h"
#include "base/read_queue.h"
#include "unit/error_matching.h"
#include "unit/scoped_faults.h"
#include "unit/temp_folder.h"

namespace vkmoe {
namespace {

struct Way {
    ReadBackend backend;
    PageCache page_cache;
};

std::string way_name(const testing::TestParamInfo<Way>& info) {
    const char* page_cache = info.param.page_cache == PageCache::kPast      ? "Direct"
                             : info.param.page_cache == PageCache::kDropped ? "Buffered"
                                                                            : "Kept";
    return std::string(info.param.backend == ReadBackend::kIoUring ? "IoUring" : "Threads") + page_cache;
}

std::string random_text(size_t bytes, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::string text(bytes, '\0');
    for (char& byte : text) byte = static_cast<char>(random());
    return text;
}

class FileReaderTest : public testing::TestWithParam<Way> {
  protected:
    /// Small pieces, so that many of them make a read.
    FileReaderOptions options() const {
        return {.backend = GetParam().backend,
                .page_cache = GetParam().page_cache,
                .n_in_flight = 3,
                .piece_bytes = 16 << 10};
    }

    void SetUp() override {
        try {
            const FileReader reader(options());
            EXPECT_EQ(reader.backend(), GetParam().backend);
        } catch (const Error& error) {
            ASSERT_EQ(error.code(), ErrorCode::kUnsupported);
            GTEST_SKIP() << error.what();
        }
    }

    const TempFolder folder_;
    const std::string path_ = folder_ / "file";
};

TEST_P(FileReaderTest, RandomReadsBringTheirBytesAndNoMore) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const std::array<std::string, 2> texts = {random_text(3'000'001, seed + 1),
                                              random_text(70'000, seed + 2)};
    write_file(path_, texts[0]);
    write_file(folder_ / "other", texts[1]);
    FileReader reader(options());
    const std::array<uint32_t, 2> files = {reader.add_file(path_), reader.add_file(folder_ / "other")};
    EXPECT_EQ(reader.add_file(path_), files[0]);

    struct Expected {
        size_t file;
        size_t offset;
        std::string buffer;  // with a guard byte on either side
    };
    std::vector<std::pair<FileReader::Ticket, std::vector<Expected>>> tickets;
    uint64_t n_bytes = 0;
    for (int i = 0; i < 200; ++i) {
        std::vector<Expected> expected;
        std::vector<FileRead> reads;
        for (uint64_t n = random() % 4; n > 0; --n) {
            const size_t file = random() % 2;
            const size_t offset = random() % texts[file].size();
            const size_t most = random() % 3 == 0 ? 200'000 : 500;
            const size_t bytes = random() % std::min(most, texts[file].size() - offset + 1);
            expected.push_back({file, offset, std::string(bytes + 2, '#')});
            n_bytes += bytes;
        }
        for (Expected& one : expected) {
            const auto bytes = std::as_writable_bytes(std::span(one.buffer));
            reads.push_back({files[one.file], one.offset, bytes.subspan(1, bytes.size() - 2)});
        }
        tickets.emplace_back(reader.submit(reads), std::move(expected));
    }
    std::ranges::shuffle(tickets, random);
    for (const auto& [ticket, expected] : tickets) {
        reader.wait(ticket);
        for (const Expected& one : expected) {
            const std::string wanted = texts[one.file].substr(one.offset, one.buffer.size() - 2);
            EXPECT_TRUE(one.buffer == "#" + wanted + "#") << one.offset << " " << wanted.size();
        }
    }
    EXPECT_EQ(reader.bytes_read(), n_bytes);
}

TEST_P(FileReaderTest, ServesSeveralThreads) {
    const std::string text = random_text(1'000'000, 1);
    write_file(path_, text);
    FileReader reader(options());
    const uint32_t file = reader.add_file(path_);
    auto read_all = [&](size_t bytes) {
        for (size_t offset = 0; offset + bytes <= text.size(); offset += bytes) {
            std::string part(bytes, '\0');
            const FileRead read{file, offset, std::as_writable_bytes(std::span(part))};
            reader.wait(reader.submit({&read, 1}));
            ASSERT_TRUE(part == text.substr(offset, bytes)) << offset;
        }
    };
    std::thread first(read_all, 33'333);
    std::thread second(read_all, 4096);
    read_all(100'001);
    first.join();
    second.join();
}

TEST_P(FileReaderTest, DoneSaysWhetherWaitWouldReturn) {
    write_file(path_, "text");
    FileReader reader(options());
    std::string part(4, '\0');
    const FileRead read{reader.add_file(path_), 0, std::as_writable_bytes(std::span(part))};
    const FileReader::Ticket ticket = reader.submit({&read, 1});
    while (!reader.done(ticket)) std::this_thread::yield();
    EXPECT_EQ(part, "text");
    reader.wait(ticket);
    const FileReader::Ticket empty = reader.submit({});
    EXPECT_TRUE(reader.done(empty));
    reader.wait(empty);
}

TEST_P(FileReaderTest, GoesOnWhenTheRingTakesNoMoreReads) {
    if (GetParam().backend != ReadBackend::kIoUring) GTEST_SKIP() << "no ring";
    const std::string text = random_text(700'000, 1);
    write_file(path_, text);
    for (const int after : {0, 1, 7}) {
        SCOPED_TRACE(after);
        testing::internal::CaptureStderr();
        std::vector<std::string> parts(20, std::string(33'333, '\0'));
        {
            FileReader reader(options());
            const uint32_t file = reader.add_file(path_);
            const ScopedFaults faults("ring_submit:after=" + std::to_string(after));
            std::vector<FileReader::Ticket> tickets;
            for (size_t i = 0; i < parts.size(); ++i) {
                const FileRead read{file, i * 33'333, std::as_writable_bytes(std::span(parts[i]))};
                tickets.push_back(reader.submit({&read, 1}));
            }
            const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
            for (size_t i = 0; i < parts.size(); ++i) {
                while (!reader.done(tickets[i]) && std::chrono::steady_clock::now() < end)
                    std::this_thread::yield();
                ASSERT_TRUE(reader.done(tickets[i])) << "part " << i << " is not read";
                reader.wait(tickets[i]);
                EXPECT_TRUE(parts[i] == text.substr(i * 33'333, 33'333)) << i;
            }
            EXPECT_EQ(fault_count(FaultPoint::kRingSubmit), 1u);
        }
        const std::string said = testing::internal::GetCapturedStderr();
        EXPECT_NE(said.find("io_uring takes no more reads: Operation not permitted"), std::string::npos)
            << said;
    }
}

TEST_P(FileReaderTest, WhatIsWaitedForGoesAhead) {
    write_file(path_, std::string(64 << 10, 'x'));
    std::string many(64 << 10, '\0');
    std::string one(100, '\0');
    FileReaderOptions one_by_one = options();  // they all bring the same bytes to the same place
    one_by_one.n_in_flight = 1;
    FileReader reader(one_by_one);  // ends before the memory that it reads into
    const uint32_t file = reader.add_file(path_);
    // 6 GiB: they cannot have been read when a few bytes that came later are there.
    const std::vector<FileRead> reads(100 << 10, FileRead{file, 0, std::as_writable_bytes(std::span(many))});
    const FileReader::Ticket long_one = reader.submit(reads);
    const FileRead read{file, 5000, std::as_writable_bytes(std::span(one))};
    reader.wait(reader.submit({&read, 1}));
    EXPECT_EQ(one, std::string(100, 'x'));
    EXPECT_FALSE(reader.done(long_one));
    // The reader ends without reading the rest.
}

TEST_P(FileReaderTest, ReadingPastTheEndNamesFileAndOffset) {
    write_file(path_, std::string(10'000, 'x'));
    FileReader reader(options());
    const uint32_t file = reader.add_file(path_);
    std::string part(30'000, '\0');
    const auto bytes = std::as_writable_bytes(std::span(part));
    for (const uint64_t offset : {uint64_t{8190}, uint64_t{10'000}, uint64_t{4'000'000}}) {
        const std::array<FileRead, 2> reads = {FileRead{file, 0, bytes.first(100)},
                                               FileRead{file, offset, bytes.subspan(100, 5000)}};
        expect_error(ErrorCode::kIo, {path_, std::to_string(offset), "5000 bytes", "cut short"},
                     [&] { reader.wait(reader.submit(reads)); });
    }
    // To the last byte, and still in order.
    const FileRead last{file, 8190, bytes.first(1810)};
    reader.wait(reader.submit({&last, 1}));
    EXPECT_EQ(part.substr(0, 1810), std::string(1810, 'x'));
}

TEST_P(FileReaderTest, AFileThatIsTruncatedMeanwhileGivesErrorsUntilItIsBack) {
    const std::string text = random_text(2'000'000, 3);
    write_file(path_, text);
    FileReader reader(options());
    const uint32_t file = reader.add_file(path_);
    std::vector<std::string> parts(40, std::string(50'000, '\0'));
    auto submit_all = [&] {
        std::vector<FileReader::Ticket> tickets;
        for (size_t i = 0; i < parts.size(); ++i) {
            const FileRead read{file, i * 50'000, std::as_writable_bytes(std::span(parts[i]))};
            tickets.push_back(reader.submit({&read, 1}));
        }
        return tickets;
    };
    std::vector<FileReader::Ticket> tickets = submit_all();
    reader.wait(tickets[0]);
    ASSERT_EQ(::truncate(path_.c_str(), 999'999), 0);
    for (size_t i = 1; i < parts.size(); ++i) {
        try {
            reader.wait(tickets[i]);
            // Those before the cut are whole.
            EXPECT_TRUE(i >= 19 || parts[i] == text.substr(i * 50'000, 50'000)) << i;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::kIo);
            EXPECT_GE(i, 19u) << error.what();
        }
    }
    tickets = submit_all();
    for (size_t i = 0; i < parts.size(); ++i) {
        if (i < 19) {
            reader.wait(tickets[i]);
        } else {
            expect_error(ErrorCode::kIo, {path_}, [&] { reader.wait(tickets[i]); });
        }
    }
    write_file(path_, text);
    tickets = submit_all();
    for (size_t i = 0; i < parts.size(); ++i) {
        reader.wait(tickets[i]);
        EXPECT_TRUE(parts[i] == text.substr(i * 50'000, 50'000)) << i;
    }
}

TEST_P(FileReaderTest, AnInjectedErrorFailsItsTicketOnly) {
    const std::string text = random_text(500'000, 4);
    write_file(path_, text);
    FileReader reader(options());
    const uint32_t file = reader.add_file(path_);
    const ScopedFaults faults("disk_read:every=7");
    size_t n_failed = 0;
    for (size_t i = 0; i < 50; ++i) {
        std::string part(10'000, '\0');
        const FileRead read{file, i * 10'000, std::as_writable_bytes(std::span(part))};
        try {
            reader.wait(reader.submit({&read, 1}));
            EXPECT_TRUE(part == text.substr(i * 10'000, 10'000)) << i;
        } catch (const Error& error) {
            ++n_failed;
            EXPECT_EQ(error.code(), ErrorCode::kIo);
            EXPECT_NE(std::string(error.what()).find("Input/output error"), std::string::npos)
                << error.what();
            EXPECT_NE(std::string(error.what()).find(path_), std::string::npos) << error.what();
        }
    }
    EXPECT_EQ(n_failed, fault_count(FaultPoint::kDiskRead));
    EXPECT_GE(n_failed, 7u);
}

TEST_P(FileReaderTest, ShortReadsGoOn) {
    const std::string text = random_text(500'000, 5);
    write_file(path_, text);
    FileReader reader(options());
    const ScopedFaults faults("short_read");
    std::string part(499'000, '\0');
    const FileRead read{reader.add_file(path_), 777, std::as_writable_bytes(std::span(part))};
    reader.wait(reader.submit({&read, 1}));
    EXPECT_TRUE(part == text.substr(777, part.size()));
    EXPECT_GE(fault_count(FaultPoint::kShortRead), 30u);
}

/// The share of a file's pages that the page cache holds.
double cached_share(const InputFile& file) {
    const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    std::vector<unsigned char> pages((file.size() + page - 1) / page);
    void* address = ::mmap(nullptr, file.size(), PROT_READ, MAP_SHARED, file.descriptor(), 0);
    EXPECT_NE(address, MAP_FAILED);
    EXPECT_EQ(::mincore(address, file.size(), pages.data()), 0);
    ::munmap(address, file.size());
    const auto n = std::ranges::count_if(pages, [](unsigned char held) { return (held & 1) != 0; });
    return static_cast<double>(n) / static_cast<double>(pages.size());
}

TEST_P(FileReaderTest, LeavesThePageCacheAsItWasOrFillsIt) {
    const std::string text = random_text(8 << 20, 6);
    write_file(path_, text);
    const int descriptor = ::open(path_.c_str(), O_RDWR);
    ASSERT_EQ(::fsync(descriptor), 0);
    const bool kernel_tells = in_page_cache(descriptor, 0, text.size());
    ASSERT_EQ(::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED), 0);
    ::close(descriptor);
    const InputFile opened(path_);
    if (cached_share(opened) > 0.1) GTEST_SKIP() << "this file system keeps its files in the page cache";

    FileReaderOptions large = options();
    large.piece_bytes = 512 << 10;
    FileReader reader(large);
    const uint32_t file = reader.add_file(path_);
    const auto read_all = [&] {
        std::string part(text.size(), '\0');
        const FileRead read{file, 0, std::as_writable_bytes(std::span(part))};
        reader.wait(reader.submit({&read, 1}));
        EXPECT_TRUE(part == text);
    };
    read_all();
    if (GetParam().page_cache == PageCache::kKept) {
        EXPECT_GT(cached_share(opened), 0.9);
        return;
    }
    EXPECT_LT(cached_share(opened), 0.1);
    if (!kernel_tells) return;
    EXPECT_TRUE(read_file(path_) == text);
    ASSERT_GT(cached_share(opened), 0.9);
    read_all();
    EXPECT_GT(cached_share(opened), 0.9) << "what others brought stays";
}

INSTANTIATE_TEST_SUITE_P(Ways, FileReaderTest,
                         testing::Values(Way{ReadBackend::kThreads, PageCache::kPast},
                                         Way{ReadBackend::kThreads, PageCache::kDropped},
                                         Way{ReadBackend::kThreads, PageCache::kKept},
                                         Way{ReadBackend::kIoUring, PageCache::kPast},
                                         Way{ReadBackend::kIoUring, PageCache::kDropped},
                                         Way{ReadBackend::kIoUring, PageCache::kKept}),
                         way_name);

TEST(FileReader, FilesThatCannotBeOpenedAreNamed) {
    const TempFolder folder;
    FileReader reader;
    expect_error(ErrorCode::kIo, {folder / "none", "No such file"},
                 [&] { reader.add_file(folder / "none"); });
    expect_error(ErrorCode::kIo, {folder / "", "is a folder"}, [&] { reader.add_file(folder / ""); });
}

TEST(FileReader, ReadsWhereThereIsNoWayPastThePageCache) {
    // /proc has regular files that cannot be opened so, and whose size says nothing.
    FileReader reader;
    std::string part(13, '\0');
    const FileRead read{reader.add_file("/proc/version"), 0, std::as_writable_bytes(std::span(part))};
    reader.wait(reader.submit({&read, 1}));
    EXPECT_EQ(part, "Linux version");
}

}  // namespace
}  // namespace vkmoe
