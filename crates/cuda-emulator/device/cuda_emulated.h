// CUDA C++ for g++: what the kernels of this project use of the language, of the
// device's functions and of cuda_fp16.h. Threads of a block are fibers, see
// runtime/block.h; only one of them runs at a time.

#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tuple>
#include <type_traits>
#include <utility>

#include "../runtime/block.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
// One section, so that it can be filled with NaN before every block.
#define __shared__ static __attribute__((section("shared_memory")))

struct uchar4 { unsigned char x, y, z, w; } __align__(4);
struct char4 { signed char x, y, z, w; } __align__(4);
struct short2 { short x, y; } __align__(4);
struct ushort2 { unsigned short x, y; } __align__(4);
struct ushort4 { unsigned short x, y, z, w; } __align__(8);
struct int2 { int x, y; } __align__(8);
struct int4 { int x, y, z, w; } __align__(16);
struct uint2 { unsigned x, y; } __align__(8);
struct uint4 { unsigned x, y, z, w; } __align__(16);
struct float2 { float x, y; } __align__(8);
struct float3 { float x, y, z; };
struct float4 { float x, y, z, w; } __align__(16);
struct ulonglong2 { unsigned long long x, y; } __align__(16);

static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

#define threadIdx (emulated::current->thread)
#define blockIdx (emulated::block.index)
#define blockDim (emulated::block.threads)
#define gridDim (emulated::block.grid)
#define warpSize 32

// Where threads meet. The compiler must neither keep memory in registers across
// these nor move accesses over them.

#define EMULATED_FENCE asm volatile("" ::: "memory")
#define EMULATED_AT int line = __builtin_LINE(), const char *file = __builtin_FILE()

static inline void __syncthreads(EMULATED_AT) {
    EMULATED_FENCE;
    emulated::meet_block(0, {file, line});
    EMULATED_FENCE;
}

static inline int __syncthreads_count(int predicate, EMULATED_AT) {
    EMULATED_FENCE;
    unsigned count = emulated::meet_block(predicate != 0, {file, line});
    EMULATED_FENCE;
    return static_cast<int>(count);
}

static inline int __syncthreads_or(int predicate, EMULATED_AT) {
    return __syncthreads_count(predicate, line, file) != 0;
}

static inline int __syncthreads_and(int predicate, EMULATED_AT) {
    return __syncthreads_count(predicate == 0, line, file) == 0;
}

static inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATED_AT) {
    EMULATED_FENCE;
    emulated::meet_warp(mask, emulated::Meeting::sync, 0, 0, {file, line});
    EMULATED_FENCE;
}

namespace emulated {

template <class T>
static inline T exchange(unsigned mask, T value, unsigned source, Place place) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    uint64_t given = 0;
    memcpy(&given, &value, sizeof(T));
    EMULATED_FENCE;
    uint64_t received = meet_warp(mask, Meeting::shuffle, given, source, place);
    EMULATED_FENCE;
    memcpy(&value, &received, sizeof(T));
    return value;
}


}  // namespace emulated

template <class T>
static inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, EMULATED_AT) {
    unsigned own = emulated::current->lane;
    unsigned part = own & ~(static_cast<unsigned>(width) - 1);
    unsigned source = part + (static_cast<unsigned>(lane) & (static_cast<unsigned>(width) - 1));
    return emulated::exchange(mask, value, source, {file, line});
}

template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, EMULATED_AT) {
    unsigned own = emulated::current->lane;
    unsigned source = own ^ static_cast<unsigned>(lanes);
    // A lane of a part further up cannot be read.
    if (source / width > own / width) source = own;
    return emulated::exchange(mask, value, source, {file, line});
}

template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32, EMULATED_AT) {
    unsigned own = emulated::current->lane;
    unsigned source = own % width + lanes < static_cast<unsigned>(width) ? own + lanes : own;
    return emulated::exchange(mask, value, source, {file, line});
}

template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32, EMULATED_AT) {
    unsigned own = emulated::current->lane;
    unsigned source = own % width >= lanes ? own - lanes : own;
    return emulated::exchange(mask, value, source, {file, line});
}

static inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATED_AT) {
    EMULATED_FENCE;
    uint64_t bits = emulated::meet_warp(mask, emulated::Meeting::ballot, predicate != 0, 0, {file, line});
    EMULATED_FENCE;
    return static_cast<unsigned>(bits);
}

static inline int __any_sync(unsigned mask, int predicate, EMULATED_AT) {
    return __ballot_sync(mask, predicate, line, file) != 0;
}

static inline int __all_sync(unsigned mask, int predicate, EMULATED_AT) {
    return __ballot_sync(mask, predicate == 0, line, file) == 0;
}

static inline void __threadfence() { EMULATED_FENCE; }
static inline void __threadfence_block() { EMULATED_FENCE; }

// Blocks and threads take turns, so plain arithmetic is atomic.

template <class T>
static inline T atomicAdd(T *at, std::common_type_t<T> value) {
    T old = *at;
    *at = old + value;
    return old;
}
template <class T>
static inline T atomicMax(T *at, std::common_type_t<T> value) {
    T old = *at;
    if (value > old) *at = value;
    return old;
}
template <class T>
static inline T atomicMin(T *at, std::common_type_t<T> value) {
    T old = *at;
    if (value < old) *at = value;
    return old;
}
template <class T>
static inline T atomicExch(T *at, std::common_type_t<T> value) {
    T old = *at;
    *at = value;
    return old;
}
template <class T>
static inline T atomicCAS(T *at, std::common_type_t<T> expected, std::common_type_t<T> value) {
    T old = *at;
    if (old == expected) *at = value;
    return old;
}

// Numbers.

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
static inline unsigned long long min(unsigned long long a, unsigned long long b) { return a < b ? a : b; }
static inline unsigned long long max(unsigned long long a, unsigned long long b) { return a > b ? a : b; }
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }

static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __saturatef(float x) { return fminf(fmaxf(x, 0.0f), 1.0f); }
// The C library has other functions of these names.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __powf(x, y) powf(x, y)

static inline int __float2int_rn(float x) { return static_cast<int>(rintf(x)); }
static inline int __float2int_rz(float x) { return static_cast<int>(x); }
static inline float __int2float_rn(int x) { return static_cast<float>(x); }

template <class To, class From>
static inline To emulated_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "of one size");
    To to;
    memcpy(&to, &from, sizeof(To));
    return to;
}
static inline unsigned __float_as_uint(float x) { return emulated_bits<unsigned>(x); }
static inline int __float_as_int(float x) { return emulated_bits<int>(x); }
static inline float __uint_as_float(unsigned x) { return emulated_bits<float>(x); }
static inline float __int_as_float(int x) { return emulated_bits<float>(x); }

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __brev(unsigned x) {
    unsigned out = 0;
    for (int i = 0; i < 32; i++) out |= (x >> i & 1u) << (31 - i);
    return out;
}

static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    uint64_t both = static_cast<uint64_t>(b) << 32 | a;
    unsigned out = 0;
    for (unsigned i = 0; i < 4; i++) {
        unsigned pick = selector >> (4 * i) & 15u;
        unsigned byte = static_cast<unsigned>(both >> (8 * (pick & 7u))) & 255u;
        if (pick & 8u) byte = byte & 128u ? 255u : 0u;
        out |= byte << (8 * i);
    }
    return out;
}

static inline int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; i++) {
        c += static_cast<int8_t>(static_cast<unsigned>(a) >> (8 * i)) *
             static_cast<int8_t>(static_cast<unsigned>(b) >> (8 * i));
    }
    return c;
}
static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
    for (int i = 0; i < 4; i++) c += (a >> (8 * i) & 255u) * (b >> (8 * i) & 255u);
    return c;
}

template <class T>
static inline T __ldg(const T *at) { return *at; }
template <class T>
static inline T __ldcs(const T *at) { return *at; }

struct __half { unsigned short bits; };
typedef __half half;
struct __half2 { __half x, y; } __align__(4);
typedef __half2 half2;

static inline float __half2float(__half x) { return static_cast<float>(emulated_bits<_Float16>(x.bits)); }
static inline __half __float2half(float x) { return {emulated_bits<unsigned short>(static_cast<_Float16>(x))}; }
static inline __half __float2half_rn(float x) { return __float2half(x); }
static inline float2 __half22float2(__half2 x) { return {__half2float(x.x), __half2float(x.y)}; }
static inline __half2 __floats2half2_rn(float x, float y) { return {__float2half(x), __float2half(y)}; }
static inline unsigned short __half_as_ushort(__half x) { return x.bits; }
static inline __half __ushort_as_half(unsigned short x) { return {x}; }

// Kernels are called with copies of their arguments, made when they are queued.

namespace emulated {

template <class... Args>
static std::function<void()> bind(void (*kernel)(Args...), void **arguments) {
    size_t at = 0;
    (void)at;
    // Braces keep the order of evaluation.
    std::tuple<Args...> copies{*static_cast<std::remove_reference_t<Args> *>(arguments[at++])...};
    return [kernel, copies] { std::apply(kernel, copies); };
}

}  // namespace emulated
