// Dispatches name all memory that kernels use, and each access that they name is needed. The cases of `vkmoe
// conformance --quick` run once more, and each of their dispatches is probed with every buffer of the case.

#include "conformance/cells.h"
#include "conformance/suite.h"
#include "kernels/access_probe.h"
#include "kernels/kernel_fixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

namespace vkmoe {
namespace {

/// An access that a test cannot see missing, by its index among Dispatch::accesses().
struct Unnoticed {
    Op op;
    size_t access;
    bool is_codebook;
    const char* reason;
};
constexpr const char* kNoCodebook = "no type with a codebook is built";
constexpr Unnoticed kUnnoticed[] = {
    {Op::kEmbedRows, 3, true, kNoCodebook},
    {Op::kMatvec, 4, true, kNoCodebook},
    {Op::kMatmul, 4, true, kNoCodebook},
    {Op::kExpertMatvec, 8, true, kNoCodebook},
    {Op::kExpertMatvecSum, 7, true, kNoCodebook},
    {Op::kExpertMatmul, 8, true, kNoCodebook},
    {Op::kExpertMatmul, 2, false, "ids: the tiles tell the experts"},
};

/// Larger cases are about sizes; smaller ones have all accesses.
constexpr uint64_t kMostBytes = 1 << 20;
/// Dispatches of a cell that are probed with every buffer at least; later ones where they show another
/// access.
constexpr size_t kLeastProbed = 2;
constexpr uint32_t kSeed = 1;

const KernelKey& key_of(const Dispatch& dispatch) {
    const auto kernel = std::ranges::find(kernel_table(), dispatch.pipeline->name(), &KernelBinary::name);
    return kernel->key;
}

std::vector<Op> ops() {
    std::set<Op> found;
    for (const KernelBinary& kernel : kernel_table()) found.insert(kernel.key.op);
    return {found.begin(), found.end()};
}

class Accesses : public KernelTest, public testing::WithParamInterface<Op> {
  protected:
    struct Found {
        bool is_present = false;
        bool is_noticed = false;
    };

    Accesses() {
        bench_.before_run = [this](std::span<const Dispatch> dispatches) { probe(dispatches); };
    }

    /// By every path, of one type without a codebook and of one with it.
    std::vector<KernelKey> cells() {
        std::map<std::pair<Path, bool>, KernelKey> found;
        for (const KernelBinary& kernel : kernel_table()) {
            const KernelKey& key = kernel.key;
            if (key.op == GetParam() && missing_for_kernels(context().plan(), key.path).empty())
                found.emplace(std::pair{key.path, has_codebook(key)}, key);
        }
        std::vector<KernelKey> keys;
        for (const auto& [way, key] : found) keys.push_back(key);
        return keys;
    }

    bool has_codebook(const KernelKey& key) { return static_cast<bool>(context().codebook(key.type)); }

    void probe(std::span<const Dispatch> dispatches) {
        if (is_done()) return;
        std::vector<Allocation> memory = bench_.memory.buffers();
        for (const Dispatch& dispatch : dispatches)
            if (has_codebook(key_of(dispatch))) memory.push_back(context().codebook(key_of(dispatch).type));
        uint64_t bytes = 0;
        for (const Allocation& one : memory) bytes += one.size;
        if (bytes > kMostBytes) return;
        std::vector<std::unique_ptr<AccessProbe>> probes;
        for (const Dispatch& dispatch : dispatches) {
            probes.push_back(std::make_unique<AccessProbe>(bench_, memory, dispatch));
            if (key_of(dispatch).op == GetParam()) probe(*probes.back(), memory, dispatch);
            probes.back()->restore_after();
        }
        probes.front()->restore_before();
    }

    void probe(AccessProbe& probe, std::span<const Allocation> memory, const Dispatch& dispatch) {
        const bool shows_another = probe_accesses(probe, dispatch);
        if (++n_probed_ > kLeastProbed && !shows_another) return;
        for (size_t i = 0; i < memory.size(); ++i) {
            const MemoryView all = view_of(memory[i]);
            const uint64_t end_bytes = std::min<uint64_t>(all.bytes, sizeof(uint32_t));
            EXPECT_FALSE(probe.is_disturbed(dispatch, all))
                << dispatch.pipeline->name() << " does not name its use of buffer " << i << " of the case";
            EXPECT_FALSE(probe.is_disturbed(dispatch, {all.end() - end_bytes, end_bytes}))
                << dispatch.pipeline->name() << " does not name all that it uses of buffer " << i
                << " of the case";
        }
    }

    /// Whether one shows missing that never did.
    bool probe_accesses(AccessProbe& probe, const Dispatch& dispatch) {
        const std::span<const Access> accesses = dispatch.accesses();
        found_.resize(std::max(found_.size(), accesses.size()));
        bool shows_another = false;
        for (size_t i = 0; i < accesses.size(); ++i) {
            if (accesses[i].memory.is_absent()) continue;
            found_[i].is_present = true;
            if (found_[i].is_noticed) continue;
            found_[i].is_noticed = probe.is_disturbed(dispatch.without_access(i), accesses[i].memory);
            shows_another |= found_[i].is_noticed;
        }
        return shows_another;
    }

    const Unnoticed* listed(size_t access) const {
        for (const Unnoticed& one : kUnnoticed)
            if (one.op == GetParam() && one.access == access && !(one.is_codebook && with_codebooks_))
                return &one;
        return nullptr;
    }

    /// Whether each access that can be noticed has been, and the cell had its turn.
    bool is_done() const {
        if (n_probed_ < kLeastProbed) return false;
        for (size_t i = 0; i < found_.size(); ++i)
            if (!found_[i].is_noticed && listed(i) == nullptr) return false;
        return true;
    }

    conformance::Bench bench_{context()};
    bool with_codebooks_ = false;
    std::vector<Found> found_;  // by index among a dispatch's accesses
    size_t n_probed_ = 0;       // of a cell
};

TEST_P(Accesses, AreAllNamedAndAllNeeded) {
    const std::vector<KernelKey> tried = cells();
    with_codebooks_ =
        std::ranges::any_of(tried, [this](const KernelKey& cell) { return has_codebook(cell); });
    for (const KernelKey& cell : tried) {
        n_probed_ = 0;
        const std::string name = conformance::cell_name(cell);
        for (const conformance::Case& one : conformance::cases_of(cell, conformance::Depth::kQuick)) {
            SCOPED_TRACE(fmt::format("{}: {}", name, one.name));
            try {
                conformance::CaseContext c(bench_, conformance::case_seed(kSeed, name, one.name));
                one.run(c);
            } catch (const conformance::CheckFailure& failure) {
                ADD_FAILURE() << failure.what();
            } catch (const conformance::CaseSkipped&) {
                continue;
            }
            if (is_done()) break;
        }
        EXPECT_GT(n_probed_, 0u) << name;
    }
    for (size_t i = 0; i < found_.size(); ++i) {
        const std::string access = fmt::format("access {} of {}", i, op_name(GetParam()));
        if (const Unnoticed* one = listed(i)) {
            EXPECT_FALSE(found_[i].is_present) << access << " is listed: " << one->reason;
            continue;
        }
        EXPECT_TRUE(found_[i].is_noticed)
            << access << (found_[i].is_present ? " may be forgotten without a trace" : " is in no case");
    }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Accesses, testing::ValuesIn(ops()),
                         [](const auto& tested) { return std::string(op_name(tested.param)); });

}  // namespace
}  // namespace vkmoe
