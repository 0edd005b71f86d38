"""Where the fixtures live, and the few settings every script needs."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

# One thread: sums are then taken in the same order on every machine.
torch.set_num_threads(1)
torch.set_grad_enabled(False)

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures"
TOKENIZER = FIXTURES / "tokenizer"
GGUF = FIXTURES / "gguf"
DEQUANTIZE = FIXTURES / "dequantize"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
