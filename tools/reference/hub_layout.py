"""Checkpoint folders as the Hugging Face hub has them: one 2-D tensor per expert and projection.

transformers 5 keeps a layer's experts fused in memory (`experts.gate_up_proj` [E, 2I, H] with the gate rows
first, `experts.down_proj` [E, H, I]); the hub repositories of Qwen3-Next and Qwen3-MoE store them one by one.
"""

import json
import re
import shutil

import torch
from safetensors.torch import load_file, save_file

from paths import TOKENIZER, TOKENIZER_FILES

FUSED = re.compile(r"(.*mlp\.experts)\.(gate_up_proj|down_proj)$")


def to_hub(state):
    """transformers' state dict -> tensors under hub names."""
    out = {}
    for name, tensor in state.items():
        fused = FUSED.match(name)
        if not fused:
            out[name] = tensor.contiguous()
            continue
        for e, expert in enumerate(tensor):
            if fused[2] == "down_proj":
                out[f"{fused[1]}.{e}.down_proj.weight"] = expert.contiguous()
            else:
                gate, up = expert.chunk(2)
                out[f"{fused[1]}.{e}.gate_proj.weight"] = gate.contiguous()
                out[f"{fused[1]}.{e}.up_proj.weight"] = up.contiguous()
    return out


def from_hub(hub, model):
    """Loads tensors under hub names into `model` in float32; every parameter must be given, and none left over."""
    unused, state = set(hub), {}

    def take(name):
        unused.discard(name)
        return hub[name].to(torch.float32)

    for name, target in model.state_dict().items():
        fused = FUSED.match(name)
        if name == "lm_head.weight" and name not in hub:
            value = take("model.embed_tokens.weight")
        elif not fused:
            value = take(name)
        elif fused[2] == "down_proj":
            value = torch.stack([take(f"{fused[1]}.{e}.down_proj.weight") for e in range(len(target))])
        else:
            experts = (f"{fused[1]}.{e}." for e in range(len(target)))
            value = torch.stack([torch.cat([take(e + "gate_proj.weight"), take(e + "up_proj.weight")]) for e in experts])
        if value.shape != target.shape:
            raise ValueError(f"{name}: {tuple(value.shape)} instead of {tuple(target.shape)}")
        state[name] = value
    if unused:
        raise ValueError(f"tensors without a parameter: {sorted(unused)}")
    model.load_state_dict(state, strict=True)
    return model


def save_checkpoint(folder, config, tensors, shards):
    """Writes config, tokenizer and `tensors` (in the model's order) over `shards` safetensors files."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in TOKENIZER_FILES:
        shutil.copy(TOKENIZER / name, folder)

    total = sum(nbytes(t) for t in tensors.values())
    parts, size = [{}], 0
    for name, tensor in tensors.items():
        if size >= len(parts) * total / shards:
            parts.append({})
        parts[-1][name] = tensor
        size += nbytes(tensor)
    if len(parts) == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    weight_map = {}
    for i, part in enumerate(parts):
        file = f"model-{i + 1:05d}-of-{len(parts):05d}.safetensors"
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def load_checkpoint(folder):
    """(config, tensors under hub names in their stored dtype)."""
    tensors = {}
    for file in sorted(folder.glob("model*.safetensors")):
        tensors.update(load_file(file))
    return json.loads((folder / "config.json").read_text()), tensors


def nbytes(tensor):
    return tensor.numel() * tensor.element_size()
