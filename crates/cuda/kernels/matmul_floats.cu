// Products with weights that are floats, row after row, or FP8 in tiles, and
// activations in single precision.

#include "matmul_integers.cuh"

struct Single {
    typedef float Type;
    static __device__ __forceinline__ float value(float x) { return x; }
    static __device__ __forceinline__ void four(const float *at, float *to) {
        float4 x = *reinterpret_cast<const float4 *>(at);
        to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w;
    }
};

struct Half {
    typedef unsigned short Type;
    static __device__ __forceinline__ float value(unsigned short x) {
        return half_at(reinterpret_cast<const u8 *>(&x));
    }
    static __device__ __forceinline__ void four(const unsigned short *at, float *to) {
        uint2 x = *reinterpret_cast<const uint2 *>(at);
        to[0] = value(x.x & 0xffff), to[1] = value(x.x >> 16);
        to[2] = value(x.y & 0xffff), to[3] = value(x.y >> 16);
    }
};

struct Brain {
    typedef unsigned short Type;
    static __device__ __forceinline__ float value(unsigned short x) {
        return bits_float(static_cast<int>(static_cast<u32>(x) << 16));
    }
    static __device__ __forceinline__ void four(const unsigned short *at, float *to) {
        uint2 x = *reinterpret_cast<const uint2 *>(at);
        to[0] = value(x.x & 0xffff), to[1] = value(x.x >> 16);
        to[2] = value(x.y & 0xffff), to[3] = value(x.y >> 16);
    }
};

// A warp takes R rows of weights, its lanes are along the columns. More activation
// rows than one are worth reading only for several rows of weights.
template <class W, u32 M, u32 R>
static __device__ __forceinline__ void multiply_floats(const Work &work) {
    typedef typename W::Type Type;
    const Piece p = piece_of(work, blockIdx.y);
    u32 lane = threadIdx.x % WARP;
    u32 row = (blockIdx.x * 4 + threadIdx.x / WARP) * R;
    if (row >= p.rows) {
        return;
    }
    const Type *weights[R];
    const float *x[M];
    float sums[R][M];
#pragma unroll
    for (u32 r = 0; r < R; r++) {
        u64 at = row + r < p.rows ? row + r : row;
        weights[r] = reinterpret_cast<const Type *>(p.weights) + at * work.cols;
    }
#pragma unroll
    for (u32 m = 0; m < M; m++) {
        x[m] = static_cast<const float *>(p.x) + token_of(p, m) * work.cols;
#pragma unroll
        for (u32 r = 0; r < R; r++) {
            sums[r][m] = 0.0f;
        }
    }
    if (work.cols % 4 == 0) {
        for (u32 c = 4 * lane; c < work.cols; c += 4 * WARP) {
            float w[R][4];
#pragma unroll
            for (u32 r = 0; r < R; r++) {
                W::four(weights[r] + c, w[r]);
            }
#pragma unroll
            for (u32 m = 0; m < M; m++) {
                float4 v = *reinterpret_cast<const float4 *>(x[m] + c);
#pragma unroll
                for (u32 r = 0; r < R; r++) {
                    float sum = sums[r][m];
                    sum = fmaf(w[r][0], v.x, sum);
                    sum = fmaf(w[r][1], v.y, sum);
                    sum = fmaf(w[r][2], v.z, sum);
                    sums[r][m] = fmaf(w[r][3], v.w, sum);
                }
            }
        }
    } else {
        for (u32 c = lane; c < work.cols; c += WARP) {
#pragma unroll
            for (u32 m = 0; m < M; m++) {
#pragma unroll
                for (u32 r = 0; r < R; r++) {
                    sums[r][m] = fmaf(W::value(weights[r][c]), x[m][c], sums[r][m]);
                }
            }
        }
    }
#pragma unroll
    for (u32 m = 0; m < M; m++) {
#pragma unroll
        for (u32 r = 0; r < R; r++) {
            float sum = warp_sum(sums[r][m]);
            if (lane == 0 && m < p.count && row + r < p.rows) {
                p.out[static_cast<u64>(m) * p.rows + row + r] = sum;
            }
        }
    }
}

template <class W>
static __device__ __forceinline__ void float_rows(const Rows &a) {
    typedef typename W::Type Type;
    u32 id = a.ids[blockIdx.x];
    float *out = a.out + static_cast<u64>(blockIdx.x) * a.cols;
    const Type *row = reinterpret_cast<const Type *>(a.weights) + static_cast<u64>(id) * a.cols;
    for (u32 c = threadIdx.x; c < a.cols; c += blockDim.x) {
        out[c] = id < a.rows ? W::value(row[c]) : 0.0f;
    }
}

#define FLOAT_KERNELS(name, W)                                                                     \
    KERNEL(128) matmul_##name##_1(const Work work) { multiply_floats<W, 1, 1>(work); }             \
    KERNEL(128) matmul_##name##_4(const Work work) { multiply_floats<W, 4, 4>(work); }             \
    KERNEL(128) matmul_##name##_16(const Work work) { multiply_floats<W, 16, 4>(work); }           \
    KERNEL(256) rows_##name(const Rows a) { float_rows<W>(a); }

FLOAT_KERNELS(f32, Single)
FLOAT_KERNELS(f16, Half)
FLOAT_KERNELS(bf16, Brain)

// FP8 E4M3: as a half with the exponent's bias of 7 instead of 15 it is 256 times
// too small. The pattern that is no number counts as 480.
static __device__ __forceinline__ float e4m3(u32 bits) {
    unsigned short half = static_cast<unsigned short>((bits & 0x7f) << 7 | (bits & 0x80) << 8);
    return half_at(reinterpret_cast<const u8 *>(&half));
}

// Blocks of 128 columns: sixteen scales, then column after column sixteen bytes.
static constexpr u32 FP8_BLOCK = 16 * 132;

// A word is a column of four rows, so a warp reads eight columns at once. Warps take
// every fourth block of columns.
template <u32 M>
static __device__ __forceinline__ void multiply_fp8(const Work &work) {
    const Piece p = piece_of(work, blockIdx.y);
    u32 row = blockIdx.x * TILE;
    if (row >= p.rows) {
        return;
    }
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    u32 quad = lane % 4, column = lane / 4;
    u32 blocks = work.cols / 128;
    const u8 *tile = p.weights + static_cast<u64>(blockIdx.x) * blocks * FP8_BLOCK;
    const float *x[M];
    float sums[M][4];
#pragma unroll
    for (u32 m = 0; m < M; m++) {
        x[m] = static_cast<const float *>(p.x) + token_of(p, m) * work.cols;
        sums[m][0] = sums[m][1] = sums[m][2] = sums[m][3] = 0.0f;
    }
    for (u32 i = warp; i < blocks; i += 4) {
        const u8 *block = tile + static_cast<u64>(i) * FP8_BLOCK;
        float4 scale = *reinterpret_cast<const float4 *>(block + 16 * quad);
        for (u32 c = column; c < 128; c += 8) {
            u32 four = *reinterpret_cast<const u32 *>(block + 64 + 16 * c + 4 * quad);
            float w[4] = {e4m3(four & 255) * (256.0f * scale.x),
                          e4m3(four >> 8 & 255) * (256.0f * scale.y),
                          e4m3(four >> 16 & 255) * (256.0f * scale.z),
                          e4m3(four >> 24) * (256.0f * scale.w)};
#pragma unroll
            for (u32 m = 0; m < M; m++) {
                float v = x[m][128 * i + c];
#pragma unroll
                for (u32 k = 0; k < 4; k++) {
                    sums[m][k] = fmaf(w[k], v, sums[m][k]);
                }
            }
        }
    }
    __shared__ float partial[4][M][TILE];
#pragma unroll
    for (u32 m = 0; m < M; m++) {
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            float sum = sums[m][k];
            sum += __shfl_xor_sync(ALL_LANES, sum, 4);
            sum += __shfl_xor_sync(ALL_LANES, sum, 8);
            sum += __shfl_xor_sync(ALL_LANES, sum, 16);
            if (column == 0) {
                partial[warp][m][4 * quad + k] = sum;
            }
        }
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < M * TILE; i += blockDim.x) {
        u32 m = i / TILE, r = i % TILE;
        if (m < p.count && row + r < p.rows) {
            p.out[static_cast<u64>(m) * p.rows + row + r] =
                partial[0][m][r] + partial[1][m][r] + partial[2][m][r] + partial[3][m][r];
        }
    }
}

KERNEL(128) matmul_fp8_1(const Work work) { multiply_fp8<1>(work); }
KERNEL(128) matmul_fp8_4(const Work work) { multiply_fp8<4>(work); }
KERNEL(128) matmul_fp8_16(const Work work) { multiply_fp8<16>(work); }

KERNEL(256) rows_fp8(const Rows a) {
    u32 id = a.ids[blockIdx.x], r = id % TILE;
    float *out = a.out + static_cast<u64>(blockIdx.x) * a.cols;
    const u8 *tile = a.weights + static_cast<u64>(id / TILE) * (a.cols / 128) * FP8_BLOCK;
    for (u32 c = threadIdx.x; c < a.cols; c += blockDim.x) {
        float value = 0.0f;
        if (id < a.rows) {
            const u8 *block = tile + static_cast<u64>(c / 128) * FP8_BLOCK;
            float scale = *reinterpret_cast<const float *>(block + 4 * r);
            value = e4m3(block[64 + 16 * (c % 128) + r]) * (256.0f * scale);
        }
        out[c] = value;
    }
}
