// Activations as signed bytes, rounded exactly as moestro_kernels does
// (activations.rs): every 32 share a scale, and the largest magnitude becomes 127.
//
// About each group is kept: the bits of the scale, those of the scale times the sum
// of all integers, and the negated sums of the first and of the last sixteen.

#include "arguments.cuh"

// What a group's scale may be so small that its inverse is not finite.
static constexpr float SMALLEST = 1.17549435e-38f;

// Eight lanes per group, four values per lane.
KERNEL(128) quantize(const Quantize a) {
    u32 lane = threadIdx.x % 8;
    u32 per_row = a.cols / 32;
    u32 groups = a.rows * per_row;
    u32 group = blockIdx.x * 16 + threadIdx.x / 8;
    // All lanes of a warp take part in its shuffles.
    bool here = group < groups;
    u32 from = here ? group : 0;
    u64 at = static_cast<u64>(from) * 32 + 4 * lane;
    float v[4];
    for (u32 i = 0; i < 4; i++) {
        if (a.order) {
            u32 row = from / per_row;
            u32 column = a.order[from % per_row * 32 + 4 * lane + i];
            v[i] = column < a.cols ? a.x[static_cast<u64>(row) * a.cols + column] : 0.0f;
        } else {
            v[i] = a.x[at + i];
        }
        if (a.up) {
            v[i] = silu(v[i]) * a.up[at + i];
        }
    }
    if (a.floats && here) {
        for (u32 i = 0; i < 4; i++) {
            a.floats[at + i] = v[i];
        }
    }
    float largest = 0.0f, poison = 0.0f;
    for (u32 i = 0; i < 4; i++) {
        largest = fmaxf(largest, fabsf(v[i]));
        poison += v[i] * 0.0f;
    }
    for (int lanes = 4; lanes > 0; lanes /= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, lanes));
        poison += __shfl_xor_sync(ALL_LANES, poison, lanes);
    }
    // Not a number if a value is not, or is infinite.
    union {
        float value;
        int bits;
    } scale, total;
    scale.value = largest / 127.0f + poison;
    float inverse = scale.value > SMALLEST ? 1.0f / scale.value : 0.0f;
    int sum = 0;
    u32 packed = 0;
    for (u32 i = 0; i < 4; i++) {
        // Of what is not a number the integer may be any, but has to be one.
        float rounded = poison == 0.0f ? rintf(v[i] * inverse) : 0.0f;
        int q = static_cast<int>(rounded);
        sum += q;
        packed |= static_cast<u32>(q & 255) << (8 * i);
    }
    sum += __shfl_xor_sync(ALL_LANES, sum, 1);
    sum += __shfl_xor_sync(ALL_LANES, sum, 2);
    int other = __shfl_xor_sync(ALL_LANES, sum, 4);
    if (!here) {
        return;
    }
    *reinterpret_cast<u32 *>(a.q + at) = packed;
    if (lane == 0) {
        total.value = scale.value * (static_cast<float>(sum) + static_cast<float>(other));
        a.about[group] = make_int4(scale.bits, total.bits, -sum, -other);
    }
}
