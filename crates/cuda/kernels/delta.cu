// The recurrent half of gated delta networks.

#include "arguments.cuh"

// A thread per channel. The window of past inputs stays in registers; as it begins
// with the state and ends as the state, no two threads share any of it.
static constexpr u32 MOST_TAPS = 8;

KERNEL(128) causal_conv_silu(const Conv a) {
    u32 channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= a.channels) {
        return;
    }
    float weights[MOST_TAPS], window[MOST_TAPS];
#pragma unroll
    for (u32 j = 0; j < MOST_TAPS; j++) {
        weights[j] = j < a.taps ? a.weight[static_cast<u64>(channel) * a.taps + j] : 0.0f;
        window[j] = j + 1 < a.taps ? a.state[static_cast<u64>(j) * a.channels + channel] : 0.0f;
    }
    for (u32 t = 0; t < a.rows; t++) {
        u64 at = static_cast<u64>(a.first_row + t) * a.channels + channel;
        float x = a.x[at], sum = 0.0f;
#pragma unroll
        for (u32 j = 0; j < MOST_TAPS; j++) {
            if (j + 1 == a.taps) {
                window[j] = x;
            }
            sum = fmaf(weights[j], window[j], sum);
        }
#pragma unroll
        for (u32 j = 0; j + 1 < MOST_TAPS; j++) {
            window[j] = window[j + 1];
        }
        a.out[at] = silu(sum);
    }
#pragma unroll
    for (u32 j = 0; j < MOST_TAPS; j++) {
        if (j + 1 < a.taps) {
            a.state[static_cast<u64>(j) * a.channels + channel] = window[j];
        }
    }
}

// The logarithm of the decay: -exp(a_log) * softplus(a + dt_bias).
static __device__ __forceinline__ float log_decay(float a, float a_log, float dt_bias) {
    float x = a + dt_bias;
    // Beyond 20 the two are equal in single precision.
    float softplus = x > 20.0f ? x : log1pf(expf(x));
    return -expf(a_log) * softplus;
}

// The gated delta rule. A block takes 32 columns of one head's state through all
// tokens; four neighbouring lanes share a column, each with ROWS of its numbers in
// registers, so the state is read and written once per call. With `S` the state
// before a token, its output is `exp(g) S^T q + (k . q) delta`: one look at the state
// serves both what it recalls and what it answers.
template <u32 ROWS>
static __device__ __forceinline__ void delta(const Delta &a) {
    __shared__ float queries[2][4 * ROWS], keys[2][4 * ROWS];
    __shared__ float decays[2], strengths[2];
    u32 lane = threadIdx.x % WARP;
    u32 part = lane % 4;
    u32 head = blockIdx.x, key_head = head / (a.value_heads / a.key_heads);
    u32 column = blockIdx.y * 32 + threadIdx.x / WARP * 8 + lane / 4;
    bool here = column < a.value_dim;
    u32 key_width = a.key_heads * a.key_dim;
    u64 stride = 2 * key_width + static_cast<u64>(a.value_heads) * a.value_dim;
    float *state = a.state + static_cast<u64>(head) * a.key_dim * a.value_dim + column;

    float s[ROWS];
#pragma unroll
    for (u32 i = 0; i < ROWS; i++) {
        u32 row = part + 4 * i;
        s[i] = here && row < a.key_dim ? state[static_cast<u64>(row) * a.value_dim] : 0.0f;
    }
    for (u32 t = 0; t < a.rows; t++) {
        const float *qkv = a.qkv + (a.first_row + t) * stride;
        // Of two buffers the other one may still be read.
        float *query = queries[t % 2], *key = keys[t % 2];
        for (u32 i = threadIdx.x; i < 4 * ROWS; i += blockDim.x) {
            bool inside = i < a.key_dim;
            query[i] = inside ? qkv[key_head * a.key_dim + i] : 0.0f;
            key[i] = inside ? qkv[key_width + key_head * a.key_dim + i] : 0.0f;
        }
        if (threadIdx.x == 0) {
            u64 gate = static_cast<u64>(a.first_row + t) * a.value_heads + head;
            decays[t % 2] = expf(log_decay(a.a[gate], a.a_log[head], a.dt_bias[head]));
            strengths[t % 2] = sigmoid(a.b[gate]);
        }
        __syncthreads();
        float qq = 0.0f, kk = 0.0f, kq = 0.0f;
        for (u32 i = lane; i < 4 * ROWS; i += WARP) {
            qq = fmaf(query[i], query[i], qq);
            kk = fmaf(key[i], key[i], kk);
            kq = fmaf(key[i], query[i], kq);
        }
        float query_factor = 1.0f / sqrtf(static_cast<float>(a.key_dim)) / sqrtf(warp_sum(qq) + 1e-6f);
        float key_factor = 1.0f / sqrtf(warp_sum(kk) + 1e-6f);
        kq = warp_sum(kq) * query_factor * key_factor;

        float recalled = 0.0f, asked = 0.0f;
#pragma unroll
        for (u32 i = 0; i < ROWS; i++) {
            recalled = fmaf(s[i], key[part + 4 * i] * key_factor, recalled);
            asked = fmaf(s[i], query[part + 4 * i] * query_factor, asked);
        }
        recalled += __shfl_xor_sync(ALL_LANES, recalled, 1);
        recalled += __shfl_xor_sync(ALL_LANES, recalled, 2);
        asked += __shfl_xor_sync(ALL_LANES, asked, 1);
        asked += __shfl_xor_sync(ALL_LANES, asked, 2);

        float decay = decays[t % 2], beta = strengths[t % 2];
        u64 at = static_cast<u64>(head) * a.value_dim + column;
        float v = here ? qkv[2 * key_width + at] : 0.0f;
        float change = (v - recalled * decay) * beta;
        if (here && part == 0) {
            u64 row = static_cast<u64>(a.first_row + t) * a.value_heads * a.value_dim;
            a.out[row + at] = fmaf(change, kq, asked * decay);
        }
#pragma unroll
        for (u32 i = 0; i < ROWS; i++) {
            s[i] = fmaf(change, key[part + 4 * i] * key_factor, s[i] * decay);
        }
    }
#pragma unroll
    for (u32 i = 0; i < ROWS; i++) {
        u32 row = part + 4 * i;
        if (here && row < a.key_dim) {
            state[static_cast<u64>(row) * a.value_dim] = s[i];
        }
    }
}

KERNEL(128) delta_rule_32(const Delta a) { delta<32>(a); }
KERNEL(128) delta_rule_64(const Delta a) { delta<64>(a); }
