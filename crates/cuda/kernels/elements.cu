// Element-wise operations and those that move rows. A thread per element; `len`
// elements, rows of `width`.

#include "arguments.cuh"

static __device__ __forceinline__ u64 element() {
    return static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// a += b
KERNEL(256) add(const Elements e) {
    u64 i = element();
    if (i < e.len) {
        e.a[i] += e.b[i];
    }
}

// a *= sigmoid(b)
KERNEL(256) sigmoid_gate(const Elements e) {
    u64 i = element();
    if (i < e.len) {
        e.a[i] *= sigmoid(e.b[i]);
    }
}

// a = silu(a) * b
KERNEL(256) silu_mul(const Elements e) {
    u64 i = element();
    if (i < e.len) {
        e.a[i] = silu(e.a[i]) * e.b[i];
    }
}

// Rows of 2 * width to a, the first halves, and out, the second ones.
KERNEL(256) split_gate(const Elements e) {
    u64 i = element();
    if (i < e.len) {
        u64 from = i / e.width * 2 * e.width + i % e.width;
        e.a[i] = e.b[from];
        e.out[i] = e.b[from + e.width];
    }
}

// What the experts of each token say, in the order of their choice, and the shared
// one, to the residual stream.
KERNEL(256) add_experts(const Mix m) {
    u64 i = element();
    if (i >= m.len) {
        return;
    }
    u64 t = i / m.width, column = i % m.width;
    float sum = 0.0f;
    auto take = [&](u64 choice, u32 row) {
        if (row < m.limit) {
            sum = fmaf(m.weights[choice], m.outputs[static_cast<u64>(row) * m.width + column], sum);
        }
    };
    if (m.rows) {
        for (u32 j = 0; j < m.each; j++) {
            take(t * m.each + j, m.rows[t * m.each + j]);
        }
    } else {
        // With numbers known to the compiler, or all of it would be copied to memory.
#pragma unroll
        for (u32 j = 0; j < FEW; j++) {
            if (j < m.each) {
                take(j, m.few[j]);
            }
        }
    }
    if (m.shared) {
        sum = fmaf(sigmoid(m.gate[t]), m.shared[i], sum);
    }
    m.x[i] += sum;
}

// out[t] = b[rows[t]]
KERNEL(256) select_rows(const Elements e) {
    u64 i = element();
    if (i < e.len) {
        u32 row = e.rows[i / e.width];
        e.out[i] = row < e.limit ? e.b[static_cast<u64>(row) * e.width + i % e.width] : 0.0f;
    }
}

// out[t, i] = b[t, rows[i]]
KERNEL(256) order_columns(const Elements e) {
    u64 i = element();
    if (i < e.len) {
        u32 column = e.rows[i % e.width];
        e.out[i] = column < e.width ? e.b[i / e.width * e.width + column] : 0.0f;
    }
}

// Rotates dimension j with j + half by the angles of the row's position.
KERNEL(256) rope(const Rope a) {
    u64 i = element();
    u32 per_row = a.heads * a.half;
    if (i >= static_cast<u64>(a.rows) * per_row) {
        return;
    }
    u32 row = i / per_row, head = i % per_row / a.half, j = i % a.half;
    const float *angles = a.table + static_cast<u64>(a.first_position + row) * 2 * a.half;
    float cos = angles[j], sin = angles[a.half + j];
    float *x = a.x + (static_cast<u64>(a.first_row + row) * a.heads + head) * a.dim;
    float first = x[j], second = x[a.half + j];
    x[j] = first * cos - second * sin;
    x[a.half + j] = second * cos + first * sin;
}
