// Grouped-query attention over keys and values in blocks of 256 positions.
//
// A block of eight warps takes the (up to eight) query heads of one token that share
// a key head over one block of positions, 32 to a warp. A warp's lanes lie along a
// head's dimensions while they multiply with keys, along the keys for the softmax,
// and along the dimensions again for the values, so every load is of neighbours. The
// results of blocks are merged in order: in decode, where positions are spread over
// the GPU, by `attention_merge`; in prefill, where there are enough tokens, by the
// block itself. The arithmetic is the same.

#include "arguments.cuh"

static constexpr u32 POSITIONS = 256;
static constexpr u32 HEADS = 8;
static constexpr u32 WARPS = 8;
static constexpr u32 KEYS = POSITIONS / WARPS;

// N neighbours from `at` on, the lane's own, as far as the head goes.
template <u32 N>
static __device__ __forceinline__ void load(const float *at, u32 dim, u32 d, float *to) {
    if (d == N * WARP) {
#pragma unroll
        for (u32 i = 0; i < N; i += 4) {
            float4 x = *reinterpret_cast<const float4 *>(at + dim + i);
            to[i] = x.x, to[i + 1] = x.y, to[i + 2] = x.z, to[i + 3] = x.w;
        }
    } else {
#pragma unroll
        for (u32 i = 0; i < N; i++) {
            to[i] = dim + i < d ? at[dim + i] : 0.0f;
        }
    }
}

template <u32 N>
static __device__ __forceinline__ void load(const __half *at, u32 dim, u32 d, float *to) {
    if (d == N * WARP) {
#pragma unroll
        for (u32 i = 0; i < N; i += 4) {
            uint2 x = *reinterpret_cast<const uint2 *>(at + dim + i);
            const __half *four = reinterpret_cast<const __half *>(&x);
#pragma unroll
            for (u32 k = 0; k < 4; k++) {
                to[i + k] = __half2float(four[k]);
            }
        }
    } else {
#pragma unroll
        for (u32 i = 0; i < N; i++) {
            to[i] = dim + i < d ? __half2float(at[dim + i]) : 0.0f;
        }
    }
}

// The sums of eight values over the lanes: that of value `lane / 4` in each lane.
static __device__ __forceinline__ float eight_sums(float *v, u32 lane) {
    bool upper = lane & 16;
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        float give = upper ? v[i] : v[i + 4], keep = upper ? v[i + 4] : v[i];
        v[i] = keep + __shfl_xor_sync(ALL_LANES, give, 16);
    }
    upper = lane & 8;
#pragma unroll
    for (u32 i = 0; i < 2; i++) {
        float give = upper ? v[i] : v[i + 2], keep = upper ? v[i + 2] : v[i];
        v[i] = keep + __shfl_xor_sync(ALL_LANES, give, 8);
    }
    upper = lane & 4;
    float give = upper ? v[0] : v[1], keep = upper ? v[1] : v[0];
    float sum = keep + __shfl_xor_sync(ALL_LANES, give, 4);
    sum += __shfl_xor_sync(ALL_LANES, sum, 2);
    return sum + __shfl_xor_sync(ALL_LANES, sum, 1);
}

static __device__ __forceinline__ float warp_max(float x) {
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, lanes));
    }
    return x;
}

// What is left of a sum over keys whose largest score was `before`, if it is `now`.
static __device__ __forceinline__ float rescale(float before, float now) {
    return before == minus_infinity() ? 0.0f : expf(before - now);
}

template <class T, u32 N>
static __device__ __forceinline__ void attend(const Attention &a) {
    __shared__ float scores[WARPS][KEYS][HEADS];
    __shared__ float largest[WARPS][HEADS], totals[WARPS][HEADS];
    // Of a block; the value of dimension `N lane + i` is at `32 i + lane`.
    __shared__ float values[HEADS][N * WARP];

    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    u32 token = blockIdx.x, group = a.nq / a.nkv;
    u32 head_groups = (group + HEADS - 1) / HEADS;
    u32 key_head = blockIdx.y / head_groups;
    u32 first_head = blockIdx.y % head_groups * HEADS;
    u32 heads = group - first_head < HEADS ? group - first_head : HEADS;
    first_head += key_head * group;
    u32 dim = N * lane;
    u64 row = a.first_row + token;
    // Keys that this token sees.
    u32 seen = a.first_position + token + 1;

    float q[HEADS][N];
#pragma unroll
    for (u32 h = 0; h < HEADS; h++) {
        const float *from = a.q + (row * a.nq + first_head + (h < heads ? h : 0)) * a.d;
        load<N>(from, dim, a.d, q[h]);
#pragma unroll
        for (u32 i = 0; i < N; i++) {
            q[h][i] *= a.scale;
        }
    }
    // Of all blocks so far: this thread's values, and its heads'.
    float all[N], all_largest[N], all_total[N];
#pragma unroll
    for (u32 i = 0; i < N; i++) {
        all[i] = 0.0f, all_total[i] = 0.0f, all_largest[i] = minus_infinity();
    }
    u32 blocks = (seen + POSITIONS - 1) / POSITIONS;
    u32 begin = a.partial ? blockIdx.z : 0;
    u32 end = a.partial ? begin + 1 : blocks;
    if (begin >= blocks) {
        return;
    }
    for (u32 b = begin; b < end; b++) {
        u32 stride = a.nkv * a.d;
        const T *keys = reinterpret_cast<const T *>(a.blocks[b]) + key_head * a.d;
        const T *vectors = keys + static_cast<u64>(POSITIONS) * stride;
        u32 first = warp * KEYS;
        u32 left = seen - b * POSITIONS;
        u32 count = left > first ? (left - first < KEYS ? left - first : KEYS) : 0;
        for (u32 key = 0; key < count; key++) {
            float k[N], sums[HEADS];
            load<N>(keys + static_cast<u64>(first + key) * stride, dim, a.d, k);
#pragma unroll
            for (u32 h = 0; h < HEADS; h++) {
                sums[h] = 0.0f;
#pragma unroll
                for (u32 i = 0; i < N; i++) {
                    sums[h] = fmaf(q[h][i], k[i], sums[h]);
                }
            }
            float score = eight_sums(sums, lane);
            if (lane % 4 == 0) {
                scores[warp][key][lane / 4] = score;
            }
        }
        __syncwarp();
#pragma unroll
        for (u32 h = 0; h < HEADS; h++) {
            float score = lane < count ? scores[warp][lane][h] : minus_infinity();
            float most = warp_max(score);
            float weight = lane < count ? expf(score - most) : 0.0f;
            float total = warp_sum(weight);
            if (lane < count) {
                scores[warp][lane][h] = weight;
            }
            if (lane == 0) {
                largest[warp][h] = most, totals[warp][h] = total;
            }
        }
        __syncwarp();
        float sums[HEADS][N];
#pragma unroll
        for (u32 h = 0; h < HEADS; h++) {
#pragma unroll
            for (u32 i = 0; i < N; i++) {
                sums[h][i] = 0.0f;
            }
        }
        for (u32 key = 0; key < count; key++) {
            float v[N];
            load<N>(vectors + static_cast<u64>(first + key) * stride, dim, a.d, v);
#pragma unroll
            for (u32 h = 0; h < HEADS; h++) {
                float weight = scores[warp][key][h];
#pragma unroll
                for (u32 i = 0; i < N; i++) {
                    sums[h][i] = fmaf(weight, v[i], sums[h][i]);
                }
            }
        }
        // The warps' sums in order.
        __syncthreads();
        float most[HEADS];
#pragma unroll
        for (u32 h = 0; h < HEADS; h++) {
            most[h] = minus_infinity();
            for (u32 w = 0; w < WARPS; w++) {
                most[h] = fmaxf(most[h], largest[w][h]);
            }
        }
        for (u32 w = 0; w < WARPS; w++) {
            if (warp == w) {
#pragma unroll
                for (u32 h = 0; h < HEADS; h++) {
                    float factor = rescale(largest[w][h], most[h]);
#pragma unroll
                    for (u32 i = 0; i < N; i++) {
                        float before = w == 0 ? 0.0f : values[h][WARP * i + lane];
                        values[h][WARP * i + lane] = fmaf(sums[h][i], factor, before);
                    }
                }
            }
            __syncthreads();
        }
        // Each thread goes on with N of the block's values.
#pragma unroll
        for (u32 i = 0; i < N; i++) {
            u32 h = (threadIdx.x + i * 256) / (N * WARP), at = (threadIdx.x + i * 256) % (N * WARP);
            float block_most = minus_infinity(), block_total = 0.0f;
            for (u32 w = 0; w < WARPS; w++) {
                block_most = fmaxf(block_most, largest[w][h]);
            }
            for (u32 w = 0; w < WARPS; w++) {
                block_total = fmaf(totals[w][h], rescale(largest[w][h], block_most), block_total);
            }
            float now = fmaxf(all_largest[i], block_most);
            float old = rescale(all_largest[i], now), fresh = rescale(block_most, now);
            all[i] = fmaf(all[i], old, values[h][at] * fresh);
            all_total[i] = fmaf(all_total[i], old, block_total * fresh);
            all_largest[i] = now;
        }
        __syncthreads();
    }
#pragma unroll
    for (u32 i = 0; i < N; i++) {
        u32 h = (threadIdx.x + i * 256) / (N * WARP), at = (threadIdx.x + i * 256) % (N * WARP);
        u32 to = at % WARP * N + at / WARP;
        if (h >= heads || to >= a.d) {
            continue;
        }
        if (a.partial) {
            u64 part = (static_cast<u64>(token) * a.nq + first_head + h) * a.parts + begin;
            float *out = a.partial + part * (2 + a.d);
            if (to == 0) {
                out[0] = all_largest[i], out[1] = all_total[i];
            }
            out[2 + to] = all[i];
        } else {
            a.out[(row * a.nq + first_head + h) * a.d + to] = all[i] / all_total[i];
        }
    }
}

KERNEL(256) attention_f16_4(const Attention a) { attend<__half, 4>(a); }
KERNEL(256) attention_f16_8(const Attention a) { attend<__half, 8>(a); }
KERNEL(256) attention_f32_4(const Attention a) { attend<float, 4>(a); }
KERNEL(256) attention_f32_8(const Attention a) { attend<float, 8>(a); }

// The results of the blocks of positions, in order, for a head of a token. The
// factors come first, so that the loads of values do not wait for them.
KERNEL(256) attention_merge(const Attention a) {
    static constexpr u32 TOGETHER = 256;
    __shared__ float largest[TOGETHER], totals[TOGETHER];
    __shared__ float old[TOGETHER], fresh[TOGETHER];
    u32 token = blockIdx.x / a.nq;
    u32 seen = a.first_position + token + 1;
    u32 blocks = (seen + POSITIONS - 1) / POSITIONS;
    const float *parts = a.partial + static_cast<u64>(blockIdx.x) * a.parts * (2 + a.d);
    float before = minus_infinity(), all = 0.0f, total = 0.0f;
    for (u32 first = 0; first < blocks; first += TOGETHER) {
        u32 count = blocks - first < TOGETHER ? blocks - first : TOGETHER;
        if (threadIdx.x < count) {
            const float *part = parts + static_cast<u64>(first + threadIdx.x) * (2 + a.d);
            largest[threadIdx.x] = part[0], totals[threadIdx.x] = part[1];
        }
        __syncthreads();
        if (threadIdx.x < count) {
            float past = before;
            for (u32 i = 0; i < threadIdx.x; i++) {
                past = fmaxf(past, largest[i]);
            }
            float now = fmaxf(past, largest[threadIdx.x]);
            old[threadIdx.x] = rescale(past, now);
            fresh[threadIdx.x] = rescale(largest[threadIdx.x], now);
        }
        for (u32 i = 0; i < count; i++) {
            before = fmaxf(before, largest[i]);
        }
        __syncthreads();
        for (u32 i = 0; i < count; i++) {
            const float *part = parts + static_cast<u64>(first + i) * (2 + a.d);
            if (threadIdx.x < a.d) {
                all = fmaf(all, old[i], part[2 + threadIdx.x] * fresh[i]);
            }
            total = fmaf(total, old[i], totals[i] * fresh[i]);
        }
        __syncthreads();
    }
    if (threadIdx.x < a.d) {
        u64 row = static_cast<u64>(a.first_row) * a.nq + blockIdx.x;
        a.out[row * a.d + threadIdx.x] = all / total;
    }
}

// Keys and values to their places, a block of threads per position.
template <class T>
static __device__ __forceinline__ T kept(float x);

template <>
__device__ __forceinline__ float kept<float>(float x) {
    return x;
}

template <>
__device__ __forceinline__ __half kept<__half>(float x) {
    return __float2half(x);
}

template <class T>
static __device__ __forceinline__ void append(const Append &a) {
    u32 position = a.first_position + blockIdx.x;
    u64 from = static_cast<u64>(a.first_row + blockIdx.x) * a.width;
    T *keys = reinterpret_cast<T *>(a.blocks[position / POSITIONS]);
    keys += static_cast<u64>(position % POSITIONS) * a.width;
    T *vectors = keys + static_cast<u64>(POSITIONS) * a.width;
    for (u32 i = threadIdx.x; i < a.width; i += blockDim.x) {
        keys[i] = kept<T>(a.k[from + i]);
        vectors[i] = kept<T>(a.v[from + i]);
    }
}

KERNEL(256) append_f16(const Append a) { append<__half>(a); }
KERNEL(256) append_f32(const Append a) { append<float>(a); }
