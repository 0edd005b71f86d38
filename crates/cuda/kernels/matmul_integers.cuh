// Products of integer weights in tiles with rounded activations.
//
// A block of 128 threads computes one tile of sixteen rows. Half a warp has a lane
// for each row and takes every eighth unit of groups, so its loads of a word are 64
// neighbouring bytes and those of activations the same for all lanes. Within a group
// the products are integers and exact; the eight partial sums of a row are added in
// order. A result depends on nothing but the number of columns: not on the number
// `M` of activation rows that are computed together, which is there to take a
// weight apart once for all of them.

#pragma once

#include "arguments.cuh"
#include "formats.cuh"

static constexpr u32 TILE = 16;
static constexpr u32 PARTS = 8;

static __device__ __forceinline__ Piece piece_of(const Work &work, u32 i) {
    return work.table ? work.table[i] : work.few[i];
}

// The row of x that result `m` is of; beyond the last, the last.
static __device__ __forceinline__ u64 token_of(const Piece &p, u32 m) {
    u32 i = m < p.count ? m : p.count - 1;
    return p.tokens ? p.tokens[i] : p.first + i;
}

// `acc` plus the four products of signed bytes. NVRTC declares __dp4a and does not
// define it, so the instruction is written out.
static __device__ __forceinline__ int dot_word(u32 q, int x, int acc) {
#ifdef __CUDACC_RTC__
    int sum;
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(sum) : "r"(q), "r"(x), "r"(acc));
    return sum;
#else
    return __dp4a(static_cast<int>(q), x, acc);
#endif
}

static __device__ __forceinline__ int dot(int acc, const u32 *q, int4 x) {
    acc = dot_word(q[0], x.x, acc);
    acc = dot_word(q[1], x.y, acc);
    acc = dot_word(q[2], x.z, acc);
    return dot_word(q[3], x.w, acc);
}

template <class F, u32 M>
static __device__ __forceinline__ void multiply_integers(const Work &work) {
    const Piece p = piece_of(work, blockIdx.y);
    u32 row = blockIdx.x * TILE;
    if (row >= p.rows) {
        return;
    }
    u32 lane = threadIdx.x % TILE, part = threadIdx.x / TILE;
    u32 groups = work.cols / 32;
    const u8 *tile = p.weights + static_cast<u64>(row) * (groups / F::GROUPS) * F::BYTES;
    const u8 *x[M];
    const int4 *about[M];
    float sums[M];
#pragma unroll
    for (u32 m = 0; m < M; m++) {
        u64 token = token_of(p, m);
        x[m] = static_cast<const u8 *>(p.x) + token * work.cols;
        about[m] = p.about + token * groups;
        sums[m] = 0.0f;
    }
    for (u32 unit = part; unit < groups / F::UNIT; unit += PARTS) {
        const u8 *block = tile + static_cast<u64>(unit * F::UNIT / F::GROUPS) * TILE * F::BYTES;
        u32 first = unit * F::UNIT % F::GROUPS;
#pragma unroll
        for (u32 j = 0; j < F::UNIT; j++) {
            u32 g = F::UNIT > 1 ? first | j : first;
            u32 q[8], finer[8];
#pragma unroll
            for (u32 w = 0; w < 8; w++) {
                q[w] = F::quants(block, lane, g, w);
                if (F::FINER) {
                    finer[w] = F::finer(block, lane, g, w);
                }
            }
            float d[2], shift[2];
            F::scales(block, lane, g, d, shift);
            u32 group = unit * F::UNIT + j;
#pragma unroll
            for (u32 m = 0; m < M; m++) {
                const int4 *columns = reinterpret_cast<const int4 *>(x[m] + 32 * group);
                int4 low = columns[0], high = columns[1], of = about[m][group];
                int a = dot(0, q, low), b = dot(0, q + 4, high);
                if (F::FINER) {
                    a = dot(a * 128, finer, low);
                    b = dot(b * 128, finer + 4, high);
                }
                if (F::ABOVE >= 0) {
                    a += of.z * (1 << (F::ABOVE & 31));
                    b += of.w * (1 << (F::ABOVE & 31));
                }
                float scale = bits_float(of.x);
                if (F::HALVES) {
                    float sum = fmaf(static_cast<float>(b), d[1], static_cast<float>(a) * d[0]);
                    if (F::AFFINE) {
                        sum -= fmaf(shift[0], static_cast<float>(of.z),
                                    shift[1] * static_cast<float>(of.w));
                    }
                    sums[m] = fmaf(sum, scale, sums[m]);
                } else {
                    if (F::AFFINE) {
                        sums[m] = fmaf(shift[0], bits_float(of.y), sums[m]);
                    }
                    sums[m] = fmaf(static_cast<float>(a + b), d[0] * scale, sums[m]);
                }
            }
        }
    }
    __shared__ float partial[PARTS][M][TILE];
#pragma unroll
    for (u32 m = 0; m < M; m++) {
        partial[part][m][lane] = sums[m];
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < M * TILE; i += blockDim.x) {
        u32 m = i / TILE, r = i % TILE;
        float sum = 0.0f;
        for (u32 k = 0; k < PARTS; k++) {
            sum += partial[k][m][r];
        }
        if (m < p.count && row + r < p.rows) {
            p.out[static_cast<u64>(m) * p.rows + row + r] = sum;
        }
    }
}

// Four columns of a row of a tile as floats.
template <class F>
static __device__ __forceinline__ void values_of(const u8 *b, u32 r, u32 g, u32 w, float *to) {
    u32 q = F::quants(b, r, g, w);
    float d[2], shift[2];
    F::scales(b, r, g, d, shift);
    u32 half = F::HALVES ? w / 4 : 0;
    for (u32 i = 0; i < 4; i++) {
        int number = static_cast<signed char>(q >> (8 * i) & 255);
        if (F::ABOVE >= 0) {
            number -= 1 << (F::ABOVE & 31);
        }
        float value = d[half] * static_cast<float>(number);
        to[i] = F::AFFINE ? value + shift[half] : value;
    }
}

// Of reals the exact ones, not those of the products.
template <class Table>
static __device__ __forceinline__ void reals_of(const u8 *b, u32 r, u32 g, u32 w, float *to) {
    u32 q = Codebook<Table>::code(b, r, g, w);
    float scale = Codebook<Table>::scale(b, r, g);
    for (u32 i = 0; i < 4; i++) {
        to[i] = Table::real(q >> (8 * i) & 15) * scale;
    }
}

template <>
__device__ __forceinline__ void values_of<NF4>(const u8 *b, u32 r, u32 g, u32 w, float *to) {
    reals_of<NormalFloat>(b, r, g, w, to);
}

template <>
__device__ __forceinline__ void values_of<FP4>(const u8 *b, u32 r, u32 g, u32 w, float *to) {
    reals_of<Float4>(b, r, g, w, to);
}

// A block of threads per row; of a row that does not exist, zeros.
template <class F>
static __device__ __forceinline__ void unpack_rows(const Rows &a) {
    u32 id = a.ids[blockIdx.x];
    float *out = a.out + static_cast<u64>(blockIdx.x) * a.cols;
    u32 blocks = a.cols / 32 / F::GROUPS;
    const u8 *tile = a.weights + static_cast<u64>(id / TILE) * TILE * blocks * F::BYTES;
    for (u32 i = threadIdx.x; i < a.cols / 4; i += blockDim.x) {
        float four[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (id < a.rows) {
            u32 group = i / 8;
            const u8 *block = tile + static_cast<u64>(group / F::GROUPS) * TILE * F::BYTES;
            values_of<F>(block, id % TILE, group % F::GROUPS, i % 8, four);
        }
        for (u32 k = 0; k < 4; k++) {
            out[4 * i + k] = four[k];
        }
    }
}

#define INTEGER_KERNELS(name, F)                                                                   \
    KERNEL(128) matmul_##name##_1(const Work work) { multiply_integers<F, 1>(work); }              \
    KERNEL(128) matmul_##name##_4(const Work work) { multiply_integers<F, 4>(work); }              \
    KERNEL(128) matmul_##name##_16(const Work work) { multiply_integers<F, 16>(work); }            \
    KERNEL(256) rows_##name(const Rows a) { unpack_rows<F>(a); }
