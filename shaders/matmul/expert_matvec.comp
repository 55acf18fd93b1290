#version 460
// The experts' matrices in the registers of teams of lanes (register_rows.glsl): with one matrix, y[p, r] = W[r, :] .
// x[p / divisor, :]; with two (GATED), y[p, r] = silu(gate[r, :] . x) * (up[r, :] . x).
//
// Either each pair (token, slot) by its own expert (TOKENS = 0), or pairs that come sorted by expert and cut into tiles of
// at most TOKENS (group_routes): a team then reads each weight once for all pairs of a tile.
// Launch: columns of the grid cover teams of ROWS rows: of the one matrix, of gate and up together (GATED), or of the first
// and then of the second where there is a second result. Rows of the grid are pairs or tiles.
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#define VKMOE_TABLE_CONSTANT 4

#include "matmul/lanes.glsl"
#include "matmul/operands.glsl"
#include "common/grid.glsl"
#include "matmul/params.h"

layout(constant_id = 1) const uint ROWS = 1;
layout(constant_id = 2) const uint GATED = 0;
layout(constant_id = 3) const uint TOKENS = 0;
layout(constant_id = 5) const uint MOST_SUMS = 0xFFFFFFFFu;
const uint MATRIX_ROWS = ROWS * (1u + GATED);  // up's rows follow gate's

layout(push_constant) uniform Push { ExpertParams params; };

uvec2 codebook() { return params.codebook; }

uint first_row;
uint first_pair;  // the pair, or the tile's first entry in pairs
uint n_pairs;     // of the tile
uvec2 result;     // y of the matrix

uint pair_of(uint t) {
    if (TOKENS == 0u) return first_pair;
    return Words(params.pairs).at[first_pair + min(t, n_pairs - 1u)];
}

uvec2 token_row_of(uint t) { return advance(params.x, pair_of(t) / params.x_divisor, params.x_stride); }

void store_sum(uint r, uint t, float sum) {
    uint row = first_row + r;
    if (row >= params.n_rows || t >= n_pairs) return;
    FloatsOut(advance(result, pair_of(t), params.n_rows * 4u)).at[row] = sum;
}

#define N_TOKENS 1
#define multiply_rows multiply_1
#include "matmul/register_rows.glsl"
#define N_TOKENS 2
#define multiply_rows multiply_2
#include "matmul/register_rows.glsl"
#define N_TOKENS 3
#define multiply_rows multiply_3
#include "matmul/register_rows.glsl"
#define N_TOKENS 4
#define multiply_rows multiply_4
#include "matmul/register_rows.glsl"
#define N_TOKENS 6
#define multiply_rows multiply_6
#include "matmul/register_rows.glsl"
#define N_TOKENS 8
#define multiply_rows multiply_8
#include "matmul/register_rows.glsl"

void main() {
    load_tables();
    uint expert;
    uvec2 position;
    if (TOKENS == 0u) {
        position = grid_position(params.n_pairs);
        if (position.y >= params.n_pairs) return;
        first_pair = position.y;
        n_pairs = 1u;
        expert = Words(params.ids).at[first_pair];
        if (expert >= params.n_experts) return;
    } else {
        uint n_tiles = Words4(params.tiles).at[0].w;
        position = grid_position(n_tiles);
        if (position.y >= n_tiles) return;
        uvec4 tile = Words4(params.tiles).at[min(position.y, n_tiles - 1u)];
        expert = tile.x;
        first_pair = tile.y;
        n_pairs = tile.z;
    }
    bool second = GATED == 0u && position.x >= params.matrix_groups;
    if (second && is_null(params.second_y)) return;  // a folded grid has more columns than were asked for
    uint column = second ? position.x - params.matrix_groups : position.x;
    first_row = team_index(column) * ROWS;
    if (first_row >= params.n_rows) return;
    result = second ? params.second_y : params.first_y;

    uvec2 record = Pointers(params.experts).at[min(expert, params.n_experts - 1u)];
    uint stride = row_stride(params.n_columns);
    Row weight_rows[MATRIX_ROWS];
    [[unroll]] for (uint r = 0; r < MATRIX_ROWS; ++r) {
        uvec2 matrix = advance(record, r < ROWS && !second ? params.first_offset : params.second_offset);
        weight_rows[r] = team_row(matrix, params.n_rows, stride, column, ROWS, r < ROWS ? r : r - ROWS);
    }
    if (TOKENS > 6u && n_pairs > 6u) {
        multiply_8(weight_rows, params.n_columns);
    } else if (TOKENS > 4u && n_pairs > 4u) {
        multiply_6(weight_rows, params.n_columns);
    } else if (TOKENS > 3u && n_pairs > 3u) {
        multiply_4(weight_rows, params.n_columns);
    } else if (TOKENS > 2u && n_pairs > 2u) {
        multiply_3(weight_rows, params.n_columns);
    } else if (TOKENS > 1u && n_pairs > 1u) {
        multiply_2(weight_rows, params.n_columns);
    } else {
        multiply_1(weight_rows, params.n_columns);
    }
}
