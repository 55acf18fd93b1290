// Which rows of an expert's matrices and which tokens a tile of expert_matmul has, and where its sums go. Where gate and up
// come together (params.gated), GATE_ROWS rows of gate lie before the same rows of up, and so on.
//
// Included after the push constants; before, the including shader defines GATE_ROWS. It calls open_tile first.
#ifndef VKMOE_SHADERS_MATMUL_EXPERT_TILE_GLSL
#define VKMOE_SHADERS_MATMUL_EXPERT_TILE_GLSL

uvec2 matrix;     // of this tile's expert; gate where gate and up come together
uvec2 up_matrix;  // then
uvec2 result;     // y of that matrix
uvec4 tile;       // expert, first entry in pairs, count
uint first_row;   // of the matrix, in this tile

bool is_gated() { return params.gated != 0u; }
float gated(float gate, float up) { return gate / (1.0 + exp(-gate)) * up; }

/// False where there is nothing to do.
bool open_tile() {
    uint matrices = is_gated() || !is_null(params.second_y) ? 2u : 1u;
    uvec2 position = grid_position(matrices * params.matrix_groups);
    // The first tile tells how many there are.
    if (position.x >= gl_NumWorkGroups.x && position.x >= Words4(params.tiles).at[0].w) return false;
    bool second = !is_gated() && position.y >= params.matrix_groups;
    first_row = is_gated() ? position.y * (TILE_ROWS / 2u)
                           : (second ? position.y - params.matrix_groups : position.y) * TILE_ROWS;
    if (first_row >= params.n_rows) return false;
    tile = Words4(params.tiles).at[position.x];
    uvec2 record = Pointers(params.experts).at[tile.x];
    matrix = advance(record, second ? params.second_offset : params.first_offset);
    up_matrix = advance(record, params.second_offset);
    result = second ? params.second_y : params.first_y;
    return true;
}

/// The row of its matrix that row i of the tile is; it may lie beyond the matrix.
uint matrix_row(uint i) {
    return first_row + (is_gated() ? i / (2u * GATE_ROWS) * GATE_ROWS + i % GATE_ROWS : i);
}

uvec2 weight_row_of(uint i) {
    bool is_up = is_gated() && i / GATE_ROWS % 2u != 0u;
    uint row = min(matrix_row(i), params.n_rows - 1u);
    return advance(is_up ? up_matrix : matrix, row, row_stride(params.n_columns));
}

uint pair_of(uint i) { return Words(params.pairs).at[tile.y + min(i, tile.z - 1u)]; }

uvec2 token_row_of(uint i) { return advance(params.x, pair_of(i) / params.x_divisor, params.x_stride); }

uvec2 y_row_of(uint token) { return advance(result, pair_of(token), params.n_rows * 4u); }

#endif
