// The choice of experts: softmax over all, then the most probable, of equals the
// lower number first. A warp per token.

#include "arguments.cuh"

static constexpr u32 MOST_EXPERTS = 2048;

KERNEL(32) router_topk(const Router a) {
    __shared__ float p[MOST_EXPERTS];
    u32 lane = threadIdx.x;
    const float *logits = a.logits + static_cast<u64>(blockIdx.x) * a.experts;
    float most = minus_infinity();
    for (u32 e = lane; e < a.experts; e += WARP) {
        most = fmaxf(most, logits[e]);
    }
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, lanes));
    }
    float sum = 0.0f;
    for (u32 e = lane; e < a.experts; e += WARP) {
        float x = expf(logits[e] - most);
        // What is not a number counts as the lowest.
        x = x == x ? x : 0.0f;
        p[e] = x;
        sum += x;
    }
    sum = warp_sum(sum);
    for (u32 e = lane; e < a.experts; e += WARP) {
        // Without a finite logit any choice is as good, but it has to be a choice.
        p[e] = sum > 0.0f ? p[e] / sum : 1.0f / static_cast<float>(a.experts);
    }
    __syncwarp();
    u32 *ids = a.ids + static_cast<u64>(blockIdx.x) * a.chosen;
    float *weights = a.weights + static_cast<u64>(blockIdx.x) * a.chosen;
    float total = 0.0f;
    for (u32 j = 0; j < a.chosen; j++) {
        float best = -1.0f;
        u32 id = MOST_EXPERTS;
        for (u32 e = lane; e < a.experts; e += WARP) {
            if (p[e] > best) {
                best = p[e], id = e;
            }
        }
        for (int lanes = 16; lanes > 0; lanes /= 2) {
            float other = __shfl_xor_sync(ALL_LANES, best, lanes);
            u32 other_id = __shfl_xor_sync(ALL_LANES, id, lanes);
            if (other > best || (other == best && other_id < id)) {
                best = other, id = other_id;
            }
        }
        if (lane == id % WARP) {
            ids[j] = id;
            weights[j] = best;
            // Never again: probabilities are not negative.
            p[id] = -1.0f;
        }
        total += best;
        __syncwarp();
    }
    if (a.normalise) {
        for (u32 j = lane; j < a.chosen; j += WARP) {
            weights[j] /= total;
        }
    }
}
