#version 460
// Causal attention over the KV cache with online softmax: out = softmax(scale * q . K) V, float32 sums.
//   q [n_tokens, n_heads * HEAD_DIM] float32, caches [n_kv_heads, n_context, HEAD_DIM], positions int32 [n_tokens]
// Launch: columns of the grid are tiles of QUERIES query rows, rows are KV heads, once for each split of the context; one
// workgroup of LANES invocations for each.
// The query rows of a KV head are its heads_per_kv heads of token 0, of token 1, and so on, so that a tile shares each row
// of K and V that is read, be it at decode (heads of one token) or at prefill (several tokens).
//
// The cache is passed in blocks of LANES * ROWS rows. Scores: CLUSTER neighbouring lanes share a row of K and each lane ends up with
// the scores of ROWS rows, so that softmax has no idle lanes. Sums: lanes share a row of V by words, and weights come
// from shared memory.
#extension GL_GOOGLE_include_directive : require
#ifdef VKMOE_PATH_SUBGROUP
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#include "common/memory.glsl"
#include "common/grid.glsl"
#include "attention/kv_row.glsl"
#include "attention/lanes.glsl"
#include "attention/params.h"

layout(constant_id = 2) const uint HEAD_DIM = 128;
layout(constant_id = 3) const uint QUERIES = 8;        // of a tile
layout(constant_id = 4) const uint ROWS = 1;           // of K by lane and block
layout(constant_id = 5) const uint CLUSTER = 1;        // a power of two; 1 on the scalar path
layout(constant_id = 6) const uint WORDS_AT_ONCE = 1;  // of V, by lane: how many words' sums live in registers at a time
layout(constant_id = 7) const uint VALUE_ROWS = 4;     // of V, loaded together: a divisor of 4

layout(push_constant, scalar) uniform Push { AttentionParams params; };

const uint kVectors = HEAD_DIM / 4u;
const uint kChunks = HEAD_DIM / kKvChunkDims;
const uint kVectorsPerChunk = kKvChunkDims / 4u;
const uint kWords = HEAD_DIM / kKvWordDims;
const uint kWordGroups = (kWords + LANES * WORDS_AT_ONCE - 1u) / (LANES * WORDS_AT_ONCE);
const uint kBlockRows = LANES * ROWS;  // a multiple of 4
const uint kRowsOfCluster = LANES / CLUSTER;
const float kNoScore = -1e30;  // finite, so that differences are numbers

shared vec4 q_tile[QUERIES * kVectors];
shared float weights[QUERIES * kBlockRows];

struct Query {
    uint token;
    uint head;
    int first;  // cache rows that it sees; last < first where there are none
    int last;
};

uint first_query;  // row of queries, of this tile
uint kv_head;
uint split;

/// False for a workgroup beyond the tiles.
bool find_tile() {
    uint n_tiles = (params.n_tokens * params.heads_per_kv + QUERIES - 1u) / QUERIES;
    uvec2 position = grid_position(params.n_kv_heads * params.n_splits);
    // The last tiles of a prefill see the most rows: they start first.
    first_query = (n_tiles - 1u - position.x) * QUERIES;
    split = position.y / params.n_kv_heads;
    kv_head = position.y - split * params.n_kv_heads;
    return position.x < n_tiles;
}

Query query(uint index) {
    uint row = first_query + index;
    Query result = Query(row / params.heads_per_kv, kv_head * params.heads_per_kv + row % params.heads_per_kv, 0, -1);
    if (result.token < params.n_tokens) {
        uint position = Words(params.positions).at[result.token];  // a negative one is very large here
        if (position < params.n_context) {
            result.last = int(position);
            if (params.window != 0u && position >= params.window) result.first = int(position - params.window + 1u);
        }
    }
    return result;
}

uvec2 cache_head(uvec2 cache) {
    return advance(cache, kv_head * params.n_context, kv_row_bytes(HEAD_DIM));
}

void load_queries() {
    for (uint i = lane_index(); i < QUERIES * kVectors; i += LANES) {
        Query row = query(i / kVectors);
        vec4 values = vec4(0.0);
        if (row.last >= row.first) {
            uvec2 source = advance(advance(params.q, row.token, params.q_stride * 4u), row.head * HEAD_DIM * 4u);
            values = Floats4(source).at[i % kVectors] * params.scale;
        }
        q_tile[i] = values;
    }
}

/// Adds, for ROWS rows of K, this lane's share of the products with every query.
void add_products(uvec2 rows[ROWS], inout float products[QUERIES][ROWS]) {
    [[dont_unroll]] for (uint chunk = lane_index() % CLUSTER; chunk < kChunks; chunk += CLUSTER) {
        vec4 k[ROWS][kVectorsPerChunk];
        [[unroll]] for (uint r = 0u; r < ROWS; ++r) kv_load_chunk(rows[r], HEAD_DIM, chunk, k[r]);
        [[unroll]] for (uint q = 0u; q < QUERIES; ++q) {
            [[unroll]] for (uint v = 0u; v < kVectorsPerChunk; ++v) {
                vec4 values = q_tile[q * kVectors + chunk * kVectorsPerChunk + v];
                [[unroll]] for (uint r = 0u; r < ROWS; ++r) {
                    float sum = products[q][r];
                    sum = fma(values.x, k[r][v].x, sum);
                    sum = fma(values.y, k[r][v].y, sum);
                    sum = fma(values.z, k[r][v].z, sum);
                    products[q][r] = fma(values.w, k[r][v].w, sum);
                }
            }
        }
    }
}

/// The row of the block whose score this lane keeps as its r-th.
uint kept_row(uint r) {
    uint lane = lane_index();
    return r * LANES + lane % CLUSTER * kRowsOfCluster + lane / CLUSTER;
}

/// Scores of the block of cache rows that begins at base; rows from end on repeat the last one.
void block_scores(uvec2 k_head, int base, int end, out float scores[QUERIES][ROWS]) {
    uint row_bytes = kv_row_bytes(HEAD_DIM);
    [[unroll]] for (uint member = 0u; member < CLUSTER; ++member) {
        uvec2 rows[ROWS];
        float products[QUERIES][ROWS];
        [[unroll]] for (uint r = 0u; r < ROWS; ++r) {
            int row = base + int(r * LANES + member * kRowsOfCluster + lane_index() / CLUSTER);
            rows[r] = advance(k_head, uint(min(row, end - 1)), row_bytes);
            [[unroll]] for (uint q = 0u; q < QUERIES; ++q) products[q][r] = 0.0;
        }
        add_products(rows, products);
        [[unroll]] for (uint q = 0u; q < QUERIES; ++q) {
            [[unroll]] for (uint r = 0u; r < ROWS; ++r) {
                float product = products[q][r];
#ifdef VKMOE_PATH_SUBGROUP
                [[unroll]] for (uint step = 1u; step < CLUSTER; step <<= 1) product += subgroupShuffleXor(product, step);
#endif
                if (member == 0u || lane_index() % CLUSTER == member) scores[q][r] = product;
            }
        }
    }
}

void main() {
    if (!find_tile()) return;
    uint lane = lane_index();
    int firsts[QUERIES];
    int lasts[QUERIES];
    int begin = 0x7FFFFFFF;
    int end = 0;
    // Rows that all queries of the tile see, but for queries that see no row at all: those have outputs of zeros.
    int first_for_all = 0;
    int end_for_all = 0x7FFFFFFF;
    [[unroll]] for (uint q = 0u; q < QUERIES; ++q) {
        Query row = query(q);
        firsts[q] = row.first;
        lasts[q] = row.last;
        if (row.last >= row.first) {
            begin = min(begin, row.first);
            first_for_all = max(first_for_all, row.first);
            end_for_all = min(end_for_all, row.last + 1);
        }
        end = max(end, row.last + 1);
    }
    begin = min(begin, end);
    if (params.n_splits > 1u) {
        uint blocks = (uint(end - begin) + kBlockRows - 1u) / kBlockRows;
        int share = int((blocks + params.n_splits - 1u) / params.n_splits * kBlockRows);
        begin = min(begin + int(split) * share, end);
        end = min(begin + share, end);
    }
    end_for_all = min(end_for_all, end);

    float greatest[QUERIES];
    float sums[QUERIES];  // of the weights of this lane's rows
    KV_WORD outputs[QUERIES][kWordGroups * WORDS_AT_ONCE];
    [[unroll]] for (uint q = 0u; q < QUERIES; ++q) {
        greatest[q] = kNoScore;
        sums[q] = 0.0;
        [[unroll]] for (uint w = 0u; w < kWordGroups * WORDS_AT_ONCE; ++w) outputs[q][w] = KV_WORD(0.0);
    }

    load_queries();
    lanes_barrier();
    uvec2 k_head = cache_head(params.k_cache);
    uvec2 v_head = cache_head(params.v_cache);
    uint row_bytes = kv_row_bytes(HEAD_DIM);
    [[dont_unroll]] for (int base = begin; base < end; base += int(kBlockRows)) {
        float scores[QUERIES][ROWS];
        block_scores(k_head, base, end, scores);

        float decay[QUERIES];
        [[unroll]] for (uint q = 0u; q < QUERIES; ++q) {
            float block_greatest = kNoScore;
            bool seen[ROWS];
            [[unroll]] for (uint r = 0u; r < ROWS; ++r) {
                int row = base + int(kept_row(r));
                seen[r] = row >= firsts[q] && row <= lasts[q] && row < end;
                if (seen[r]) block_greatest = max(block_greatest, scores[q][r]);
            }
            float next = max(greatest[q], lanes_max(block_greatest));
            decay[q] = exp2(greatest[q] - next);
            greatest[q] = next;
            sums[q] *= decay[q];
            [[unroll]] for (uint r = 0u; r < ROWS; ++r) {
                float weight = seen[r] ? exp2(scores[q][r] - next) : 0.0;
                sums[q] += weight;
                weights[q * kBlockRows + kept_row(r)] = weight;
            }
        }
        lanes_barrier();

        uint n_rows = min(uint(end - base), kBlockRows);
        [[unroll]] for (uint group = 0u; group < kWordGroups; ++group) {
            KV_WORD totals[QUERIES][WORDS_AT_ONCE];
            [[unroll]] for (uint q = 0u; q < QUERIES; ++q) {
                [[unroll]] for (uint w = 0u; w < WORDS_AT_ONCE; ++w) {
                    totals[q][w] = outputs[q][group * WORDS_AT_ONCE + w] * decay[q];
                }
            }
            // VALUE_ROWS at a time, to have several loads in flight. The last row stands in for those from n_rows on.
            // A weight of 0 does not hide a row from a query: V may hold infinities and NaNs.
            [[dont_unroll]] for (uint row = 0u; row < n_rows; row += VALUE_ROWS) {
                KV_WORD v[VALUE_ROWS][WORDS_AT_ONCE];
                [[unroll]] for (uint j = 0u; j < VALUE_ROWS; ++j) {
                    uvec2 v_row = advance(v_head, uint(min(base + int(row + j), end - 1)), row_bytes);
                    [[unroll]] for (uint w = 0u; w < WORDS_AT_ONCE; ++w) {
                        uint word = (group * WORDS_AT_ONCE + w) * LANES + lane;
                        v[j][w] = kv_load_word(v_row, HEAD_DIM, min(word, kWords - 1u));
                    }
                }
                int at = base + int(row);
                if (at >= first_for_all && at + int(VALUE_ROWS) <= end_for_all) {
                    [[unroll]] for (uint q = 0u; q < QUERIES; ++q) {
                        [[unroll]] for (uint j = 0u; j < VALUE_ROWS; ++j) {
                            float weight = weights[q * kBlockRows + row + j];
                            [[unroll]] for (uint w = 0u; w < WORDS_AT_ONCE; ++w) {
                                totals[q][w] = fma(KV_WORD(weight), v[j][w], totals[q][w]);
                            }
                        }
                    }
                } else {
                    [[unroll]] for (uint q = 0u; q < QUERIES; ++q) {
                        [[unroll]] for (uint j = 0u; j < VALUE_ROWS; ++j) {
                            bool sees = at + int(j) >= firsts[q] && at + int(j) <= lasts[q] && at + int(j) < end;
                            float weight = weights[q * kBlockRows + row + j];
                            [[unroll]] for (uint w = 0u; w < WORDS_AT_ONCE; ++w) {
                                KV_WORD number = sees ? v[j][w] : KV_WORD(0.0);
                                totals[q][w] = fma(KV_WORD(weight), number, totals[q][w]);
                            }
                        }
                    }
                }
            }
            [[unroll]] for (uint q = 0u; q < QUERIES; ++q) {
                [[unroll]] for (uint w = 0u; w < WORDS_AT_ONCE; ++w) outputs[q][group * WORDS_AT_ONCE + w] = totals[q][w];
            }
        }
        lanes_barrier();
    }

    [[unroll]] for (uint q = 0u; q < QUERIES; ++q) {
        float sum = lanes_add(sums[q]);
        Query row = query(q);
        if (row.token >= params.n_tokens) continue;
        uint index = row.token * params.n_heads + row.head;
        uvec2 target = params.result;
        float factor = sum > 0.0 ? 1.0 / sum : 0.0;
        if (params.part_offset != 0u) {
            index = index * params.n_splits + split;
            if (lane == 0u) {
                FloatsOut(params.result).at[2u * index] = greatest[q];
                FloatsOut(params.result).at[2u * index + 1u] = sum;
            }
            if (sum == 0.0) continue;
            target = advance(target, params.part_offset, 4u);
            factor = 1.0;
        }
        target = advance(target, index, HEAD_DIM * 4u);
        [[unroll]] for (uint w = 0u; w < kWordGroups * WORDS_AT_ONCE; ++w) {
            uint word = w * LANES + lane;
            if (word >= kWords) continue;
            KV_WORD value = sum == 0.0 ? KV_WORD(0.0) : outputs[q][w] * factor;
            FloatsOut numbers = FloatsOut(advance(target, word * kKvWordDims * 4u));
#if defined(VKMOE_TYPE_F32)
            numbers.at[0] = value;
#else
            [[unroll]] for (uint i = 0u; i < kKvWordDims; ++i) numbers.at[i] = value[i];
#endif
        }
    }
}
