"""Runs a transformers model over a prompt and writes down what an engine must reproduce."""

import sys

import numpy as np
import torch
from safetensors.numpy import save_file

GREEDY_TOKENS = 32


def record(model, ids):
    """Reference outputs of one prompt as numpy arrays; the README lists keys, shapes and types."""
    routers = RouterTap(model)
    logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    routers.remove()
    n = len(ids)
    positions = sorted({0, 1, 5, n // 4, n // 2, n - 2, n - 1})
    layers, chosen, margins = routers.stacked(model.config.num_experts_per_tok)
    tokens, token_margins = greedy(model, ids)
    return {
        "input_ids": np.array(ids, np.uint32),
        "logits_pos": np.array(positions, np.uint32),
        "logits": logits[positions].numpy(),
        "argmax": logits.argmax(-1).numpy().astype(np.uint32),
        "moe_layers": np.array(layers, np.uint32),
        "router_topk": chosen.numpy().astype(np.uint16),
        "router_margin": margins.numpy(),
        "greedy_ids": np.array(tokens, np.uint32),
        "greedy_margin": np.array(token_margins, np.float32),
    }


def greedy(model, ids):
    """(tokens, margins): the continuation with a cache, checked against one uncached pass over the result."""
    out = model(input_ids=torch.tensor([ids]), use_cache=True)
    tokens, margins = [], []
    for _ in range(GREEDY_TOKENS):
        best = out.logits[0, -1].topk(2)
        tokens.append(int(best.indices[0]))
        margins.append(float(best.values[0] - best.values[1]))
        out = model(input_ids=torch.tensor([tokens[-1:]]), past_key_values=out.past_key_values, use_cache=True)
    full = model(input_ids=torch.tensor([ids + tokens]), use_cache=False).logits[0]
    if full[len(ids) - 1 : -1].argmax(-1).tolist() != tokens:
        raise RuntimeError("the cached and the uncached run of transformers disagree; choose another seed")
    return tokens, margins


class RouterTap:
    """Collects each router's logits and choices during one forward pass."""

    def __init__(self, model):
        self.seen = {}
        self.hooks = [
            layer.mlp.gate.register_forward_hook(lambda _m, _i, out, at=i: self.seen.__setitem__(at, out))
            for i, layer in enumerate(model.model.layers)
            if hasattr(layer.mlp, "experts")
        ]

    def remove(self):
        for hook in self.hooks:
            hook.remove()

    def stacked(self, k):
        """(layer numbers, experts [Lmoe, T, k] best first, margin [Lmoe, T] of the k-th logit over the next)."""
        layers, chosen, margins = sorted(self.seen), [], []
        for layer in layers:
            logits, _, experts = self.seen[layer]
            best = logits.topk(k + 1, -1)
            if not torch.equal(best.indices[:, :k].sort().values, experts.sort().values):
                raise RuntimeError(f"layer {layer}: the router's choice is not the top k of its logits")
            chosen.append(experts)
            margins.append(best.values[:, k - 1] - best.values[:, k])
        return layers, torch.stack(chosen), torch.stack(margins)


def record_prompts(model, prompts, folder):
    """Writes `<prompt>.safetensors` for each prompt into `folder` and prints how safe the choices are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, ids in prompts.items():
        out = record(model, ids)
        save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, folder / f"{name}.safetensors")
        print(
            f"  {folder.parent.name}/{folder.name}/{name}: router margin >= {out['router_margin'].min():.1e},"
            f" greedy margin >= {out['greedy_margin'].min():.1e}, logits std {out['logits'].std():.2f}",
            flush=True,
        )


def trace(model, ids):
    """Inner values of every layer over one prompt, without the batch dimension; for finding where engines part."""
    out, hooks = {}, []

    def keep(name):
        def hook(_module, _inputs, result):
            result = result[0] if isinstance(result, tuple) else result
            out[name] = result.reshape(-1, result.shape[-1])

        return hook

    def tap(module, name):
        hooks.append(module.register_forward_hook(keep(name)))

    tap(model.model.embed_tokens, "embedding")
    tap(model.model.norm, "final_norm")
    linear = []
    for i, layer in enumerate(model.model.layers):
        tap(layer.input_layernorm, f"layers.{i}.mixer.in")
        tap(layer.self_attn if hasattr(layer, "self_attn") else layer.linear_attn, f"layers.{i}.mixer.out")
        tap(layer.post_attention_layernorm, f"layers.{i}.moe.in")
        tap(layer.mlp, f"layers.{i}.moe.out")
        tap(layer, f"layers.{i}.out")
        if hasattr(layer.mlp, "experts"):
            tap(layer.mlp.gate, f"layers.{i}.router.logits")
        if hasattr(layer, "linear_attn"):
            linear.append(i)

    # The DeltaNet rule is a plain function, so it is caught by standing in for it in its module.
    module = sys.modules[type(model).__module__]
    rule, calls = module.torch_chunk_gated_delta_rule, []

    def watched(q, k, v, g, beta, output_final_state=False, **rest):
        result, state = rule(q, k, v, g=g, beta=beta, output_final_state=True, **rest)
        calls.append({"q": q, "k": k, "v": v, "g": g, "beta": beta, "out": result, "state": state})
        return result, state if output_final_state else None

    module.torch_chunk_gated_delta_rule = watched
    try:
        model(input_ids=torch.tensor([ids]), use_cache=False)
    finally:
        module.torch_chunk_gated_delta_rule = rule
        for hook in hooks:
            hook.remove()
    for i, call in zip(linear, calls, strict=True):
        out.update({f"layers.{i}.delta.{name}": value[0] for name, value in call.items()})
    return {name: np.ascontiguousarray(value.numpy()) for name, value in out.items()}
