// Types and reductions that every kernel needs.
//
// A kernel takes one structure by value. Its size is asserted here and in
// src/arguments.rs, so that the two sides cannot drift apart unseen.

#pragma once

#include <cuda_fp16.h>

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)

static constexpr u32 ALL_LANES = 0xffffffffu;
static constexpr u32 WARP = 32;

// Sums end up in every lane, in an order that depends on nothing.
static __device__ __forceinline__ float warp_sum(float x) {
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        x += __shfl_xor_sync(ALL_LANES, x, lanes);
    }
    return x;
}

static __device__ __forceinline__ float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

static __device__ __forceinline__ float silu(float x) {
    return x / (1.0f + expf(-x));
}

static __device__ __forceinline__ float half_at(const u8 *at) {
    return __half2float(*reinterpret_cast<const __half *>(at));
}

static __device__ __forceinline__ float bits_float(int bits) {
    union {
        int bits;
        float value;
    } x;
    x.bits = bits;
    return x.value;
}

static __device__ __forceinline__ float minus_infinity() {
    return bits_float(static_cast<int>(0xff800000u));
}
