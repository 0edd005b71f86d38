"""transformers models with random weights that behave like a trained network's.

Plain noise would make a poor test: logits nearly flat, routers nearly tied, states that vanish or explode. The
spreads below keep the residual stream near 1, the logits at a standard deviation of about 2.5, decays between
short and long, and router margins well above float32 rounding.
"""

import paths  # noqa: F401  (threads and gradients)
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from architectures import FIRST_SPECIAL_TOKEN


def build(config):
    """The transformers model of a config.json dict: float32, eager attention, weights not yet meaningful."""
    keys = {k: v for k, v in config.items() if k not in ("architectures", "model_type", "transformers_version")}
    c = AutoConfig.for_model(config["model_type"], **keys)
    c._experts_implementation = "eager"
    return AutoModelForCausalLM.from_config(c, dtype=torch.float32, attn_implementation="eager").eval()


def randomize(model, seed):
    """Fills every parameter with values representable in bfloat16, drawn in `named_parameters` order."""
    draw = torch.Generator().manual_seed(seed)
    around_one = {
        name
        for name, module in model.named_modules()
        if type(module).__name__ in ("Qwen3NextRMSNormGated", "Qwen3MoeRMSNorm")
    }
    tied = model.config.tie_word_embeddings
    for name, parameter in model.named_parameters():
        values = sample(name, tuple(parameter.shape), draw, name.rsplit(".", 1)[0] in around_one, tied)
        parameter.data.copy_(values.to(torch.bfloat16).to(torch.float32))
    return model


def sample(name, shape, draw, norm_around_one, tied):
    """Random values for one parameter; `name` decides the distribution."""
    gain = shape[-1] ** -0.5  # keeps a matrix product at the scale of its input

    def normal(spread, mean=0.0):
        return torch.randn(shape, generator=draw) * spread + mean

    def uniform(low, high):
        return torch.rand(shape, generator=draw) * (high - low) + low

    if name.endswith("A_log"):
        return torch.log(uniform(0.3, 8.0))
    if name.endswith("dt_bias"):
        return uniform(-6.0, 1.0)
    if "conv1d" in name:
        return normal(0.5)
    if norm_around_one:
        return normal(0.2, mean=1.0)
    if tied and name == "model.norm.weight":
        # Factors 1 + w of both signs: else each token would predict itself, its own embedding being the output row.
        return normal(1.0, mean=-1.0)
    if "norm" in name:
        return normal(0.2)
    if "embed_tokens" in name and not tied:
        return normal(1.0)
    if "lm_head" in name or "embed_tokens" in name:
        values = normal(2.5 * gain)
        values[FIRST_SPECIAL_TOKEN:] *= 0.1  # special tokens stay unlikely, so greedy runs do not end early
        return values
    if name.endswith("mlp.gate.weight"):
        return normal(2.0 * gain)
    if name.endswith(("o_proj.weight", "out_proj.weight", "down_proj", "down_proj.weight")):
        return normal(0.3 * gain)  # what is added to the residual stream stays small beside it
    return normal(gain)
