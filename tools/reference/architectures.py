"""The configurations of the fixture models, as their config.json holds them.

Two spellings of config.json exist: that of the original repositories (transformers 4.57: `rope_theta`,
`partial_rotary_factor`, `full_attention_interval`, `torch_dtype`) and that of transformers 5 (`layer_types`,
`rope_parameters`, `dtype`). `newer_spelling` turns the first into the second, so that the fixtures hold both.
"""

VOCAB = 2048
FIRST_SPECIAL_TOKEN = 1990
END_OF_TEXT, END_OF_TURN = 1990, 1992

COMMON = {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": END_OF_TEXT,
    "decoder_sparse_step": 1,
    "eos_token_id": END_OF_TURN,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "intermediate_size": 640,
    "max_position_embeddings": 262144,
    "mlp_only_layers": [],
    "norm_topk_prob": True,
    "output_router_logits": False,
    "rms_norm_eps": 1e-6,
    "rope_scaling": None,
    "rope_theta": 10000000,
    "router_aux_loss_coef": 0.001,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.57.0.dev0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": VOCAB,
}


def qwen3_next(**sizes):
    """A `qwen3_next` config in the original spelling."""
    return {
        "architectures": ["Qwen3NextForCausalLM"],
        "model_type": "qwen3_next",
        "full_attention_interval": 4,
        "linear_conv_kernel_dim": 4,
        "partial_rotary_factor": 0.25,
        **COMMON,
        **sizes,
    }


def qwen3_moe(**sizes):
    """A `qwen3_moe` config in the original spelling."""
    return {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "max_window_layers": 8,
        "sliding_window": None,
        **COMMON,
        **sizes,
    }


def newer_spelling(config):
    """The same config with the keys that transformers 5 writes."""
    c = dict(config)
    interval, layers = c.pop("full_attention_interval"), c["num_hidden_layers"]
    c["layer_types"] = ["linear_attention" if (i + 1) % interval else "full_attention" for i in range(layers)]
    c["rope_parameters"] = {
        "partial_rotary_factor": c.pop("partial_rotary_factor"),
        "rope_theta": c.pop("rope_theta"),
        "rope_type": "default",
    }
    del c["rope_scaling"]
    c["dtype"] = c.pop("torch_dtype")
    c["transformers_version"] = "5.23.0"
    return c


# Every size differs from its neighbours and few are powers of two, so that a swapped dimension shows.
TINY = qwen3_next(
    hidden_size=64, num_hidden_layers=4, num_experts=8, num_experts_per_tok=2,
    moe_intermediate_size=48, shared_expert_intermediate_size=40,
    head_dim=32, num_attention_heads=4, num_key_value_heads=1,
    linear_key_head_dim=16, linear_value_head_dim=16, linear_num_key_heads=2, linear_num_value_heads=4,
)  # fmt: skip

# The branches the large models do not take: unnormalised top-k, a dense layer, tied embeddings, r = 4.
VARIANTS = newer_spelling(qwen3_next(
    hidden_size=64, num_hidden_layers=4, num_experts=8, num_experts_per_tok=3, norm_topk_prob=False,
    moe_intermediate_size=32, shared_expert_intermediate_size=32, intermediate_size=96, mlp_only_layers=[1],
    head_dim=32, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
    linear_key_head_dim=16, linear_value_head_dim=16, linear_num_key_heads=2, linear_num_value_heads=8,
))  # fmt: skip

# Head sizes and top-k of the 80B model; everything else small.
REALDIMS = qwen3_next(
    hidden_size=64, num_hidden_layers=4, num_experts=32, num_experts_per_tok=10,
    moe_intermediate_size=16, shared_expert_intermediate_size=16,
    head_dim=256, num_attention_heads=4, num_key_value_heads=2,
    linear_key_head_dim=128, linear_value_head_dim=128, linear_num_key_heads=2, linear_num_value_heads=4,
)  # fmt: skip

MOE_TINY = qwen3_moe(
    hidden_size=64, num_hidden_layers=4, num_experts=16, num_experts_per_tok=4, moe_intermediate_size=48,
    head_dim=32, num_attention_heads=4, num_key_value_heads=2,
)  # fmt: skip

# K-quants need rows of 256, so every matrix of the two models below has an inner size of 256.
NEXT_TYPES = qwen3_next(
    hidden_size=256, num_hidden_layers=5, num_experts=4, num_experts_per_tok=2,
    moe_intermediate_size=256, shared_expert_intermediate_size=256,
    head_dim=64, num_attention_heads=4, num_key_value_heads=2,
    linear_key_head_dim=32, linear_value_head_dim=32, linear_num_key_heads=4, linear_num_value_heads=8,
)  # fmt: skip

MOE_TYPES = qwen3_moe(
    hidden_size=256, num_hidden_layers=2, num_experts=5, num_experts_per_tok=2, moe_intermediate_size=256,
    head_dim=64, num_attention_heads=4, num_key_value_heads=2,
)  # fmt: skip
