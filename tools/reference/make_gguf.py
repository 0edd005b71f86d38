"""Writes the GGUF fixtures and their reference outputs.

usage: make_gguf.py [model ...]    (all of them without a name; qwen3_next-tiny needs its checkpoint folder)

The reference is transformers in float32 with the weights gguf-py decodes from the finished file.
"""

import sys
from itertools import cycle

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type

import architectures as arch
import gguf_files
from gguf_names import from_gguf, to_gguf
from hub_layout import from_hub, load_checkpoint, to_hub
from paths import FIXTURES, GGUF
from prompts import prompts
from random_weights import build, randomize
from record import record_prompts

# The small ones first: a cycle that starts over repeats these.
BLOCK_TYPES = (
    Type.Q2_K, Type.IQ4_XS, Type.Q4_0, Type.MXFP4, Type.Q5_K, Type.Q3_K, Type.Q4_1,
    Type.Q8_0, Type.IQ4_NL, Type.Q6_K, Type.Q5_0, Type.Q4_K, Type.Q5_1,
)  # fmt: skip
ALWAYS_F32 = ("norm.weight", "ssm_a", "ssm_dt.bias", "ssm_conv1d.weight", "ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight")


def float_types(tensors):
    """F32, F16 and BF16 side by side."""
    rules = {
        "token_embd.weight": Type.F16, "attn_q.weight": Type.F16, "attn_v.weight": Type.F16,
        "ssm_out.weight": Type.F32, "ffn_down_shexp.weight": Type.F32, "ffn_down_exps.weight": Type.F16,
    }  # fmt: skip

    def pick(name):
        if name.endswith(ALWAYS_F32):
            return Type.F32
        return next((t for end, t in rules.items() if name.endswith(end)), Type.BF16)

    return {name: pick(name) for name in tensors}


def every_type(tensors):
    """Each block type for at least one stack of experts and two other matrices; float types for the narrow ones."""
    expert, other, narrow = cycle(BLOCK_TYPES), cycle(BLOCK_TYPES[5:] + BLOCK_TYPES[:5]), cycle((Type.F32, Type.F16, Type.BF16))
    out = {"token_embd.weight": Type.Q4_K, "output.weight": Type.Q6_K}
    for name in tensors:
        if name in out:
            continue
        if name.endswith(ALWAYS_F32):
            out[name] = Type.F32
        elif name.endswith(("ssm_ba.weight", "attn_k.weight", "attn_v.weight")):
            out[name] = next(narrow)
        else:
            out[name] = next(expert if "_exps" in name else other)
    return out


def four_types(tensors):
    """A handful of types, all of them in every role."""
    turn = cycle((Type.Q4_K, Type.IQ4_NL, Type.Q6_K, Type.Q8_0, Type.Q4_K))
    out = {"token_embd.weight": Type.IQ4_NL, "output.weight": Type.Q6_K}
    for name in tensors:
        if name not in out:
            out[name] = Type.F32 if name.endswith(ALWAYS_F32) else next(turn)
    return out


def numpy_weights(hub):
    return {name: t.to(torch.float32).numpy() for name, t in hub.items()}


def random_hub(config, seed):
    return numpy_weights(to_hub(randomize(build(config), seed).state_dict()))


def reference(config, paths, folder):
    """Records short and p300 with the weights of the files `paths`."""
    tensors, _ = gguf_files.read(*paths)
    hub = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in from_gguf(tensors, config).items()}
    ids = prompts()
    record_prompts(from_hub(hub, build(config)), {p: ids[p] for p in ("short", "p300")}, folder)


def make_tiny():
    """The checkpoint qwen3_next-tiny as one file, in the older layout, and in three parts with fused experts."""
    config, hub = load_checkpoint(FIXTURES / "qwen3_next-tiny")
    hub = numpy_weights(hub)

    def write(stem, title, tensors, **options):
        gguf_files.write(GGUF / f"{stem}.gguf", title, config, tensors, float_types(tensors), **options)

    write("qwen3_next-tiny", "Qwen3-Next tiny", to_gguf(hub, config))
    write("qwen3_next-tiny-legacy", "Qwen3-Next tiny, ssm_in layout", to_gguf(hub, config, legacy=True), legacy=True)
    fused = to_gguf(hub, config, fused_experts=True)
    write("qwen3_next-tiny-split", "Qwen3-Next tiny, split", fused, tensors_per_file=-(-len(fused) // 3))
    reference(config, [GGUF / "qwen3_next-tiny.gguf"], GGUF / "reference" / "qwen3_next-tiny")


def make_typed(name, title, config, seed, assign):
    tensors = to_gguf(random_hub(config, seed), config)
    path = GGUF / f"{name}.gguf"
    gguf_files.write(path, title, config, tensors, assign(tensors))
    reference(config, [path], GGUF / "reference" / name)


MODELS = {
    "qwen3_next-tiny": make_tiny,
    "qwen3_next-types": lambda: make_typed("qwen3_next-types", "Qwen3-Next, every type", arch.NEXT_TYPES, 6, every_type),
    "qwen3_moe-types": lambda: make_typed("qwen3_moe-types", "Qwen3-MoE, four types", arch.MOE_TYPES, 4, four_types),
}

if __name__ == "__main__":
    GGUF.mkdir(parents=True, exist_ok=True)
    for model in sys.argv[1:] or MODELS:
        MODELS[model]()
