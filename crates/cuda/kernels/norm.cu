// Root-mean-square normalisation, of wide rows by a block each, of narrow ones (the
// heads of attention) by a warp each. What products of integers read next is rounded
// here as well; a warp has neighbouring columns, whole groups of them.

#include "arguments.cuh"
#include "rounding.cuh"

static __device__ __forceinline__ float norm_factor(float squares, const Norm &a) {
    return 1.0f / sqrtf(squares / static_cast<float>(a.width) + a.eps);
}

static __device__ __forceinline__ float take(const Norm &a, u64 at) {
    float x = a.x[at];
    if (a.plus) {
        x += a.plus[at];
        a.x[at] = x;
    }
    return x;
}

static __device__ __forceinline__ void give(const Norm &a, u64 at, u32 column, float factor) {
    float y = a.x[at] * factor * a.weight[column];
    y = a.gate ? y * silu(a.gate[at]) : y;
    a.out[at] = y;
    if (a.q) {
        round_group(y, at / 32, a.q, a.about);
    }
}

KERNEL(256) norm_wide(const Norm a) {
    __shared__ float parts[8];
    u64 first = static_cast<u64>(blockIdx.x) * a.width;
    float sum = 0.0f;
    for (u32 i = threadIdx.x; i < a.width; i += blockDim.x) {
        float x = take(a, first + i);
        sum = fmaf(x, x, sum);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) {
        parts[threadIdx.x / WARP] = sum;
    }
    __syncthreads();
    sum = 0.0f;
    for (u32 i = 0; i < 8; i++) {
        sum += parts[i];
    }
    float factor = norm_factor(sum, a);
    for (u32 i = threadIdx.x; i < a.width; i += blockDim.x) {
        give(a, first + i, i, factor);
    }
}

KERNEL(128) norm_narrow(const Norm a) {
    u32 row = blockIdx.x * 4 + threadIdx.x / WARP;
    if (row >= a.rows) {
        return;
    }
    u64 first = static_cast<u64>(row) * a.width;
    float sum = 0.0f;
    for (u32 i = threadIdx.x % WARP; i < a.width; i += WARP) {
        float x = take(a, first + i);
        sum = fmaf(x, x, sum);
    }
    float factor = norm_factor(warp_sum(sum), a);
    for (u32 i = threadIdx.x % WARP; i < a.width; i += WARP) {
        give(a, first + i, i, factor);
    }
}
