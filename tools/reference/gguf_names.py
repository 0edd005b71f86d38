"""Hub tensors <-> llama.cpp's tensors for `qwen3next` and `qwen3moe`: names, orders and conventions.

What differs beside the names: experts are stacked to [E, out, in]; zero-centred norms hold w + 1; `ssm_a` is
-exp(A_log); the fused projection q|k|v|z of each key head is split into `attn_qkv` (all q, all k, all v) and
`attn_gate` (z) in newer files and kept whole as `ssm_in` in older ones; the convolution loses its middle axis.
All arrays here are float32 numpy, in [out, in] order (GGUF files list the sizes reversed).
"""

import numpy as np

ATTENTION = {"attn_q": "q_proj", "attn_k": "k_proj", "attn_v": "v_proj", "attn_output": "o_proj"}
HEAD_NORMS = {"attn_q_norm": "q_norm", "attn_k_norm": "k_norm"}
FEED_FORWARD = ("gate", "up", "down")


class LinearShape:
    """Sizes of the DeltaNet projections: key heads, value heads per key head, and the two head sizes."""

    def __init__(self, config):
        self.heads = config["linear_num_key_heads"]
        self.ratio = config["linear_num_value_heads"] // self.heads
        self.dk, self.dv = config["linear_key_head_dim"], config["linear_value_head_dim"]
        self.parts = (self.dk, self.dk, self.ratio * self.dv, self.ratio * self.dv)  # q, k, v, z of one key head

    def split(self, qkvz):
        """in_proj_qkvz [heads * sum(parts), H] -> (attn_qkv, attn_gate)."""
        hidden = qkvz.shape[1]
        per_head = qkvz.reshape(self.heads, sum(self.parts), hidden)
        q, k, v, z = (p.reshape(-1, hidden) for p in np.split(per_head, np.cumsum(self.parts)[:-1], axis=1))
        return np.concatenate([q, k, v]), z

    def join(self, qkv, z):
        """(attn_qkv, attn_gate) -> in_proj_qkvz."""
        hidden, keys = qkv.shape[1], self.heads * self.dk
        whole = (qkv[:keys], qkv[keys : 2 * keys], qkv[2 * keys :], z)
        per_head = [p.reshape(self.heads, size, hidden) for p, size in zip(whole, self.parts, strict=True)]
        return np.concatenate(per_head, axis=1).reshape(-1, hidden)


def is_next(config):
    return config["model_type"] == "qwen3_next"


def is_attention(config, layer):
    return not is_next(config) or (layer + 1) % config["full_attention_interval"] == 0


def to_gguf(hub, config, legacy=False, fused_experts=False):
    """Hub tensors (float32 numpy) -> {GGUF name: array} in file order.

    legacy: one `ssm_in` per linear layer, and `ffn_gate_inp_shexp` [H] instead of [1, H].
    fused_experts: `ffn_gate_up_exps` instead of two tensors.
    """
    centre = 1.0 if is_next(config) else 0.0
    out = {
        "token_embd.weight": hub["model.embed_tokens.weight"],
        "output_norm.weight": hub["model.norm.weight"] + centre,
        "output.weight": hub["lm_head.weight"],
    }
    for i in range(config["num_hidden_layers"]):
        here, there = f"blk.{i}.", f"model.layers.{i}."
        out[here + "attn_norm.weight"] = hub[there + "input_layernorm.weight"] + centre
        second = "post_attention_norm" if is_next(config) else "ffn_norm"
        out[f"{here}{second}.weight"] = hub[there + "post_attention_layernorm.weight"] + centre
        if is_attention(config, i):
            for ours, theirs in ATTENTION.items():
                out[f"{here}{ours}.weight"] = hub[f"{there}self_attn.{theirs}.weight"]
            for ours, theirs in HEAD_NORMS.items():
                out[f"{here}{ours}.weight"] = hub[f"{there}self_attn.{theirs}.weight"] + centre
        else:
            linear = there + "linear_attn."
            qkvz = hub[linear + "in_proj_qkvz.weight"]
            if legacy:
                out[here + "ssm_in.weight"] = qkvz
            else:
                out[here + "attn_qkv.weight"], out[here + "attn_gate.weight"] = LinearShape(config).split(qkvz)
            out[here + "ssm_ba.weight"] = hub[linear + "in_proj_ba.weight"]
            out[here + "ssm_conv1d.weight"] = hub[linear + "conv1d.weight"][:, 0]
            out[here + "ssm_dt.bias"] = hub[linear + "dt_bias"]
            out[here + "ssm_a"] = -np.exp(hub[linear + "A_log"])
            out[here + "ssm_norm.weight"] = hub[linear + "norm.weight"]
            out[here + "ssm_out.weight"] = hub[linear + "out_proj.weight"]
        mlp = there + "mlp."
        out[here + "ffn_gate_inp.weight"] = hub[mlp + "gate.weight"]
        experts = range(config["num_experts"])
        stacks = {p: np.stack([hub[f"{mlp}experts.{e}.{p}_proj.weight"] for e in experts]) for p in FEED_FORWARD}
        if fused_experts:
            out[here + "ffn_gate_up_exps.weight"] = np.concatenate([stacks.pop("gate"), stacks.pop("up")], axis=1)
        for part, stack in stacks.items():
            out[f"{here}ffn_{part}_exps.weight"] = stack
        if is_next(config):
            shared_gate = hub[mlp + "shared_expert_gate.weight"]
            out[here + "ffn_gate_inp_shexp.weight"] = shared_gate[0] if legacy else shared_gate
            for part in FEED_FORWARD:
                out[f"{here}ffn_{part}_shexp.weight"] = hub[f"{mlp}shared_expert.{part}_proj.weight"]
    return out


def from_gguf(tensors, config):
    """{GGUF name: float32 array} -> hub tensors. Either layout; fails on a tensor that is missing or left over."""
    left = dict(tensors)
    centre = np.float32(1.0 if is_next(config) else 0.0)
    out = {"model.embed_tokens.weight": left.pop("token_embd.weight")}
    out["lm_head.weight"] = left.pop("output.weight")
    out["model.norm.weight"] = left.pop("output_norm.weight") - centre
    for i in range(config["num_hidden_layers"]):
        there = f"model.layers.{i}."

        def take(name, at=f"blk.{i}."):
            return left.pop(at + name)

        out[there + "input_layernorm.weight"] = take("attn_norm.weight") - centre
        second = "post_attention_norm" if is_next(config) else "ffn_norm"
        out[there + "post_attention_layernorm.weight"] = take(second + ".weight") - centre
        if is_attention(config, i):
            for ours, theirs in ATTENTION.items():
                out[f"{there}self_attn.{theirs}.weight"] = take(ours + ".weight")
            for ours, theirs in HEAD_NORMS.items():
                out[f"{there}self_attn.{theirs}.weight"] = take(ours + ".weight") - centre
        else:
            linear = there + "linear_attn."
            if f"blk.{i}.ssm_in.weight" in left:
                qkvz = take("ssm_in.weight")
            else:
                qkvz = LinearShape(config).join(take("attn_qkv.weight"), take("attn_gate.weight"))
            out[linear + "in_proj_qkvz.weight"] = qkvz
            out[linear + "in_proj_ba.weight"] = take("ssm_ba.weight")
            out[linear + "conv1d.weight"] = take("ssm_conv1d.weight")[:, None]
            out[linear + "dt_bias"] = take("ssm_dt.bias")
            out[linear + "A_log"] = np.log(-take("ssm_a"))
            out[linear + "norm.weight"] = take("ssm_norm.weight")
            out[linear + "out_proj.weight"] = take("ssm_out.weight")
        mlp = there + "mlp."
        out[mlp + "gate.weight"] = take("ffn_gate_inp.weight")
        if f"blk.{i}.ffn_gate_up_exps.weight" in left:
            gate, up = np.split(take("ffn_gate_up_exps.weight"), 2, axis=1)
        else:
            gate, up = take("ffn_gate_exps.weight"), take("ffn_up_exps.weight")
        for part, stack in zip(FEED_FORWARD, (gate, up, take("ffn_down_exps.weight")), strict=True):
            for e, expert in enumerate(stack):
                out[f"{mlp}experts.{e}.{part}_proj.weight"] = expert
        if is_next(config):
            out[mlp + "shared_expert_gate.weight"] = take("ffn_gate_inp_shexp.weight").reshape(1, -1)
            for part in FEED_FORWARD:
                out[f"{mlp}shared_expert.{part}_proj.weight"] = take(f"ffn_{part}_shexp.weight")
    if left:
        raise ValueError(f"tensors without a place: {sorted(left)}")
    return out
