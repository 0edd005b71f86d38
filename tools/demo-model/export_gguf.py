"""Writes a training checkpoint as GGUF (architecture qwen3next, Q8_0), with tokenizer and chat template.

Names, keys and value conventions are those of llama.cpp's converter: (1 + w) norms are stored as w + 1, A as
-exp(A_log), the input projection of DeltaNet split into attn_qkv (all q, all k, all v) and attn_gate (z).
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type

import tokenizer as tok

ALIGNED = 32  # a Q8_0 block


def split_projection(w: np.ndarray, c: dict) -> tuple[np.ndarray, np.ndarray]:
    """in_proj_qkvz [per key head: q, k, v of r heads, z of r heads] -> (q|k|v with all heads of each together, z)."""
    nk, dk = c["linear_num_key_heads"], c["linear_key_head_dim"]
    rv = c["linear_num_value_heads"] // nk * c["linear_value_head_dim"]
    q, k, v, z = np.split(w.reshape(nk, 2 * dk + 2 * rv, -1), [dk, 2 * dk, 2 * dk + rv], axis=1)
    flat = lambda x: x.reshape(-1, w.shape[1])  # noqa: E731
    return np.concatenate([flat(q), flat(k), flat(v)]), flat(z)


def tensors(state: dict[str, torch.Tensor], c: dict):
    """(GGUF name, array, is a matrix to quantize) for every tensor."""
    w = {k: v.float().numpy() for k, v in state.items()}
    yield "token_embd.weight", w["model.embed_tokens.weight"], True
    yield "output_norm.weight", w["model.norm.weight"] + 1, False
    yield "output.weight", w["lm_head.weight"], True
    for i in range(c["num_hidden_layers"]):
        hf, to = f"model.layers.{i}.", f"blk.{i}."
        yield to + "attn_norm.weight", w[hf + "input_layernorm.weight"] + 1, False
        yield to + "post_attention_norm.weight", w[hf + "post_attention_layernorm.weight"] + 1, False
        if (i + 1) % c["full_attention_interval"] == 0:
            for name, target in (("q_proj", "attn_q"), ("k_proj", "attn_k"), ("v_proj", "attn_v"), ("o_proj", "attn_output")):
                yield f"{to}{target}.weight", w[f"{hf}self_attn.{name}.weight"], True
            yield to + "attn_q_norm.weight", w[hf + "self_attn.q_norm.weight"] + 1, False
            yield to + "attn_k_norm.weight", w[hf + "self_attn.k_norm.weight"] + 1, False
        else:
            delta = hf + "linear_attn."
            qkv, z = split_projection(w[delta + "in_proj_qkvz.weight"], c)
            yield to + "attn_qkv.weight", qkv, True
            yield to + "attn_gate.weight", z, True
            yield to + "ssm_ba.weight", w[delta + "in_proj_ba.weight"], True
            yield to + "ssm_conv1d.weight", w[delta + "conv1d.weight"][:, 0], False
            yield to + "ssm_dt.bias", w[delta + "dt_bias"], False
            yield to + "ssm_a", -np.exp(w[delta + "A_log"]), False
            yield to + "ssm_norm.weight", w[delta + "norm.weight"], False
            yield to + "ssm_out.weight", w[delta + "out_proj.weight"], True
        mlp = hf + "mlp."
        gate, up = np.split(w[mlp + "experts.gate_up_proj"], 2, axis=1)
        yield to + "ffn_gate_inp.weight", w[mlp + "gate.weight"], False
        yield to + "ffn_gate_exps.weight", gate, True
        yield to + "ffn_up_exps.weight", up, True
        yield to + "ffn_down_exps.weight", w[mlp + "experts.down_proj"], True
        yield to + "ffn_gate_inp_shexp.weight", w[mlp + "shared_expert_gate.weight"][0], False
        for name in ("gate", "up", "down"):
            yield f"{to}ffn_{name}_shexp.weight", w[f"{mlp}shared_expert.{name}_proj.weight"], True


def write_keys(writer: gguf.GGUFWriter, c: dict):
    arch = gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.QWEN3NEXT]
    writer.add_type("model")
    writer.add_name("Moestro Demo")
    writer.add_description("A toy: tiny Qwen3-Next model trained on synthetic questions, to show Moestro at work.")
    writer.add_license("MIT OR Apache-2.0")
    writer.add_size_label(f"{c['num_experts']}x{c['moe_intermediate_size']}")
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_head_count_kv(c["num_key_value_heads"])
    writer.add_rope_freq_base(c["rope_theta"])
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_expert_count(c["num_experts"])
    writer.add_expert_used_count(c["num_experts_per_tok"])
    writer.add_key_length(c["head_dim"])
    writer.add_value_length(c["head_dim"])
    writer.add_expert_feed_forward_length(c["moe_intermediate_size"])
    writer.add_expert_shared_feed_forward_length(c["shared_expert_intermediate_size"])
    writer.add_ssm_conv_kernel(c["linear_conv_kernel_dim"])
    writer.add_ssm_state_size(c["linear_key_head_dim"])
    writer.add_ssm_group_count(c["linear_num_key_heads"])
    writer.add_ssm_time_step_rank(c["linear_num_value_heads"])
    writer.add_ssm_inner_size(c["linear_num_value_heads"] * c["linear_value_head_dim"])
    interval = c["full_attention_interval"]
    writer.add_array(f"{arch}.attention.recurrent_layers", [(i + 1) % interval != 0 for i in range(c["num_hidden_layers"])])
    writer.add_uint32(f"{arch}.full_attention_interval", interval)
    writer.add_rope_dimension_count(int(c["head_dim"] * c["partial_rotary_factor"]))


def write_tokenizer(writer: gguf.GGUFWriter, path: Path):
    content = json.loads(path.read_text())
    pieces = {i: t for t, i in content["model"]["vocab"].items()}
    kinds = {i: gguf.TokenType.NORMAL for i in pieces}
    for added in content["added_tokens"]:
        pieces[added["id"]] = added["content"]
        kinds[added["id"]] = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
    ids = {t: i for i, t in pieces.items()}
    assert sorted(pieces) == list(range(tok.VOCABULARY))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([pieces[i] for i in range(tok.VOCABULARY)])
    writer.add_token_types([kinds[i] for i in range(tok.VOCABULARY)])
    writer.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in content["model"]["merges"]])
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_bos_token_id(ids["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(tok.TEMPLATE)


def export(run: Path, out: Path, averaged: bool = True):
    saved = torch.load(run / "checkpoint.pt", weights_only=False)
    c = saved["config"]
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial")
    writer = gguf.GGUFWriter(str(partial), "qwen3next")
    write_keys(writer, c)
    write_tokenizer(writer, run / "tokenizer.json")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    for name, array, matrix in tensors(saved["average" if averaged else "model"], c):
        array = np.ascontiguousarray(array, np.float32)
        if matrix:
            assert array.shape[-1] % ALIGNED == 0, f"{name}: {array.shape}"
            writer.add_tensor(name, gguf.quants.quantize(array, Type.Q8_0), raw_dtype=Type.Q8_0)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.rename(out)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, step {saved['step']}, {saved['tokens']:,} tokens")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--run", type=Path, default=Path("run"))
    p.add_argument("--out", type=Path, default=Path("../../models/demo/moestro-demo.gguf"))
    a = p.parse_args()
    export(a.run, a.out)
