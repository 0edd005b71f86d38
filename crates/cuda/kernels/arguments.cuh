// The structures that kernels take, one each, by value. The same in
// src/arguments.rs: pointers first, so that there are no gaps.

#pragma once

#include "common.cuh"

// Rows of one matrix product: `out[i] = x[token i] * weights^T`.
struct Piece {
    const u8 *weights;
    const void *x;      // bytes of rounded activations, or floats: [.., cols]
    const int4 *about;  // of each group of 32 activations, see activations.cu
    const u32 *tokens;  // rows of x; without it `first` and those that follow
    float *out;         // [count, rows]
    u32 rows;
    u32 first;
    u32 count;
    u32 unused;
};

static constexpr u32 FEW = 16;

// Products of equal format and width. A handful travels with the launch.
struct Work {
    const Piece *table;
    u32 cols;
    u32 unused;
    Piece few[FEW];
};

struct Quantize {
    const float *x;
    const float *up;  // with it, silu(x) * up is taken instead of x
    const u32 *order; // with it, column i is x[order[i]]
    float *floats;    // with it, what is rounded is also written here
    u8 *q;
    int4 *about;
    u32 rows;
    u32 cols;
};

struct Rows {
    const u8 *weights;
    const u32 *ids;
    float *out;
    u32 rows;
    u32 cols;
};

struct Norm {
    float *x;
    const float *plus; // with it, it is added to x first, and written back
    const float *gate; // with it, the result is multiplied with silu(gate)
    const float *weight;
    float *out;
    u8 *q;       // with it, the result is also rounded; the width is whole groups
    int4 *about;
    u32 rows;
    u32 width;
    float eps;
    u32 unused;
};

// Element-wise operations and those that move rows.
struct Elements {
    float *a;
    const float *b;
    const float *c;
    float *out;
    const u32 *rows;
    u32 len;
    u32 width;
    u32 each;
    u32 limit;
};

// x[t] += sum over j of weights[t, j] * outputs[rows[t, j]] + sigmoid(gate[t]) * shared[t]
struct Mix {
    float *x;
    const float *outputs;
    const float *weights; // [tokens, each]
    const float *shared;  // or none
    const float *gate;
    const u32 *rows;      // or none: those of a single token travel with the launch
    u32 len;
    u32 width;
    u32 each;
    u32 limit; // rows of outputs; what is beyond counts nothing
    u32 few[FEW];
};

struct Rope {
    float *x;
    const float *table; // [positions, cosines | sines]
    u32 first_row;
    u32 rows;
    u32 heads;
    u32 dim;
    u32 half;
    u32 first_position;
};

struct Append {
    const u64 *blocks;
    const float *k;
    const float *v;
    u32 first_row;
    u32 rows;
    u32 width;
    u32 first_position;
};

struct Attention {
    const u64 *blocks; // addresses of 256 positions each: keys, then values
    const float *q;    // [tokens, nq, d]
    float *out;
    float *partial;    // [rows, nq, blocks, 2 + d], or none: one block does all keys
    u32 first_row;
    u32 rows;
    u32 nq;
    u32 nkv;
    u32 d;
    u32 first_position;
    u32 parts; // blocks of positions
    float scale;
};

struct Conv {
    const float *x;
    const float *weight;
    float *state;
    float *out;
    u32 first_row;
    u32 rows;
    u32 channels;
    u32 taps;
};

struct Delta {
    const float *qkv;
    const float *a; // [tokens, value_heads], as b
    const float *b;
    const float *a_log;
    const float *dt_bias;
    float *state;
    float *out;
    u32 first_row;
    u32 rows;
    u32 key_heads;
    u32 value_heads;
    u32 key_dim;
    u32 value_dim;
};

struct Router {
    const float *logits;
    u32 *ids;
    float *weights;
    u32 experts;
    u32 chosen;
    u32 normalise;
    u32 unused;
};

static_assert(sizeof(Piece) == 56, "as in arguments.rs");
static_assert(sizeof(Work) == 16 + FEW * sizeof(Piece), "as in arguments.rs");
static_assert(sizeof(Quantize) == 56, "as in arguments.rs");
static_assert(sizeof(Rows) == 32, "as in arguments.rs");
static_assert(sizeof(Norm) == 72, "as in arguments.rs");
static_assert(sizeof(Mix) == 128, "as in arguments.rs");
static_assert(sizeof(Elements) == 56, "as in arguments.rs");
static_assert(sizeof(Rope) == 40, "as in arguments.rs");
static_assert(sizeof(Append) == 40, "as in arguments.rs");
static_assert(sizeof(Attention) == 64, "as in arguments.rs");
static_assert(sizeof(Conv) == 48, "as in arguments.rs");
static_assert(sizeof(Delta) == 80, "as in arguments.rs");
static_assert(sizeof(Router) == 40, "as in arguments.rs");
