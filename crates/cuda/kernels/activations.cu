// Activations as products of integers need them.

#include "arguments.cuh"
#include "rounding.cuh"

// A warp per group.
KERNEL(128) quantize(const Quantize a) {
    u32 lane = threadIdx.x % WARP;
    u32 per_row = a.cols / 32;
    u64 group = static_cast<u64>(blockIdx.x) * 4 + threadIdx.x / WARP;
    if (group >= static_cast<u64>(a.rows) * per_row) {
        return;
    }
    u64 at = group * 32 + lane;
    float v;
    if (a.order) {
        u64 row = group / per_row;
        u32 column = a.order[group % per_row * 32 + lane];
        v = column < a.cols ? a.x[row * a.cols + column] : 0.0f;
    } else {
        v = a.x[at];
    }
    if (a.up) {
        v = silu(v) * a.up[at];
    }
    if (a.floats) {
        a.floats[at] = v;
    }
    round_group(v, group, a.q, a.about);
}
