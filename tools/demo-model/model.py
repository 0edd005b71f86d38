"""Qwen3-Next in plain PyTorch, float32, written for fast training on a CPU.

Parameter names and shapes are those of transformers' `Qwen3NextForCausalLM` (experts fused per layer), so a state
dict of this model loads there unchanged. Only training needs this file: the exported model is checked with
transformers itself (evaluate.py).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHUNK = 32  # tokens per chunk of the delta rule; sequence lengths are multiples of it

CONFIG = {
    "architectures": ["Qwen3NextForCausalLM"],
    "model_type": "qwen3_next",
    "hidden_size": 192,
    "num_hidden_layers": 8,
    "full_attention_interval": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "partial_rotary_factor": 0.25,
    "rope_theta": 10000.0,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "linear_conv_kernel_dim": 4,
    "num_experts": 32,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 64,
    "intermediate_size": 256,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "norm_topk_prob": True,
    "router_aux_loss_coef": 0.001,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "tie_word_embeddings": False,
    "max_position_embeddings": 4096,
    "vocab_size": 1280,
    "use_cache": True,
}


@torch.library.custom_op("demo::experts", mutates_args=())
def routed_experts(
    x: Tensor, weight: Tensor, index: Tensor, gate_up: Tensor, down: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Weighted sum of the chosen experts of each token.

    x [N, H], weight and index [N, K], gate_up [E, 2I, H], down [E, H, I] -> (y [N, H], then what backward needs).
    Tokens are sorted by expert, so that each expert is two plain matrix products without padding.
    """
    n, k = index.shape
    flat = index.reshape(-1)
    order = flat.argsort(stable=True)
    counts = flat.bincount(minlength=gate_up.shape[0])
    xs = x.index_select(0, order // k)
    hidden = x.new_empty(n * k, gate_up.shape[1])
    out = torch.empty_like(xs)
    spans = _spans(counts)
    for e, a, b in spans:
        torch.mm(xs[a:b], gate_up[e].t(), out=hidden[a:b])
    act = _activation(hidden, weight.reshape(-1), order)
    for e, a, b in spans:
        torch.mm(act[a:b], down[e].t(), out=out[a:b])
    return _combine(out, _inverse(order).view(n, k)), xs, hidden, order, counts


@torch.compile
def _activation(hidden: Tensor, weight: Tensor, order: Tensor) -> Tensor:
    gate, up = hidden.chunk(2, -1)
    return F.silu(gate) * up * weight[order].unsqueeze(-1)


@torch.compile
def _activation_backward(hidden: Tensor, weight: Tensor, order: Tensor, dact: Tensor) -> tuple[Tensor, Tensor]:
    gate, up = hidden.chunk(2, -1)
    sig = torch.sigmoid(gate)
    silu = gate * sig
    dw = (dact * silu * up).sum(-1)
    dact = dact * weight[order].unsqueeze(-1)
    return torch.cat([dact * up * (sig + silu * (1 - sig)), dact * silu], -1), dw


@torch.compile
def _combine(rows: Tensor, index: Tensor) -> Tensor:
    """rows [N*K, H], index [N, K] -> sum of each token's K rows [N, H]."""
    return sum(rows[index[:, j]] for j in range(index.shape[1]))


def _inverse(order: Tensor) -> Tensor:
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(order.numel())
    return inverse


def _spans(counts: Tensor) -> list[tuple[int, int, int]]:
    """(expert, first row, end row) of every expert that has tokens."""
    spans, start = [], 0
    for e, c in enumerate(counts.tolist()):
        if c:
            spans.append((e, start, start + c))
        start += c
    return spans


@routed_experts.register_fake
def _(x, weight, index, gate_up, down):
    rows = index.numel()
    return (
        torch.empty_like(x),
        x.new_empty(rows, x.shape[1]),
        x.new_empty(rows, gate_up.shape[1]),
        index.new_empty(rows),
        index.new_empty(gate_up.shape[0]),
    )


@torch.library.custom_op("demo::experts_backward", mutates_args=())
def experts_backward(
    dy: Tensor, xs: Tensor, hidden: Tensor, order: Tensor, counts: Tensor, weight: Tensor, gate_up: Tensor, down: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, weight, gate_up and down (shapes as in `routed_experts`)."""
    n, k = weight.shape
    dys = dy.index_select(0, order // k)
    act = _activation(hidden, weight.reshape(-1), order)
    dact = torch.empty_like(act)
    d_gate_up, d_down = torch.empty_like(gate_up), torch.empty_like(down)
    spans = _spans(counts)
    for e, a, b in spans:
        torch.mm(dys[a:b], down[e], out=dact[a:b])
        torch.mm(dys[a:b].t(), act[a:b], out=d_down[e])
    dhidden, dw = _activation_backward(hidden, weight.reshape(-1), order, dact)
    dxs = torch.empty_like(xs)
    for e, a, b in spans:
        torch.mm(dhidden[a:b], gate_up[e], out=dxs[a:b])
        torch.mm(dhidden[a:b].t(), xs[a:b], out=d_gate_up[e])
    idle = (counts == 0).nonzero()[:, 0]
    d_gate_up[idle], d_down[idle] = 0, 0
    inverse = _inverse(order)
    return _combine(dxs, inverse.view(n, k)), dw.index_select(0, inverse).view(n, k), d_gate_up, d_down


@experts_backward.register_fake
def _(dy, xs, hidden, order, counts, weight, gate_up, down):
    return torch.empty_like(dy), torch.empty_like(weight), torch.empty_like(gate_up), torch.empty_like(down)


def _save_for_backward(ctx, inputs, output):
    _, weight, _, gate_up, down = inputs
    _, xs, hidden, order, counts = output
    ctx.save_for_backward(xs, hidden, order, counts, weight, gate_up, down)


def _backward(ctx, dy, *_unused):
    dx, dw, d_gate_up, d_down = experts_backward(dy.contiguous(), *ctx.saved_tensors)
    return dx, dw, None, d_gate_up, d_down


routed_experts.register_autograd(_backward, setup_context=_save_for_backward)


class Linear(nn.Module):
    """y = W x without bias, initialised with standard deviation `scale / sqrt(inputs)`."""

    def __init__(self, outputs: int, inputs: int, scale: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * scale * inputs**-0.5)

    def forward(self, x):
        return F.linear(x, self.weight)


def rms(x, eps):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


class Norm(nn.Module):
    """RMS norm with the weight stored as its difference from one."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.zeros(width)), eps

    def forward(self, x):
        return rms(x, self.eps) * (1 + self.weight)


class GatedNorm(nn.Module):
    """RMS norm with a plain weight, times silu of the gate."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x, gate):
        return rms(x, self.eps) * self.weight * F.silu(gate)


class GatedDeltaNet(nn.Module):
    """Linear attention with the gated delta rule, in chunks (arXiv 2412.06464)."""

    def __init__(self, c: dict):
        super().__init__()
        self.nk, self.nv = c["linear_num_key_heads"], c["linear_num_value_heads"]
        self.dk, self.dv = c["linear_key_head_dim"], c["linear_value_head_dim"]
        self.key_dim, self.value_dim, self.taps = self.nk * self.dk, self.nv * self.dv, c["linear_conv_kernel_dim"]
        hidden = c["hidden_size"]
        self.in_proj_qkvz = Linear(2 * self.key_dim + 2 * self.value_dim, hidden)
        self.in_proj_ba = Linear(2 * self.nv, hidden)
        self.conv1d = nn.Module()
        self.conv1d.weight = nn.Parameter(torch.randn(2 * self.key_dim + self.value_dim, 1, self.taps) * 0.3)
        with torch.no_grad():
            self.conv1d.weight[:, 0, -1] += 0.7
        dt = torch.empty(self.nv).uniform_(math.log(0.001), math.log(0.2)).exp()
        self.dt_bias = nn.Parameter(dt.expm1().log())  # softplus of it is dt
        self.A_log = nn.Parameter(torch.empty(self.nv).uniform_(1, 8).log())
        self.norm = GatedNorm(self.dv, c["rms_norm_eps"])
        self.out_proj = Linear(hidden, self.value_dim, 0.5)
        self.register_buffer("lower", torch.ones(CHUNK, CHUNK).tril().bool(), persistent=False)
        self.register_buffer("eye", torch.eye(CHUNK), persistent=False)

    def forward(self, x):
        b, t, _ = x.shape
        r = self.nv // self.nk
        y = self.in_proj_qkvz(x).view(b, t, self.nk, 2 * self.dk + 2 * r * self.dv)
        q, k, v, z = y.split([self.dk, self.dk, r * self.dv, r * self.dv], -1)
        beta, a = self.in_proj_ba(x).view(b, t, self.nk, 2 * r).split([r, r], -1)
        m = torch.cat([q.reshape(b, t, -1), k.reshape(b, t, -1), v.reshape(b, t, -1)], -1)
        padded = F.pad(m, (0, 0, self.taps - 1, 0))
        w = self.conv1d.weight[:, 0]
        m = F.silu(sum(padded[:, i : i + t] * w[:, i] for i in range(self.taps)))
        q, k, v = m.split([self.key_dim, self.key_dim, self.value_dim], -1)
        q, k = q.reshape(b, t, self.nk, self.dk), k.reshape(b, t, self.nk, self.dk)
        q = q * torch.rsqrt(q.square().sum(-1, keepdim=True) + 1e-6) * self.dk**-0.5
        k = k * torch.rsqrt(k.square().sum(-1, keepdim=True) + 1e-6)
        g = -self.A_log.exp() * F.softplus(a.reshape(b, t, self.nv) + self.dt_bias)
        o = self.delta_rule(q, k, v.view(b, t, self.nv, self.dv), beta.reshape(b, t, self.nv).sigmoid(), g)
        return self.out_proj(self.norm(o, z.reshape(b, t, self.nv, self.dv)).reshape(b, t, -1))

    def delta_rule(self, q, k, v, beta, g):
        """q, k [B,T,nk,dk], v [B,T,nv,dv], beta and g [B,T,nv] -> [B,T,nv,dv]."""
        b, t = q.shape[:2]
        n = t // CHUNK

        def chunks(y):  # [B, T, h, d] -> [B, nv, n, CHUNK, d]
            y = y.repeat_interleave(self.nv // y.shape[2], 2)
            return y.view(b, n, CHUNK, self.nv, -1).permute(0, 3, 1, 2, 4)

        q, k, v = chunks(q), chunks(k), chunks(v)
        beta, g = (y.view(b, n, CHUNK, self.nv).permute(0, 3, 1, 2) for y in (beta, g))
        total = g.cumsum(-1)
        decay = (total.unsqueeze(-1) - total.unsqueeze(-2)).masked_fill(~self.lower, -1e9).exp()
        kb = k * beta.unsqueeze(-1)
        lower = ((kb @ k.transpose(-1, -2)) * decay).tril(-1)
        grown = total.exp().unsqueeze(-1)
        right = torch.cat([v * beta.unsqueeze(-1), kb * grown], -1)
        solved = torch.linalg.solve_triangular(lower + self.eye, right, upper=False, unitriangular=True)
        u, kc = solved.split([self.dv, self.dk], -1)
        within = (q @ k.transpose(-1, -2)) * decay
        q_decayed, k_decayed = q * grown, k * (total[..., -1:] - total).exp().unsqueeze(-1)
        last = total[..., -1].exp()[..., None, None]
        o = scan_chunks(u, kc, q_decayed, k_decayed, within, last)
        return o.permute(0, 2, 3, 1, 4).reshape(b, t, self.nv, self.dv)


@torch.compiler.disable
def scan_chunks(u, kc, q, k, within, last):
    """Carries the state [B, h, dk, dv] over the chunks: all inputs [B, h, n, ...] -> [B, h, n, CHUNK, dv].

    Not compiled: the loop would be unrolled for each length.
    """
    state, outs = None, []
    parts = zip(*(y.unbind(2) for y in (u, kc, q, k, within, last)), strict=True)
    for u_i, kc_i, q_i, k_i, within_i, last_i in parts:
        if state is None:
            outs.append(within_i @ u_i)
            state = k_i.transpose(-1, -2) @ u_i
        else:
            new = u_i - kc_i @ state
            outs.append(q_i @ state + within_i @ new)
            state = state * last_i + k_i.transpose(-1, -2) @ new
    return torch.stack(outs, 2)


class GatedAttention(nn.Module):
    """Causal attention with partial rotary positions and a sigmoid output gate."""

    def __init__(self, c: dict):
        super().__init__()
        hidden, self.dim = c["hidden_size"], c["head_dim"]
        self.heads, self.kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
        self.q_proj = Linear(self.heads * self.dim * 2, hidden)
        self.k_proj = Linear(self.kv_heads * self.dim, hidden)
        self.v_proj = Linear(self.kv_heads * self.dim, hidden)
        self.o_proj = Linear(hidden, self.heads * self.dim, 0.5)
        self.q_norm, self.k_norm = Norm(self.dim, c["rms_norm_eps"]), Norm(self.dim, c["rms_norm_eps"])
        self.rotary = int(self.dim * c["partial_rotary_factor"])
        powers = torch.arange(0, self.rotary, 2).float() / self.rotary
        self.register_buffer("frequency", c["rope_theta"] ** -powers, persistent=False)

    def rope(self, x, cos, sin):
        a, b = x[..., : self.rotary], x[..., self.rotary :]
        a1, a2 = a.chunk(2, -1)
        return torch.cat([a * cos + torch.cat([-a2, a1], -1) * sin, b], -1)

    def forward(self, x):
        b, t, _ = x.shape
        q, gate = self.q_proj(x).view(b, t, self.heads, 2 * self.dim).chunk(2, -1)
        k, v = self.k_proj(x).view(b, t, self.kv_heads, self.dim), self.v_proj(x).view(b, t, self.kv_heads, self.dim)
        angle = torch.outer(torch.arange(t).float(), self.frequency).repeat(1, 2)
        cos, sin = angle.cos(), angle.sin()
        q = self.rope(self.q_norm(q).transpose(1, 2), cos, sin)
        k = self.rope(self.k_norm(k).transpose(1, 2), cos, sin)
        k, v = (y.repeat_interleave(self.heads // self.kv_heads, 1) for y in (k, v.transpose(1, 2)))
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        return self.o_proj((o * gate.sigmoid()).reshape(b, t, -1))


class SharedExpert(nn.Module):
    def __init__(self, hidden: int, inner: int):
        super().__init__()
        self.gate_proj, self.up_proj = Linear(inner, hidden), Linear(inner, hidden)
        self.down_proj = Linear(hidden, inner, 0.5)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Experts(nn.Module):
    """Only the fused weights; `routed_experts` computes."""

    def __init__(self, count: int, hidden: int, inner: int):
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.randn(count, 2 * inner, hidden) * hidden**-0.5)
        self.down_proj = nn.Parameter(torch.randn(count, hidden, inner) * 0.5 * inner**-0.5)


class MixtureOfExperts(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        hidden, self.count, self.top_k = c["hidden_size"], c["num_experts"], c["num_experts_per_tok"]
        self.gate = Linear(self.count, hidden, 0.5)
        self.experts = Experts(self.count, hidden, c["moe_intermediate_size"])
        self.shared_expert = SharedExpert(hidden, c["shared_expert_intermediate_size"])
        self.shared_expert_gate = Linear(1, hidden)

    def forward(self, x):
        """x [N, H] -> (output [N, H], balance loss, uses per expert [E])."""
        p = self.gate(x).softmax(-1)
        weight, index = p.topk(self.top_k, -1)
        weight = weight / weight.sum(-1, keepdim=True)
        y = routed_experts(x, weight, index, self.experts.gate_up_proj, self.experts.down_proj)
        uses = y[4].float()
        balance = self.count * (uses / index.numel() * p.mean(0)).sum()
        return y[0] + self.shared_expert_gate(x).sigmoid() * self.shared_expert(x), balance, uses


class Layer(nn.Module):
    def __init__(self, c: dict, i: int):
        super().__init__()
        self.full = (i + 1) % c["full_attention_interval"] == 0
        if self.full:
            self.self_attn = GatedAttention(c)
        else:
            self.linear_attn = GatedDeltaNet(c)
        self.mlp = MixtureOfExperts(c)
        self.input_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.post_attention_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])

    def forward(self, x):
        h = self.input_layernorm(x)
        x = x + (self.self_attn(h) if self.full else self.linear_attn(h))
        y, balance, uses = self.mlp(self.post_attention_layernorm(x).view(-1, x.shape[-1]))
        return x + y.view_as(x), balance, uses


class Model(nn.Module):
    """Token ids [B, T] -> (final hidden states [B, T, H], mean balance loss, uses [L, E])."""

    def __init__(self, c: dict):
        super().__init__()
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        nn.init.normal_(self.model.embed_tokens.weight, std=0.5)
        self.model.layers = nn.ModuleList([Layer(c, i) for i in range(c["num_hidden_layers"])])
        self.model.norm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.lm_head = Linear(c["vocab_size"], c["hidden_size"])

    def forward(self, ids, layers=None):
        """`layers`: compiled forms of the layers, for lengths where that pays."""
        x, balances, uses = self.model.embed_tokens(ids), [], []
        for layer in layers or self.model.layers:
            x, balance, used = layer(x)
            balances.append(balance)
            uses.append(used)
        return self.model.norm(x), torch.stack(balances).mean(), torch.stack(uses)
