// The columns that a tile stages between two barriers: a step of STEP_RUNS runs, the same number whatever a type's chunk is.
// Each invocation stages whole chunks. The last step of a row can be shorter: it is staged whole, with a chunk that the row
// has in place of each one behind its end, and multiplied only up to step_runs.
#ifndef VKMOE_SHADERS_MATMUL_STEPS_GLSL
#define VKMOE_SHADERS_MATMUL_STEPS_GLSL

const uint STEP_CHUNKS = STEP_RUNS / CHUNK_RUNS;

uint chunks_of(uint n_columns) { return n_columns / (32u * CHUNK_RUNS); }

uint steps_of(uint n_columns) { return (chunks_of(n_columns) + STEP_CHUNKS - 1u) / STEP_CHUNKS; }

/// The chunk of the row that number chunk of a step stands for.
uint step_chunk(uint step, uint chunk, uint n_columns) {
    return STEP_CHUNKS == 1u ? step : min(step * STEP_CHUNKS + chunk, chunks_of(n_columns) - 1u);
}

/// The block of 32 columns that number run of a step stands for.
uint step_block(uint step, uint run, uint n_columns) {
    return run_block(step_chunk(step, run / CHUNK_RUNS, n_columns), run % CHUNK_RUNS);
}

/// The first step of part number part, where n_parts parts share the steps of a row: the end of the one before it.
uint first_step(uint part, uint n_parts, uint n_columns) { return part * steps_of(n_columns) / n_parts; }

/// How many runs of a step are within the row.
uint step_runs(uint step, uint n_columns) {
    return STEP_CHUNKS == 1u ? STEP_RUNS : min(STEP_RUNS, n_columns / 32u - step * STEP_RUNS);
}

/// Has the workgroup's invocations call stage(item, step, n_columns) for items 0 to n - 1. A loop only where there are more
/// items than invocations: compilers do not see that it turns once, and copy its body.
#define STAGE_ITEMS(n, stage, step, n_columns)                                                                   \
    if ((n) == gl_WorkGroupSize.x) {                                                                             \
        stage(gl_LocalInvocationID.x, step, n_columns);                                                          \
    } else if ((n) < gl_WorkGroupSize.x) {                                                                       \
        if (gl_LocalInvocationID.x < (n)) stage(gl_LocalInvocationID.x, step, n_columns);                        \
    } else {                                                                                                     \
        [[dont_unroll]] for (uint item = gl_LocalInvocationID.x; item < (n); item += gl_WorkGroupSize.x)         \
            stage(item, step, n_columns);                                                                        \
    }

#endif
