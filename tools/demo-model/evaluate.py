"""Judges the exported GGUF itself, with transformers as the independent engine.

The weights are dequantized, put back into transformers' layout and run in float32; the tokenizer and chat template are
rebuilt from the file. Each held-out question is answered by greedy generation and must be right to the letter. Half of
the questions follow one or two other turns; some have a system message.
"""

import argparse
import json
import random
import re
from pathlib import Path

import gguf
import numpy as np
import torch
from jinja2 import Environment
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM

import data
import tokenizer as tok
from facts import SYSTEMS

ASKED = [
    "What is 2+2?",
    "What is 17 + 25?",
    "How many minutes are in 3 hours?",
    "Spell garden.",
    "What is the capital of France?",
    "Who are you?",
    "What does the Memory page do?",
    "Tell me everything about experts.",
    "Count from 1 to 40.",
]


class File:
    """A GGUF file: `keys` by name, `arrays` dequantized to float32."""

    def __init__(self, path: Path):
        reader = gguf.GGUFReader(path)
        self.keys = {k: f.contents() for k, f in reader.fields.items()}
        self.arrays = {t.name: np.array(gguf.quants.dequantize(t.data, t.tensor_type), np.float32) for t in reader.tensors}

    def key(self, name: str):
        return self.keys["qwen3next." + name]


def config(file: File) -> dict:
    """transformers' configuration from the file's keys."""
    k = file.key
    heads = k("ssm.time_step_rank")
    return {
        "vocab_size": len(file.keys["tokenizer.ggml.tokens"]),
        "hidden_size": k("embedding_length"),
        "num_hidden_layers": k("block_count"),
        "intermediate_size": k("feed_forward_length"),
        "num_attention_heads": k("attention.head_count"),
        "num_key_value_heads": k("attention.head_count_kv"),
        "head_dim": k("attention.key_length"),
        "partial_rotary_factor": k("rope.dimension_count") / k("attention.key_length"),
        "rope_theta": k("rope.freq_base"),
        "rms_norm_eps": k("attention.layer_norm_rms_epsilon"),
        "linear_conv_kernel_dim": k("ssm.conv_kernel"),
        "linear_key_head_dim": k("ssm.state_size"),
        "linear_num_key_heads": k("ssm.group_count"),
        "linear_num_value_heads": heads,
        "linear_value_head_dim": k("ssm.inner_size") // heads,
        "num_experts": k("expert_count"),
        "num_experts_per_tok": k("expert_used_count"),
        "moe_intermediate_size": k("expert_feed_forward_length"),
        "shared_expert_intermediate_size": k("expert_shared_feed_forward_length"),
        "layer_types": ["linear_attention" if r else "full_attention" for r in k("attention.recurrent_layers")],
        "norm_topk_prob": True,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


def join_projection(qkv: np.ndarray, z: np.ndarray, c: dict) -> np.ndarray:
    """attn_qkv and attn_gate -> in_proj_qkvz, grouped by key head."""
    nk, dk, dv = c["linear_num_key_heads"], c["linear_key_head_dim"], c["linear_value_head_dim"]
    q, k, v = np.split(qkv, [nk * dk, 2 * nk * dk])
    r = c["linear_num_value_heads"] // nk
    parts = [q.reshape(nk, dk, -1), k.reshape(nk, dk, -1), v.reshape(nk, r * dv, -1), z.reshape(nk, r * dv, -1)]
    return np.concatenate(parts, 1).reshape(-1, qkv.shape[1])


def state_dict(file: File, c: dict) -> dict[str, torch.Tensor]:
    """transformers' tensors from the file's. Every array of the file must be used."""
    left, out = dict(file.arrays), {}
    take = left.pop
    out["model.embed_tokens.weight"] = take("token_embd.weight")
    out["model.norm.weight"] = take("output_norm.weight") - 1
    out["lm_head.weight"] = take("output.weight")
    for i, kind in enumerate(c["layer_types"]):
        hf, own = f"model.layers.{i}.", f"blk.{i}."
        out[hf + "input_layernorm.weight"] = take(own + "attn_norm.weight") - 1
        out[hf + "post_attention_layernorm.weight"] = take(own + "post_attention_norm.weight") - 1
        if kind == "full_attention":
            for a, b in (("q_proj", "attn_q"), ("k_proj", "attn_k"), ("v_proj", "attn_v"), ("o_proj", "attn_output")):
                out[f"{hf}self_attn.{a}.weight"] = take(f"{own}{b}.weight")
            for a in "qk":
                out[f"{hf}self_attn.{a}_norm.weight"] = take(f"{own}attn_{a}_norm.weight") - 1
        else:
            delta = hf + "linear_attn."
            out[delta + "in_proj_qkvz.weight"] = join_projection(take(own + "attn_qkv.weight"), take(own + "attn_gate.weight"), c)
            out[delta + "in_proj_ba.weight"] = take(own + "ssm_ba.weight")
            out[delta + "conv1d.weight"] = take(own + "ssm_conv1d.weight")[:, None]
            out[delta + "dt_bias"] = take(own + "ssm_dt.bias")
            out[delta + "A_log"] = np.log(-take(own + "ssm_a"))
            out[delta + "norm.weight"] = take(own + "ssm_norm.weight")
            out[delta + "out_proj.weight"] = take(own + "ssm_out.weight")
        mlp = hf + "mlp."
        out[mlp + "gate.weight"] = take(own + "ffn_gate_inp.weight")
        out[mlp + "experts.gate_up_proj"] = np.concatenate([take(own + "ffn_gate_exps.weight"), take(own + "ffn_up_exps.weight")], 1)
        out[mlp + "experts.down_proj"] = take(own + "ffn_down_exps.weight")
        out[mlp + "shared_expert_gate.weight"] = take(own + "ffn_gate_inp_shexp.weight")[None]
        for name in ("gate", "up", "down"):
            out[f"{mlp}shared_expert.{name}_proj.weight"] = take(f"{own}ffn_{name}_shexp.weight")
    assert not left, f"unused tensors: {sorted(left)}"
    return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in out.items()}


def build_tokenizer(file: File) -> Tokenizer:
    tokens, kinds = file.keys["tokenizer.ggml.tokens"], file.keys["tokenizer.ggml.token_type"]
    vocabulary = {t: i for i, (t, k) in enumerate(zip(tokens, kinds, strict=True)) if k == gguf.TokenType.NORMAL}
    merges = [tuple(m.split(" ")) for m in file.keys["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(tok.SPLIT), behavior="isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, kinds, strict=True):
        if kind != gguf.TokenType.NORMAL:
            added = AddedToken(token, special=kind == gguf.TokenType.CONTROL, normalized=False)
            made.add_special_tokens([added]) if added.special else made.add_tokens([added])
    assert made.get_vocab_size() == len(tokens)
    assert all(made.token_to_id(t) == i for i, t in enumerate(tokens))
    return made


class Engine:
    """The file in transformers, float32."""

    def __init__(self, path: Path):
        file = File(path)
        c = config(file)
        made = AutoConfig.for_model("qwen3_next", **c)
        self.model = AutoModelForCausalLM.from_config(made, dtype=torch.float32, attn_implementation="eager").eval()
        self.model.load_state_dict(state_dict(file, c), strict=True)
        self.tokenizer = build_tokenizer(file)
        self.template = Environment().from_string(file.keys["tokenizer.chat_template"])
        self.end, self.pad = file.keys["tokenizer.ggml.eos_token_id"], file.keys["tokenizer.ggml.padding_token_id"]

    def render(self, messages: list[dict]) -> str:
        return self.template.render(messages=messages, add_generation_prompt=True)

    @torch.no_grad()
    def answer(self, conversations: list[list[dict]], most: int) -> list[tuple[list[int], list[int]]]:
        """Greedy answers of a batch: (prompt ids, generated ids without the end token)."""
        prompts = [self.tokenizer.encode(self.render(m)).ids for m in conversations]
        width = max(map(len, prompts))
        ids = torch.tensor([[self.pad] * (width - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        made = self.model.generate(
            ids, attention_mask=mask, max_new_tokens=most, do_sample=False, eos_token_id=self.end, pad_token_id=self.pad
        )
        rows = [row[width:].tolist() for row in made]
        return [(p, row[: row.index(self.end)] if self.end in row else row) for p, row in zip(prompts, rows, strict=True)]


def chat(system: str | None, turns: list) -> list[dict]:
    """Messages of a conversation; the last turn is only asked."""
    messages = [{"role": "system", "content": system}] if system else []
    for turn in turns:
        messages += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer}]
    return messages[:-1]


def questions(per_kind: int, seed: int):
    """(kind, messages, right answer) of held-out questions, the same number for each maker of questions."""
    r = random.Random(seed)
    for maker in [*data.SIMPLE, data.long_text, data.count_far, data.person_turn]:
        for n in range(per_kind):
            before = [data.draw(r, data.SIMPLE, True) for _ in range(r.randint(1, 2))] if n % 2 else []
            if maker is data.person_turn:
                known: dict = {}
                told = data.tell(r, known)
                turns = [told, *before, data.recall(r, known)]
            else:
                turns = before + [data.draw(r, {maker: 1}, True)]
            system = r.choice(SYSTEMS) if r.random() < 0.15 else None
            yield turns[-1].kind, chat(system, turns), turns[-1].answer


def judge(engine: Engine, per_kind: int, seed: int, show: bool) -> dict[str, list[bool]]:
    asked = sorted(questions(per_kind, seed), key=lambda q: (len(q[2]) // 60, len(str(q[1]))))
    right: dict[str, list[bool]] = {}
    for start in range(0, len(asked), 32):
        part = asked[start : start + 32]
        most = max(len(engine.tokenizer.encode(a).ids) for _, _, a in part) + 4
        for (kind, messages, answer), (_, ids) in zip(part, engine.answer([m for _, m, _ in part], most), strict=True):
            said = engine.tokenizer.decode(ids)
            right.setdefault(kind, []).append(said == answer)
            if show and said != answer:
                print(f"{kind}: {messages[-1]['content']!r} -> {said!r}, expected {answer!r}")
    return right


def table(right: dict[str, list[bool]]) -> str:
    rows = ["| kind | questions | right |", "|-|-:|-:|"]
    rows += [f"| {k} | {len(v)} | {100 * sum(v) / len(v):.0f}% |" for k, v in sorted(right.items())]
    every = [x for v in right.values() for x in v]
    return "\n".join(rows + [f"| **all** | **{len(every)}** | **{100 * sum(every) / len(every):.1f}%** |"])


def reference(engine: Engine, path: Path):
    """Greedy ids of a few questions, for engines to be compared with."""
    cases = [[{"role": "user", "content": q}] for q in ASKED]
    cases.append(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "My name is Anna."},
            {"role": "assistant", "content": "Nice to meet you, Anna!"},
            {"role": "user", "content": "What is my name?"},
        ]
    )
    out = []
    for messages in cases:
        ids, made = engine.answer([messages], 64)[0]
        out.append(
            {"messages": messages, "prompt_ids": ids, "greedy_ids": made, "ended": len(made) < 64, "text": engine.tokenizer.decode(made)}
        )
        print(f"{messages[-1]['content']} -> {out[-1]['text']!r}")
    note = "Greedy decoding of moestro-demo.gguf, dequantized, in transformers (float32); at most 64 tokens, end token left out."
    path.write_text(json.dumps({"note": note, "end_token": engine.end, "cases": out}, ensure_ascii=False) + "\n")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", type=Path, default=Path("../../models/demo/moestro-demo.gguf"))
    p.add_argument("--per-kind", type=int, default=40)
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--show", action="store_true", help="print every wrong answer")
    p.add_argument("--write", action="store_true", help="write the table into CARD.md and reference.json beside the model")
    p.add_argument("--ask", nargs="*", help="only answer these questions")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    engine = Engine(a.model)
    if a.ask:
        for q in a.ask:
            ids = engine.answer([[{"role": "user", "content": q}]], 400)[0][1]
            print(f"{q!r} -> {engine.tokenizer.decode(ids)!r} ({len(ids)} tokens)")
        return
    made = table(judge(engine, a.per_kind, a.seed, a.show))
    print(made)
    if a.write:
        reference(engine, a.model.parent / "reference.json")
        card = a.model.parent / "CARD.md"
        mark = "<!-- results -->"
        text = re.sub(f"{mark}.*{mark}", lambda _: f"{mark}\n{made}\n{mark}", card.read_text(), flags=re.S)
        card.write_text(text)


if __name__ == "__main__":
    main()
