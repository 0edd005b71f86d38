"""Writes the checkpoint folders and their reference outputs.

usage: make_checkpoints.py [name ...]    (all of them without a name)

The seeds were picked with try_seeds.py: the smallest router margin and the smallest greedy margin over
all prompts are well above what two float32 implementations differ by (up to 4e-5 in router logits).
"""

import sys

import torch
import transformers
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM

import architectures as arch
from hub_layout import save_checkpoint, to_hub
from paths import FIXTURES
from prompts import prompts
from random_weights import build, randomize
from record import record_prompts, trace

# name: (config, seed, shards, dtypes other than BF16 by the end of a tensor's name)
CHECKPOINTS = {
    "qwen3_next-tiny": (arch.TINY, 8, 2, {}),
    "qwen3_next-variants": (
        arch.VARIANTS, 2, 1,
        {"norm.weight": torch.float32, "A_log": torch.float32, "dt_bias": torch.float32, "q_proj.weight": torch.float16},
    ),
    "qwen3_next-realdims": (arch.REALDIMS, 24, 2, {}),
    "qwen3_moe-tiny": (arch.MOE_TINY, 1, 2, {}),
}  # fmt: skip


def make(name):
    config, seed, shards, other_dtypes = CHECKPOINTS[name]
    folder = FIXTURES / name
    model = randomize(build(config), seed)
    state = {}
    for key, value in model.state_dict().items():
        dtype = next((d for end, d in other_dtypes.items() if key.endswith(end)), torch.bfloat16)
        state[key] = value.to(dtype)
    tensors = to_hub(state)
    if config["tie_word_embeddings"]:
        del tensors["lm_head.weight"]
    save_checkpoint(folder, config, tensors, shards)

    # The reference is what transformers itself loads from the folder just written.
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()
    print(name, f"{sum(t.numel() for t in tensors.values()):,} weights,", len(tensors), "tensors", flush=True)
    record_prompts(model, prompts(), folder / "reference")
    if name == "qwen3_next-tiny":
        save_file(trace(model, prompts()["short"]), folder / "reference" / "trace_short.safetensors")


if __name__ == "__main__":
    transformers.utils.logging.set_verbosity_error()
    for name in sys.argv[1:] or CHECKPOINTS:
        make(name)
