#include "kernels/page_wave.h"

#include "conformance/check.h"
#include "conformance/experts.h"
#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/rows.h"

#include <algorithm>

namespace vkmoe::conformance {
namespace {

struct WaveShape {
    uint32_t n_pairs = 1;
    uint32_t n_experts = 1;
    uint32_t n_waves = 1;
    uint32_t n_dispatches = 1;
    Routing routing = Routing::kAny;
};

void check_wave(CaseContext& c, const KernelKey& cell, const WaveShape& shape) {
    const std::vector<uint32_t> ids = random_ids(c.random(), shape.n_pairs, shape.n_experts, shape.routing);
    std::vector<uint32_t> waves(shape.n_experts);
    for (uint32_t& wave : waves)
        wave = random_below(c.random(), 4) == 0 ? kNowhere : random_below(c.random(), shape.n_waves);
    const uint32_t wave = random_below(c.random(), shape.n_waves);
    auto wave_ids = c.output<uint32_t>(shape.n_pairs);
    auto arguments = c.output<uint32_t>(3 * shape.n_dispatches);
    PageWaveArgs args;
    args.ids = upload_shifted(c, ids, 4 * random_below(c.random(), 4));
    args.waves = upload_shifted(c, waves, 4 * random_below(c.random(), 4));
    args.wave_ids = wave_ids.address();
    args.arguments = arguments.address();
    args.wave = wave;
    args.n_pairs = shape.n_pairs;
    args.n_experts = shape.n_experts;
    for (uint32_t i = 0; i < shape.n_dispatches; ++i)
        args.groups.push_back({1 + i, 1 + random_below(c.random(), 65535), random_below(c.random(), 9)});
    args.path = cell.path;
    c.run({page_wave(c.kernels(), args)});

    std::vector<uint32_t> expected_ids;
    for (uint32_t id : ids) expected_ids.push_back(id < shape.n_experts && waves[id] == wave ? id : kNowhere);
    const bool is_empty = std::find(waves.begin(), waves.end(), wave) == waves.end();
    std::vector<uint32_t> expected_arguments;
    for (const auto& groups : args.groups)
        for (uint32_t n : groups) expected_arguments.push_back(is_empty ? 0 : n);
    const std::string what = fmt::format("{} pairs, {} experts in {} waves, {}", shape.n_pairs,
                                         shape.n_experts, shape.n_waves, routing_name(shape.routing));
    require_equal<uint32_t>(what + ": wave_ids", expected_ids, wave_ids.read());
    require_equal<uint32_t>(what + ": arguments", expected_arguments, arguments.read());
}

void check_waves(CaseContext& c, const KernelKey& cell, const WaveShape& shape) {
    for (int repeat = 0; repeat < 4; ++repeat) check_wave(c, cell, shape);
}

}  // namespace

std::vector<Case> page_wave_cases(const KernelKey& cell, Depth depth) {
    const auto waves = each_of(cell, check_waves);
    std::vector<Case> cases = {
        {"some experts belong to the wave", waves({{300, 64, 5, 3}})},
        {"most waves are empty", waves({{300, 20, 60, 4}})},
        {"one expert, one pair", waves({{1, 1, 2, 1}})},
        {"all to one expert", waves({{100, 64, 3, 2, Routing::kOne}})},
        {"ids that name no expert", waves({{100, 64, 3, 2, Routing::kInvalid}})},
        {"no id names an expert", waves({{100, 64, 3, 2, Routing::kNobody}})},
        {"no dispatches", waves({{77, 13, 3, 0}})},
        {"16389 pairs of 512 experts", waves({{16389, 512, 9, 4, Routing::kInvalid}})},
    };
    if (depth == Depth::kFull) cases.push_back({"a million pairs", waves({{1u << 20, 512, 9, 4}})});
    return cases;
}

}  // namespace vkmoe::conformance
