// Integer weight formats in tiles of sixteen rows, as moestro_kernels packs them:
// the number of `n` bytes at byte `o` of the block of row `r` is at `16 o + r n` of
// the tile's block. Sixteen lanes, one per row, thus read neighbouring numbers.
//
// A format says
//   BYTES, GROUPS   of a block: its bytes, and its groups of 32 columns
//   UNIT            groups that share words, to be taken together
//   ABOVE           what is subtracted from the integers is 1 << ABOVE; -1: nothing
//   HALVES          scales belong to halves of a group
//   AFFINE          value = d * integer + shift
//   FINER           integers have seven more bits, see `finer`
//   quants(b, r, g, w)   four columns of group `g`, from `4 w` on, as four bytes
//   scales(b, r, g, d, shift)

#pragma once

#include "common.cuh"

static __device__ __forceinline__ u32 word_at(const u8 *b, u32 r, u32 o) {
    return *reinterpret_cast<const u32 *>(b + 16 * o + 4 * r);
}

static __device__ __forceinline__ u32 short_at(const u8 *b, u32 r, u32 o) {
    return *reinterpret_cast<const unsigned short *>(b + 16 * o + 2 * r);
}

static __device__ __forceinline__ u32 byte_at(const u8 *b, u32 r, u32 o) {
    return b[16 * o + r];
}

static __device__ __forceinline__ float scale_at(const u8 *b, u32 r, u32 o) {
    return half_at(b + 16 * o + 2 * r);
}

// Columns of 32 in sixteen bytes from `o` on: low nibbles, then high ones.
static __device__ __forceinline__ u32 nibbles(const u8 *b, u32 r, u32 o, u32 w) {
    return word_at(b, r, o + 4 * (w % 4)) >> (4 * (w / 4)) & 0x0f0f0f0fu;
}

// With bit 4 of column `j` in bit `j` of the word at `fifth`.
static __device__ __forceinline__ u32 five_bits(const u8 *b, u32 r, u32 o, u32 fifth, u32 w) {
    u32 four = word_at(b, r, fifth) >> (4 * w) & 15;
    u32 spread = (four << 4 | four << 11 | four << 18 | four << 25) & 0x10101010u;
    return nibbles(b, r, o, w) | spread;
}

static __device__ __forceinline__ u32 pick_bytes(u32 a, u32 b, u32 selector) {
#ifdef __CUDACC_RTC__
    return __byte_perm(a, b, selector);
#else
    u64 both = static_cast<u64>(b) << 32 | a;
    u32 out = 0;
    for (u32 i = 0; i < 4; i++) {
        u32 from = selector >> (4 * i) & 7;
        out |= static_cast<u32>(both >> (8 * from) & 255) << (8 * i);
    }
    return out;
#endif
}

// table[i] of each byte of `q`, all below 16; the table is four words.
static __device__ __forceinline__ u32 look_up(u32 t0, u32 t1, u32 t2, u32 t3, u32 q) {
    u32 pairs = q | q >> 4;
    u32 selector = ((pairs & 255) | (pairs >> 8 & 0xff00)) & 0x7777;
    u32 upper = (q >> 3 & 0x01010101u) * 255;
    return (pick_bytes(t0, t1, selector) & ~upper) | (pick_bytes(t2, t3, selector) & upper);
}

struct Defaults {
    static constexpr u32 UNIT = 1;
    static constexpr int ABOVE = -1;
    static constexpr bool HALVES = false;
    static constexpr bool AFFINE = false;
    static constexpr bool FINER = false;
    static __device__ __forceinline__ u32 finer(const u8 *, u32, u32, u32) { return 0; }
};

struct Q4_0 : Defaults {
    static constexpr u32 BYTES = 18, GROUPS = 1;
    static constexpr int ABOVE = 3;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32, u32 w) {
        return nibbles(b, r, 2, w);
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32, float *d, float *) {
        d[0] = scale_at(b, r, 0);
    }
};

struct Q4_1 : Defaults {
    static constexpr u32 BYTES = 20, GROUPS = 1;
    static constexpr bool AFFINE = true;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32, u32 w) {
        return nibbles(b, r, 4, w);
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32, float *d, float *shift) {
        d[0] = scale_at(b, r, 0);
        shift[0] = scale_at(b, r, 2);
    }
};

struct Q5_0 : Defaults {
    static constexpr u32 BYTES = 22, GROUPS = 1;
    static constexpr int ABOVE = 4;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32, u32 w) {
        return five_bits(b, r, 6, 2, w);
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32, float *d, float *) {
        d[0] = scale_at(b, r, 0);
    }
};

struct Q5_1 : Defaults {
    static constexpr u32 BYTES = 24, GROUPS = 1;
    static constexpr bool AFFINE = true;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32, u32 w) {
        return five_bits(b, r, 8, 4, w);
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32, float *d, float *shift) {
        d[0] = scale_at(b, r, 0);
        shift[0] = scale_at(b, r, 2);
    }
};

struct Q8_0 : Defaults {
    static constexpr u32 BYTES = 34, GROUPS = 1;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32, u32 w) {
        return word_at(b, r, 2 + 4 * w);
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32, float *d, float *) {
        d[0] = scale_at(b, r, 0);
    }
};

struct Q2_K : Defaults {
    static constexpr u32 BYTES = 84, GROUPS = 8, UNIT = 4;
    static constexpr bool HALVES = true, AFFINE = true;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32 g, u32 w) {
        return word_at(b, r, 16 + 32 * (g / 4) + 4 * w) >> (2 * (g % 4)) & 0x03030303u;
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32 g, float *d, float *shift) {
        float all = scale_at(b, r, 80), minus = -scale_at(b, r, 82);
        u32 four = word_at(b, r, 4 * (g / 2)) >> (16 * (g % 2));
        d[0] = all * static_cast<float>(four & 15);
        shift[0] = minus * static_cast<float>(four >> 4 & 15);
        d[1] = all * static_cast<float>(four >> 8 & 15);
        shift[1] = minus * static_cast<float>(four >> 12 & 15);
    }
};

struct Q3_K : Defaults {
    static constexpr u32 BYTES = 110, GROUPS = 8, UNIT = 4;
    static constexpr int ABOVE = 2;
    static constexpr bool HALVES = true;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32 g, u32 w) {
        u32 third = word_at(b, r, 4 * w) >> g & 0x01010101u;
        u32 pair = word_at(b, r, 32 + 32 * (g / 4) + 4 * w) >> (2 * (g % 4)) & 0x03030303u;
        return pair | third << 2;
    }
    // Scale `j`, from -32 to 31.
    static __device__ __forceinline__ float scale(const u8 *b, u32 r, u32 j) {
        u32 low = word_at(b, r, 96 + 4 * (j % 8 / 4)) >> (8 * (j % 4) + 4 * (j / 8)) & 15;
        u32 high = word_at(b, r, 104) >> (8 * (j % 4) + 2 * (j / 4)) & 3;
        return static_cast<float>(static_cast<int>(low | high << 4) - 32);
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32 g, float *d, float *) {
        float all = scale_at(b, r, 108);
        d[0] = all * scale(b, r, 2 * g);
        d[1] = all * scale(b, r, 2 * g + 1);
    }
};

// The six-bit scales that Q4_K and Q5_K share.
struct SixBits : Defaults {
    static constexpr bool AFFINE = true;
    static __device__ __forceinline__ float six(u32 words, u32 nibbles, u32 g) {
        u32 at = 8 * (g % 4);
        u32 number = g < 4 ? words >> at & 63 : (nibbles >> at & 15) | (words >> (at + 2) & 48);
        return static_cast<float>(number);
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32 g, float *d, float *shift) {
        u32 rest = word_at(b, r, 12);
        d[0] = scale_at(b, r, 0) * six(word_at(b, r, 4), rest, g);
        shift[0] = -scale_at(b, r, 2) * six(word_at(b, r, 8), rest >> 4, g);
    }
};

struct Q4_K : SixBits {
    static constexpr u32 BYTES = 144, GROUPS = 8, UNIT = 2;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32 g, u32 w) {
        return word_at(b, r, 16 + 32 * (g / 2) + 4 * w) >> (4 * (g % 2)) & 0x0f0f0f0fu;
    }
};

struct Q5_K : SixBits {
    static constexpr u32 BYTES = 176, GROUPS = 8, UNIT = 2;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32 g, u32 w) {
        u32 low = word_at(b, r, 48 + 32 * (g / 2) + 4 * w) >> (4 * (g % 2)) & 0x0f0f0f0fu;
        return low | (word_at(b, r, 16 + 4 * w) >> g & 0x01010101u) << 4;
    }
};

struct Q6_K : Defaults {
    static constexpr u32 BYTES = 210, GROUPS = 8, UNIT = 4;
    static constexpr int ABOVE = 5;
    static constexpr bool HALVES = true;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32 g, u32 w) {
        u32 part = g / 4, i = g % 4;
        u32 low = word_at(b, r, 64 * part + 32 * (g % 2) + 4 * w) >> (4 * (i / 2)) & 0x0f0f0f0fu;
        u32 pair = word_at(b, r, 128 + 32 * part + 4 * w) >> (2 * i) & 0x03030303u;
        return low | pair << 4;
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32 g, float *d, float *) {
        float all = scale_at(b, r, 208);
        u32 two = word_at(b, r, 192 + 4 * (g / 2)) >> (16 * (g % 2));
        d[0] = all * static_cast<float>(static_cast<signed char>(two & 255));
        d[1] = all * static_cast<float>(static_cast<signed char>(two >> 8 & 255));
    }
};

// ggml's kvalues_iq4nl, four to a word.
static __device__ __forceinline__ u32 iq4_values(u32 q) {
    return look_up(0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u, q);
}

struct IQ4_NL : Defaults {
    static constexpr u32 BYTES = 18, GROUPS = 1;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32, u32 w) {
        return iq4_values(nibbles(b, r, 2, w));
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32, float *d, float *) {
        d[0] = scale_at(b, r, 0);
    }
};

struct IQ4_XS : Defaults {
    static constexpr u32 BYTES = 136, GROUPS = 8;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32 g, u32 w) {
        return iq4_values(nibbles(b, r, 8 + 16 * g, w));
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32 g, float *d, float *) {
        u32 low = word_at(b, r, 4) >> (4 * g) & 15;
        u32 high = short_at(b, r, 2) >> (2 * g) & 3;
        d[0] = scale_at(b, r, 0) * static_cast<float>(static_cast<int>(low | high << 4) - 32);
    }
};

// The table holds twice the numbers, so the scale, a power of two, is halved.
struct MXFP4 : Defaults {
    static constexpr u32 BYTES = 17, GROUPS = 1;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32, u32 w) {
        return look_up(0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu, nibbles(b, r, 1, w));
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32, float *d, float *) {
        d[0] = 0.5f * bits_float(static_cast<int>(byte_at(b, r, 0) << 23));
    }
};

// Four-bit indices of reals, which are `integer / PARTS - 1` with integers of 14
// bits: seven come from one table, seven from another.
template <class Table>
struct Codebook : Defaults {
    static constexpr u32 BYTES = 68, GROUPS = 4;
    static constexpr bool AFFINE = true, FINER = true;
    static __device__ __forceinline__ u32 code(const u8 *b, u32 r, u32 g, u32 w) {
        return nibbles(b, r, 4 + 16 * g, w);
    }
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32 g, u32 w) {
        return Table::upper(code(b, r, g, w));
    }
    static __device__ __forceinline__ u32 finer(const u8 *b, u32 r, u32 g, u32 w) {
        return Table::lower(code(b, r, g, w));
    }
    static __device__ __forceinline__ float scale(const u8 *b, u32 r, u32 g) {
        return scale_at(b, r, g / 2 * 2);
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32 g, float *d, float *shift) {
        float all = scale(b, r, g);
        d[0] = all * (1.0f / Table::PARTS);
        shift[0] = -all;
    }
};

// The tables of bitsandbytes, as moestro_kernels has them (formats/codebook.rs).

struct NormalFloat {
    static constexpr float PARTS = 8191.0f;
    static __device__ __forceinline__ u32 upper(u32 q) {
        return look_up(0x261e1300u, 0x3f3a342du, 0x554f4a45u, 0x7f6e635cu, q);
    }
    static __device__ __forceinline__ u32 lower(u32 q) {
        return look_up(0x5c323800u, 0x7f151665u, 0x4f5f250bu, 0x7e217f19u, q);
    }
    static __device__ __forceinline__ float real(u32 q) {
        const float reals[16] = {-1.0f, -0.6961928f, -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f, -0.091050036f, 0.0f, 0.0795803f, 0.1609302f, 0.2461123f, 0.33791524f, 0.44070983f, 0.562617f, 0.72295684f, 1.0f};
        return reals[q];
    }
};

struct Float4 {
    static constexpr float PARTS = 192.0f;
    static __device__ __forceinline__ u32 upper(u32 q) {
        return look_up(0x03020101u, 0x01010202u, 0x00000101u, 0x01010001u, q);
    }
    static __device__ __forceinline__ u32 lower(u32 q) {
        return look_up(0x00404140u, 0x70602000u, 0x00403f40u, 0x10206000u, q);
    }
    static __device__ __forceinline__ float real(u32 q) {
        const float reals[16] = {0.0f, 0.0052083333f, 0.6666667f, 1.0f, 0.33333334f, 0.5f, 0.16666667f, 0.25f, 0.0f, -0.0052083333f, -0.6666667f, -1.0f, -0.33333334f, -0.5f, -0.16666667f, -0.25f};
        return reals[q];
    }
};

typedef Codebook<NormalFloat> NF4;
typedef Codebook<Float4> FP4;

// Integers of `BITS` bits with scale and zero point for each of `PARTS` parts of
// 128 columns.
template <u32 BITS, u32 PARTS>
struct Grouped : Defaults {
    static constexpr u32 ZEROS = 2 * PARTS;
    static constexpr u32 QUANTS = (3 * PARTS + 3) / 4 * 4;
    static constexpr u32 BYTES = QUANTS + 16 * BITS, GROUPS = 4;
    static constexpr bool AFFINE = true;
    static __device__ __forceinline__ u32 quants(const u8 *b, u32 r, u32 g, u32 w) {
        u32 at = QUANTS + 4 * BITS * g;
        return BITS == 4 ? nibbles(b, r, at, w % 8) : word_at(b, r, at + 4 * w);
    }
    static __device__ __forceinline__ void scales(const u8 *b, u32 r, u32 g, float *d, float *shift) {
        u32 of = g * PARTS / 4;
        u32 zero = byte_at(b, r, ZEROS + of);
        int number = BITS == 4 ? static_cast<int>(zero) : static_cast<signed char>(zero);
        d[0] = scale_at(b, r, 2 * of);
        shift[0] = d[0] * -static_cast<float>(number);
    }
};

typedef Grouped<4, 1> INT4_128;
typedef Grouped<4, 2> INT4_64;
typedef Grouped<4, 4> INT4_32;
typedef Grouped<8, 1> INT8_128;
typedef Grouped<8, 4> INT8_32;
