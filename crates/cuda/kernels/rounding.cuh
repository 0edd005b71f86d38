// Activations as signed bytes, rounded exactly as moestro_kernels does
// (activations.rs): every 32 share a scale, and the largest magnitude becomes 127.
//
// About each group is kept: the bits of the scale, those of the scale times the sum
// of all integers, and the negated sums of the first and of the last sixteen.

#pragma once

#include "common.cuh"

// What a group's scale may be so small that its inverse is not finite.
static constexpr float SMALLEST = 1.17549435e-38f;

// Rounds a group that a warp holds, a value in each lane.
static __device__ __forceinline__ void round_group(float value, u64 group, u8 *q, int4 *about) {
    u32 lane = threadIdx.x % WARP;
    union {
        float value;
        int bits;
    } x, scale, total;
    // Magnitudes are ordered as their bits are, those of what is no number come last.
    x.value = fabsf(value);
    int largest = x.bits;
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        int other = __shfl_xor_sync(ALL_LANES, largest, lanes);
        largest = other > largest ? other : largest;
    }
    bool finite = largest < 0x7f800000;
    scale.value = finite ? bits_float(largest) / 127.0f : bits_float(0x7fc00000);
    float inverse = scale.value > SMALLEST ? 1.0f / scale.value : 0.0f;
    // Of what is not a number the integer may be any, but has to be one.
    int number = finite ? static_cast<int>(rintf(value * inverse)) : 0;
    int sum = number;
    for (int lanes = 8; lanes > 0; lanes /= 2) {
        sum += __shfl_xor_sync(ALL_LANES, sum, lanes);
    }
    int other = __shfl_xor_sync(ALL_LANES, sum, 16);
    q[group * 32 + lane] = static_cast<u8>(number & 255);
    if (lane == 0) {
        total.value = scale.value * (static_cast<float>(sum) + static_cast<float>(other));
        about[group] = make_int4(scale.bits, total.bits, -sum, -other);
    }
}
