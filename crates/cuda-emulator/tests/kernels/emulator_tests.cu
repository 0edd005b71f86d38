// Kernels for the tests of the emulator itself: right ones, and ones with each
// mistake that it must find.

#include <cuda_fp16.h>

#define TESTED(threads) extern "C" __global__ void __launch_bounds__(threads)

struct Vectors {
    const float *a, *b;
    float *out;
    unsigned n;
};

TESTED(256) emulator_add(Vectors v) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < v.n) v.out[i] = v.a[i] + v.b[i];
}

// out[row] = sum of a[row], over warps by shuffles and then through shared memory.
template <unsigned WARPS>
static __device__ __forceinline__ float block_sum(float x) {
    __shared__ float sums[WARPS];
    for (unsigned lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0.0f;
    for (unsigned i = 0; i < WARPS; i++) sum += sums[i];
    return sum;
}

TESTED(128) emulator_row_sums(const float *a, float *out, unsigned columns) {
    float x = 0.0f;
    for (unsigned i = threadIdx.x; i < columns; i += blockDim.x) x += a[blockIdx.x * columns + i];
    x = block_sum<4>(x);
    if (threadIdx.x == 0) out[blockIdx.x] = x;
}

// Each thread reads what its neighbour wrote; right only with the barrier.
TESTED(256) emulator_reverse(float *a, unsigned barrier) {
    __shared__ float all[256];
    all[threadIdx.x] = a[threadIdx.x];
    if (barrier) __syncthreads();
    a[threadIdx.x] = all[255 - threadIdx.x];
}

// How a warp's other functions are imitated: eight results per lane.
TESTED(32) emulator_warp(unsigned *out) {
    unsigned lane = threadIdx.x;
    unsigned *mine = out + 8 * lane;
    mine[0] = __shfl_sync(0xffffffffu, lane * 10, 3);
    mine[1] = __shfl_down_sync(0xffffffffu, lane, 4);
    mine[2] = __shfl_up_sync(0xffffffffu, lane, 4, 8);
    mine[3] = __ballot_sync(0xffffffffu, lane % 3 == 0);
    mine[4] = __any_sync(0xffffffffu, lane == 31) && !__all_sync(0xffffffffu, lane == 31);
    if (lane < 16) {
        mine[5] = __shfl_xor_sync(0x0000ffffu, lane, 1);
    } else {
        mine[5] = __shfl_xor_sync(0xffff0000u, lane, 2);
    }
    mine[6] = static_cast<unsigned>(__dp4a(static_cast<int>(0xff02fe03u), 0x01020304, 100));
    mine[7] = __half_as_ushort(__float2half(0.1f * static_cast<float>(lane)));
}

TESTED(1) emulator_halves(const unsigned short *halves, float *out, unsigned n) {
    for (unsigned i = 0; i < n; i++) out[i] = __half2float(__ushort_as_half(halves[i]));
}

TESTED(64) emulator_reads_unwritten_shared(float *out) {
    __shared__ float all[64];
    if (threadIdx.x < 32) all[threadIdx.x] = 1.0f;
    __syncthreads();
    out[blockIdx.x * 64 + threadIdx.x] = all[threadIdx.x];
}

// Mistakes.

TESTED(64) emulator_leaves_early(float *out) {
    if (threadIdx.x == 7) return;
    __syncthreads();
    out[threadIdx.x] = 1.0f;
}

TESTED(64) emulator_two_barriers(float *out) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    out[threadIdx.x] = 1.0f;
}

TESTED(64) emulator_shuffles_without_all(float *out) {
    float x = 1.0f;
    if (threadIdx.x != 40) x = __shfl_xor_sync(0xffffffffu, x, 1);
    __syncthreads();
    out[threadIdx.x] = x;
}

TESTED(48) emulator_half_a_warp(float *out) { out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1); }

TESTED(1) emulator_writes_at(float *out, long long index) { out[index] = 1.0f; }

TESTED(1) emulator_reads_word_at(const unsigned char *bytes, unsigned offset, unsigned *out) {
    *out = *reinterpret_cast<const unsigned *>(bytes + offset);
}

TESTED(32) emulator_index_outside(float *out, unsigned index) {
    __shared__ float all[32];
    all[threadIdx.x] = 1.0f;
    __syncthreads();
    out[threadIdx.x] = all[index];
}
