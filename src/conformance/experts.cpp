#include "conformance/experts.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace vkmoe::conformance {
namespace {

uint64_t round_up(uint64_t bytes, uint64_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

uint64_t random_gap(CaseContext& c, uint64_t unit) {
    return (1 + random_below(c.random(), 5)) * unit;
}

/// Where a record's two matrices are, in random order.
std::array<uint64_t, 2> random_offsets(CaseContext& c, uint64_t matrix_bytes, uint64_t unit) {
    std::array<uint64_t, 2> offsets;
    offsets[0] = random_gap(c, unit);
    offsets[1] = offsets[0] + round_up(matrix_bytes, unit) + random_gap(c, unit);
    if (random_bool(c.random())) std::swap(offsets[0], offsets[1]);
    return offsets;
}

void put(std::vector<std::byte>& memory, uint64_t at, const std::vector<std::byte>& bytes) {
    memory.resize(std::max(memory.size(), at + bytes.size()), std::byte{0xFF});
    std::copy(bytes.begin(), bytes.end(), memory.begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace

std::vector<uint32_t> random_ids(std::mt19937& random, uint32_t n_pairs, uint32_t n_experts,
                                 Routing routing) {
    const uint32_t one = random_below(random, n_experts);
    const std::vector<uint32_t> invalid = {n_experts, n_experts + 1, UINT32_MAX};
    std::vector<uint32_t> ids(n_pairs);
    for (uint32_t& id : ids) {
        id = routing == Routing::kOne ? one : random_below(random, n_experts);
        if (routing == Routing::kNobody || (routing == Routing::kInvalid && random_below(random, 3) == 0))
            id = pick(random, invalid);
    }
    return ids;
}

std::string_view routing_name(Routing routing) {
    switch (routing) {
        case Routing::kAny:
            return "any experts";
        case Routing::kOne:
            return "all to one expert";
        case Routing::kInvalid:
            return "some to no expert";
        case Routing::kNobody:
            return "none to an expert";
    }
    return {};
}

Expected StoredExperts::product(uint32_t expert, size_t which, uint32_t row, const StoredActivations& x,
                                uint32_t x_row) const {
    if (expert >= matrices.size()) return {0, 0, 0, false};
    return dot(matrices[expert][which], row, x, x_row);
}

StoredExperts upload_experts(CaseContext& c, TensorType type, uint32_t n_experts, uint32_t n_rows,
                             uint32_t n_columns, Weights kind) {
    const uint64_t unit = row_alignment(type);
    StoredExperts experts;
    experts.offsets = random_offsets(c, row_bytes(type, n_columns) * n_rows, unit);
    std::vector<uint32_t> order(n_experts);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), c.random());
    std::vector<std::byte> memory;
    std::vector<uint64_t> records(n_experts);
    experts.matrices.resize(n_experts);
    for (uint32_t expert : order) {
        records[expert] = round_up(memory.size(), unit) + random_gap(c, unit);
        for (size_t m = 0; m < 2; ++m) {
            experts.matrices[expert][m] = random_matrix(c.random(), type, n_rows, n_columns, kind);
            put(memory, records[expert] + experts.offsets[m], experts.matrices[expert][m].bytes);
        }
    }
    const Allocation uploaded = c.upload(memory);
    for (uint64_t& record : records) record += uploaded.address;
    experts.table = {c.upload(records).address, n_experts, view_of(uploaded)};
    return experts;
}

StoredExperts upload_distant_experts(CaseContext& c, TensorType type, uint32_t n_rows, uint32_t n_columns) {
    const uint64_t unit = row_alignment(type);
    StoredExperts experts;
    experts.offsets = random_offsets(c, row_bytes(type, n_columns) * n_rows, unit);
    experts.matrices.resize(2);
    const std::array<Allocation, 2> ends = c.reserve_distant(1ull << 20);
    std::vector<uint64_t> records;
    for (size_t expert = 0; expert < 2; ++expert) {
        std::vector<std::byte> memory;
        const uint64_t lead = random_gap(c, unit);
        for (size_t m = 0; m < 2; ++m) {
            experts.matrices[expert][m] = random_matrix(c.random(), type, n_rows, n_columns);
            put(memory, lead + experts.offsets[m], experts.matrices[expert][m].bytes);
        }
        c.fill(ends[expert], memory);
        records.push_back(ends[expert].address + lead);
    }
    experts.table.memory = {ends[0].address, ends[1].address + ends[1].size - ends[0].address};
    experts.table.records = c.upload(records).address;
    experts.table.n_experts = 2;
    return experts;
}

StoredExperts upload_experts(CaseContext& c, TensorType type, const ExpertShape& shape) {
    if (shape.distant) return upload_distant_experts(c, type, shape.n_rows, shape.n_columns);
    return upload_experts(c, type, shape.n_experts, shape.n_rows, shape.n_columns, shape.weights);
}

ExpertInputs random_expert_inputs(CaseContext& c, const KernelKey& cell, const ExpertShape& shape,
                                  uint32_t x_divisor) {
    ExpertInputs inputs;
    inputs.x_divisor = x_divisor;
    inputs.experts = upload_experts(c, cell.type, shape);
    inputs.ids = random_ids(c.random(), shape.n_pairs(), inputs.experts.table.n_experts, shape.routing);
    inputs.x = random_stored_activations(c.random(), cell.path, shape.n_pairs() / x_divisor, shape.n_columns,
                                         shape.numbers);
    return inputs;
}

GroupedRoutes group_pairs(CaseContext& c, const KernelKey& cell, const ExpertInputs& inputs,
                          const ExpertShape& shape, uint32_t tile_tokens) {
    const uint32_t n_experts = inputs.experts.table.n_experts;
    GroupRoutesArgs args;
    args.ids = c.upload(inputs.ids).address;
    args.grouped.pairs = c.output<uint32_t>(shape.n_pairs()).memory();
    args.grouped.tiles =
        c.output<std::array<uint32_t, 4>>(max_route_tiles(shape.n_pairs(), n_experts, tile_tokens)).memory();
    args.grouped.arguments = c.output<uint32_t>(kTileDispatches * 3).memory();
    args.n_pairs = shape.n_pairs();
    args.n_experts = n_experts;
    args.tile_tokens = tile_tokens;
    ExpertTiles tiles{.path = cell.path,
                      .in_registers = cell.op == Op::kExpertMatvec,
                      .n_matrices = 2,
                      .n_rows = shape.n_rows};
    args.grids[kTwoMatrices] = expert_tile_grid(c.plan(), tiles);
    tiles.gated = true;
    args.grids[kGated] = expert_tile_grid(c.plan(), tiles);
    tiles.gated = false;
    tiles.n_matrices = 1;
    args.grids[kOneMatrix] = expert_tile_grid(c.plan(), tiles);
    c.run({group_routes(c.kernels(), args)});
    return args.grouped;
}

void check_sorted_pairs(CaseContext& c, const KernelKey& cell, const ExpertShape& shape,
                        uint32_t tile_tokens) {
    const bool token_rows = random_bool(c.random());  // one row of activations a token, else one a pair
    const uint32_t divisor = token_rows ? shape.n_slots : 1;
    const uint32_t n_pairs = shape.n_pairs();
    const ExpertInputs inputs = random_expert_inputs(c, cell, shape, divisor);
    if (tile_tokens == 0)
        tile_tokens = expert_tile_tokens(c.plan(), {cell.path}, n_pairs, inputs.experts.table.n_experts);

    auto args = expert_args<ExpertMatmulArgs>(c, cell, shape, inputs);
    args.dispatch = kTwoMatrices;
    args.grouped = group_pairs(c, cell, inputs, shape, tile_tokens);
    args.tile_tokens = tile_tokens;
    args.in_registers = cell.op == Op::kExpertMatvec;
    auto check_result = [&](const auto& value_of, const TypedOutput<float>& y, std::string_view how) {
        std::vector<Expected> expected;
        for (uint32_t p = 0; p < n_pairs; ++p) {
            for (uint32_t r = 0; r < shape.n_rows; ++r) {
                const auto product = [&](size_t which) {
                    return inputs.experts.product(inputs.ids[p], which, r, inputs.x, p / divisor);
                };
                expected.push_back(value_of(product));
            }
        }
        check_numbers(fmt::format("{}, a row of activations a {}, tiles of {} tokens, {}", shape.describe(),
                                  token_rows ? "token" : "pair", tile_tokens, how),
                      expected, y.read(), product_tolerance(cell.path));
    };
    const auto first = [](const auto& product) { return product(0); };
    const auto second = [](const auto& product) { return product(1); };
    const size_t n_numbers = size_t{n_pairs} * shape.n_rows;
    auto gate = c.output<float>(n_numbers);
    auto up = c.output<float>(n_numbers);
    args.first_y = gate.address();
    args.second_y = up.address();
    c.run({expert_matmul(c.kernels(), args)});
    check_result(first, gate, "the first of two matrices");
    check_result(second, up, "the second of two matrices");

    auto down = c.output<float>(n_numbers);
    args.dispatch = kOneMatrix;
    args.first_y = down.address();
    args.second_y = 0;
    c.run({expert_matmul(c.kernels(), args)});
    check_result(first, down, "one matrix");

    const bool can_gate = args.in_registers || expert_matmul_gates(c.plan(), cell.path);
    if (!can_gate || shape.numbers == Numbers::kLarge) return;
    auto inner = c.output<float>(n_numbers);
    args.dispatch = kGated;
    args.first_y = inner.address();
    args.gated = true;
    c.run({expert_matmul(c.kernels(), args)});
    check_result([](const auto& product) { return gated(product(0), product(1)); }, inner, "gated");
}

std::string ExpertShape::describe() const {
    return fmt::format("{} experts, {} tokens of {} slots, {} rows, {} columns, {}", n_experts, n_tokens,
                       n_slots, n_rows, n_columns, routing_name(routing));
}

}  // namespace vkmoe::conformance
