"""Checks the committed fixtures against each other without rewriting them; ends with an error if one is wrong.

1. Checkpoint folders: what transformers loads equals the stored tensors, and gives the recorded logits.
2. GGUF files: read back with gguf-py and mapped to hub names, the three files of qwen3_next-tiny equal its
   checkpoint, and every file gives the recorded logits. The typed file uses every block type, experts included.
3. Block data: gguf-py decodes the stored values. 4. The folder stays under its size limit.
"""

import gguf
import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

import architectures as arch
import gguf_files
from gguf_names import from_gguf
from hub_layout import from_hub, load_checkpoint
from make_checkpoints import CHECKPOINTS
from make_gguf import BLOCK_TYPES
from paths import DEQUANTIZE, FIXTURES, GGUF
from random_weights import build

SIZE_LIMIT = 22_000_000
LOGIT_LIMIT = 2e-5  # the same weights on another machine or torch version


def check(condition, message):
    if not condition:
        raise SystemExit(f"WRONG: {message}")


def check_logits(model, folder):
    for file in sorted(folder.glob("*.safetensors")):
        if file.stem.startswith("trace"):
            continue
        want = load_file(file)
        logits = model(input_ids=torch.tensor([want["input_ids"].tolist()]), use_cache=False).logits[0].numpy()
        difference = np.abs(logits[want["logits_pos"]] - want["logits"]).max()
        check(difference <= LOGIT_LIMIT, f"{file}: logits differ by {difference}")
        print(f"  {file.relative_to(FIXTURES)}: logits within {difference:.1e}", flush=True)


def check_checkpoint(name):
    folder = FIXTURES / name
    config, tensors = load_checkpoint(folder)
    check(config == CHECKPOINTS[name][0], f"{name}: config.json differs from architectures.py")
    loaded = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()
    ours = from_hub(tensors, build(config)).state_dict()
    for key, value in loaded.state_dict().items():
        check(torch.equal(value, ours[key]), f"{name}: {key} differs from what transformers loads")
    print(name, "equals what transformers loads", flush=True)
    check_logits(loaded, folder / "reference")


def check_tiny_gguf():
    config, tensors = load_checkpoint(FIXTURES / "qwen3_next-tiny")
    parts = sorted(GGUF.glob("qwen3_next-tiny-split-*-of-00003.gguf"))
    check(len(parts) == 3, "the split file does not have three parts")
    hubs = {}
    for stem, paths in {
        "qwen3_next-tiny": [GGUF / "qwen3_next-tiny.gguf"],
        "qwen3_next-tiny-legacy": [GGUF / "qwen3_next-tiny-legacy.gguf"],
        "qwen3_next-tiny-split": parts,
    }.items():
        read, _ = gguf_files.read(*paths)
        hubs[stem] = hub = from_gguf(read, config)
        check(set(hub) == set(tensors), f"{stem}: not the tensors of the checkpoint")
        inexact = {}
        for key, want in tensors.items():
            want = want.to(torch.float32).numpy()
            check(want.shape == hub[key].shape, f"{stem}: {key} has another shape")
            difference = np.abs(want - hub[key]).max()
            if difference:
                inexact[key] = difference
        # exp and log round A_log; float16 rounds the few weights below 2^-17, and 1 + w tiny norm weights
        check(all(d < 2e-7 for d in inexact.values()), f"{stem}: {inexact}")
        print(f"{stem}: {len(tensors) - len(inexact)} of {len(tensors)} tensors bit for bit, the others within 2e-7", flush=True)
    first = hubs.pop("qwen3_next-tiny")
    for stem, hub in hubs.items():
        check(all(np.array_equal(hub[k], first[k]) for k in first), f"{stem} differs from qwen3_next-tiny")
    for i, part in enumerate(parts):
        fields = gguf.GGUFReader(part).fields
        keys = tuple(fields[k].contents() for k in ("split.no", "split.count", "split.tensors.count"))
        check(keys == (i, 3, len(gguf_files.read(*parts)[0])), f"{part.name}: split keys {keys}")
    check_model(first, config, "qwen3_next-tiny")


def check_model(hub, config, name):
    model = from_hub({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in hub.items()}, build(config))
    check_logits(model, GGUF / "reference" / name)


def check_typed_gguf(name, config):
    tensors, types = gguf_files.read(GGUF / f"{name}.gguf")
    roles = {}
    for key, qtype in types.items():
        roles.setdefault(qtype, []).append(key)
    if name == "qwen3_next-types":
        for qtype in BLOCK_TYPES:
            experts = [k for k in roles[qtype] if "_exps" in k]
            check(experts and len(roles[qtype]) - len(experts) >= 2, f"{name}: {qtype.name} only in {roles[qtype]}")
    print(name, {t.name: len(k) for t, k in sorted(roles.items())}, flush=True)
    check_model(from_gguf(tensors, config), config, name)


def check_blocks():
    for file in sorted(DEQUANTIZE.glob("*.safetensors")):
        data = load_file(file)
        values = gguf.quants.dequantize(data["blocks"], gguf.GGMLQuantizationType[file.stem])
        check(np.array_equal(values.view(np.uint32), data["values"].view(np.uint32)), f"{file.name}: values differ")
    print("block data decodes bit for bit")


if __name__ == "__main__":
    for name in CHECKPOINTS:
        check_checkpoint(name)
    check_tiny_gguf()
    check_typed_gguf("qwen3_next-types", arch.NEXT_TYPES)
    check_typed_gguf("qwen3_moe-types", arch.MOE_TYPES)
    check_blocks()
    size = sum(f.stat().st_size for f in FIXTURES.rglob("*") if f.is_file())
    check(size < SIZE_LIMIT, f"{size:,} bytes of fixtures")
    print(f"all right; {size:,} bytes")
