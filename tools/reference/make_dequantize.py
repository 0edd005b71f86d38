"""Writes `dequantize/<type>.safetensors`: raw blocks of one GGUF type and the values gguf-py decodes from them.

Quants are random bytes; the first blocks carry the awkward scales listed below, the rest ordinary random ones.
Infinite and NaN scales are left out: no quantizer writes them.
"""

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

from paths import DEQUANTIZE

BLOCKS = 48
SMALLEST_SUBNORMAL = 2.0**-24
HALF_SCALES = np.array(
    [0.0, -0.0, SMALLEST_SUBNORMAL, -SMALLEST_SUBNORMAL, 1023 * SMALLEST_SUBNORMAL, 2.0**-14, 1.0, -1.0, 65504.0, -65504.0],
    np.float16,
)
# Offsets of the float16 scales in each type's block; MXFP4 has one exponent byte instead.
SCALE_OFFSETS = {
    Type.Q4_0: (0,), Type.Q4_1: (0, 2), Type.Q5_0: (0,), Type.Q5_1: (0, 2), Type.Q8_0: (0,),
    Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.Q4_K: (0, 2), Type.Q5_K: (0, 2), Type.Q6_K: (208,),
    Type.IQ4_NL: (0,), Type.IQ4_XS: (0,),
}  # fmt: skip
MXFP4_EXPONENTS = np.array([0, 1, 2, 3, 64, 126, 127, 128, 129, 200, 250], np.uint8)  # 251 and more overflow float32


def half_scales(pick):
    """BLOCKS float16 scales: the special ones, then random ones of both signs around 0.01."""
    ordinary = pick.normal(0, 0.01, BLOCKS - len(HALF_SCALES)).astype(np.float16)
    return np.concatenate([HALF_SCALES, ordinary])


def blocks_of(qtype, pick):
    """Random valid blocks: uint8 [BLOCKS, bytes per block]."""
    blocks = pick.integers(0, 256, (BLOCKS, gguf.GGML_QUANT_SIZES[qtype][1]), np.uint8)
    if qtype == Type.MXFP4:
        blocks[:, 0] = pick.integers(110, 130, BLOCKS)
        blocks[: len(MXFP4_EXPONENTS), 0] = MXFP4_EXPONENTS
    for nth, offset in enumerate(SCALE_OFFSETS.get(qtype, ())):
        # The second scale (minimum) is shifted, so that special values meet different partners.
        scales = np.roll(half_scales(pick), 3 * nth)
        blocks[:, offset : offset + 2] = scales[:, None].view(np.uint8)
    return blocks


def floats_of(qtype, pick):
    """The same for F32, F16 and BF16, where a "block" is a row of 32 finite values of every magnitude."""
    size = gguf.GGML_QUANT_SIZES[qtype][1]
    bits = pick.integers(0, 256 ** size, (BLOCKS, 32), np.uint64).astype(f"<u{size}")
    exponent = bits.dtype.type({Type.F16: 0x7C00, Type.BF16: 0x7F80, Type.F32: 0x7F800000}[qtype])
    lowest_bit_of_exponent = bits.dtype.type({Type.F16: 0x400, Type.BF16: 0x80, Type.F32: 0x800000}[qtype])
    bits = np.where(bits & exponent == exponent, bits ^ lowest_bit_of_exponent, bits)  # no infinity, no NaN
    bits[0, :2] = 0, lowest_bit_of_exponent - 1  # zero and the largest subnormal
    return bits.view(np.uint8)


def main():
    DEQUANTIZE.mkdir(parents=True, exist_ok=True)
    for seed, qtype in enumerate((*SCALE_OFFSETS, Type.MXFP4, Type.F16, Type.BF16, Type.F32)):
        pick = np.random.default_rng(seed)
        is_float = qtype in (Type.F16, Type.BF16, Type.F32)
        blocks = np.ascontiguousarray(floats_of(qtype, pick) if is_float else blocks_of(qtype, pick))
        values = gguf.quants.dequantize(blocks, qtype).astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError(f"{qtype.name}: a value is not finite")
        save_file({"blocks": blocks, "values": np.ascontiguousarray(values)}, DEQUANTIZE / f"{qtype.name}.safetensors")
        print(qtype.name, blocks.shape, values.shape, flush=True)


if __name__ == "__main__":
    main()
