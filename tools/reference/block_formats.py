"""Encoders for the GGUF block formats that gguf-py reads but cannot write.

They choose scales by the extremes of each sub-block, which is simple and good enough: the reference outputs are
computed from what gguf-py decodes of these bytes, never from the numbers that went in. `quantize` is the entry.
Layouts: ggml-common.h of llama.cpp; field names follow it.
"""

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

IQ4_VALUES = np.array(gguf.quants.IQ4_NL.kvalues, np.float32)


def quantize(array, qtype):
    """Float32 [..., columns] -> the bytes of `qtype`: uint8 [..., bytes per row] (F32 and F16 stay floats)."""
    if qtype not in ENCODERS:
        return gguf.quants.quantize(array, qtype)
    block_size, type_size = gguf.GGML_QUANT_SIZES[qtype]
    blocks = ENCODERS[qtype](np.ascontiguousarray(array, np.float32).reshape(-1, block_size))
    if blocks.dtype != np.uint8 or blocks.shape[1] != type_size:
        raise ValueError(f"{qtype.name}: encoded to {blocks.dtype} {blocks.shape}")
    return blocks.reshape(*array.shape[:-1], -1)


def half(x):
    """(x rounded to float16, its bytes [n, 2]) for x [n, 1]."""
    rounded = x.astype(np.float16)
    return rounded.astype(np.float32), rounded.view(np.uint8)


def divide(a, b):
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape), np.float32), where=b != 0)


def nearest(x, low, high):
    return np.clip(np.rint(x), low, high).astype(np.int32)


def pack(values, bits, shape):
    """Packs values of `bits` bits, lowest first, along the second last axis of `shape` into bytes."""
    v = values.reshape(shape).astype(np.uint8)
    shifts = np.arange(shape[-2], dtype=np.uint8) * np.uint8(bits)
    packed = np.bitwise_or.reduce(v << shifts[:, None], axis=-2)
    return packed.reshape(len(values), -1)


def signed_peak(sub):
    """The entry of the largest magnitude in each sub-block, with its sign: [n, subs, 1]."""
    return np.take_along_axis(sub, np.abs(sub).argmax(-1)[..., None], -1)


def scales_and_minima(sub, levels, scale_levels):
    """For w = d*sc*q - dmin*m with q in 0..levels: (q, sc, m, bytes of d, bytes of dmin)."""
    low = np.minimum(sub.min(-1), 0)
    step = (sub.max(-1).clip(min=0) - low) / levels
    d, d_bytes = half(step.max(-1, keepdims=True) / scale_levels)
    dmin, dmin_bytes = half((-low).max(-1, keepdims=True) / scale_levels)
    sc, m = nearest(divide(step, d), 0, scale_levels), nearest(divide(-low, dmin), 0, scale_levels)
    q = nearest(divide(sub + (dmin * m)[..., None], (d * sc)[..., None]), 0, levels)
    return q, sc, m, d_bytes, dmin_bytes


def pack_k_scales(sc, m):
    """Eight 6-bit scales and eight 6-bit minima in the 12 bytes of Q4_K and Q5_K."""
    sc, m = sc.astype(np.uint8), m.astype(np.uint8)
    first = (sc[:, :4] & 63) | (sc[:, 4:] >> 4 << 6)
    second = (m[:, :4] & 63) | (m[:, 4:] >> 4 << 6)
    third = (sc[:, 4:] & 15) | (m[:, 4:] & 15) << 4
    return np.concatenate([first, second, third], axis=1)


def encode_q2_k(x):
    n = len(x)
    q, sc, m, d, dmin = scales_and_minima(x.reshape(n, 16, 16), 3, 15)
    return np.concatenate([(sc | m << 4).astype(np.uint8), pack(q, 2, (n, 2, 4, 32)), d, dmin], axis=1)


def encode_q3_k(x):
    n = len(x)
    sub = x.reshape(n, 16, 16)
    scale = signed_peak(sub)[..., 0] / -4
    d, d_bytes = half(np.abs(scale).max(-1, keepdims=True) / 31)
    sc = nearest(divide(scale, d), -32, 31)
    q = nearest(divide(sub, (d * sc)[..., None]), -4, 3) + 4
    high_bits = pack(q >> 2, 1, (n, 8, 32))
    low_bits = pack(q & 3, 2, (n, 2, 4, 32))
    sc += 32
    scales = np.concatenate([pack(sc & 15, 4, (n, 2, 8)), pack(sc >> 4, 2, (n, 4, 4))], axis=1)
    return np.concatenate([high_bits, low_bits, scales, d_bytes], axis=1)


def encode_q4_k(x):
    n = len(x)
    q, sc, m, d, dmin = scales_and_minima(x.reshape(n, 8, 32), 15, 63)
    return np.concatenate([d, dmin, pack_k_scales(sc, m), pack(q, 4, (n, 4, 2, 32))], axis=1)


def encode_q5_k(x):
    n = len(x)
    q, sc, m, d, dmin = scales_and_minima(x.reshape(n, 8, 32), 31, 63)
    high_bits = pack(q >> 4, 1, (n, 8, 32))
    return np.concatenate([d, dmin, pack_k_scales(sc, m), high_bits, pack(q & 15, 4, (n, 4, 2, 32))], axis=1)


def encode_q6_k(x):
    n = len(x)
    sub = x.reshape(n, 16, 16)
    scale = signed_peak(sub)[..., 0] / -32
    d, d_bytes = half(np.abs(scale).max(-1, keepdims=True) / 127)
    sc = nearest(divide(scale, d), -128, 127)
    q = nearest(divide(sub, (d * sc)[..., None]), -32, 31) + 32
    low_bits, high_bits = pack(q & 15, 4, (n, 2, 2, 64)), pack(q >> 4, 2, (n, 2, 4, 32))
    return np.concatenate([low_bits, high_bits, sc.astype(np.int8).view(np.uint8), d_bytes], axis=1)


def nearest_iq4(x):
    return np.abs(x[..., None] - IQ4_VALUES).argmin(-1)


def encode_iq4_nl(x):
    n = len(x)
    d, d_bytes = half(signed_peak(x[:, None])[:, 0] / IQ4_VALUES[0])
    return np.concatenate([d_bytes, pack(nearest_iq4(divide(x, d)), 4, (n, 2, 16))], axis=1)


def encode_iq4_xs(x):
    n = len(x)
    sub = x.reshape(n, 8, 32)
    scale = signed_peak(sub)[..., 0] / IQ4_VALUES[0]
    d, d_bytes = half(np.abs(scale).max(-1, keepdims=True) / 31)
    sc = nearest(divide(scale, d), -32, 31)
    q = nearest_iq4(divide(sub, (d * sc)[..., None]))
    sc += 32
    high = np.bitwise_or.reduce((sc >> 4).astype(np.uint16) << np.arange(0, 16, 2, dtype=np.uint16), axis=1)
    low = pack(sc & 15, 4, (n, 4, 2, 1))
    return np.concatenate([d_bytes, high[:, None].view(np.uint8), low, pack(q, 4, (n, 8, 2, 16))], axis=1)


ENCODERS = {
    Type.Q2_K: encode_q2_k,
    Type.Q3_K: encode_q3_k,
    Type.Q4_K: encode_q4_k,
    Type.Q5_K: encode_q5_k,
    Type.Q6_K: encode_q6_k,
    Type.IQ4_NL: encode_iq4_nl,
    Type.IQ4_XS: encode_iq4_xs,
}
