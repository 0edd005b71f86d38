"""Writing and reading GGUF files: llama.cpp's metadata keys, the tokenizer, and the tensors."""

import json

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

from architectures import END_OF_TEXT, END_OF_TURN
from block_formats import quantize
from gguf_names import is_attention, is_next
from paths import TOKENIZER


def write(path, name, config, tensors, types, legacy=False, tensors_per_file=0):
    """Writes {name: float32 array} with the type `types[name]` each, and all metadata.

    legacy: without the keys that came with the split projections. tensors_per_file: split after that many.
    """
    arch = "qwen3next" if is_next(config) else "qwen3moe"
    writer = gguf.GGUFWriter(path, arch, split_max_tensors=tensors_per_file)
    add_metadata(writer, arch, name, config, legacy)
    add_tokenizer(writer, config["vocab_size"])
    for key, array in tensors.items():
        writer.add_tensor(key, quantize(np.ascontiguousarray(array, np.float32), types[key]), raw_dtype=types[key])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_metadata(w, arch, name, config, legacy):
    w.add_type("model")
    w.add_name(name)
    w.add_file_type(gguf.LlamaFileType.GUESSED)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    sampling = json.loads((TOKENIZER / "generation_config.json").read_text())
    w.add_int32("general.sampling.top_k", sampling["top_k"])
    w.add_float32("general.sampling.top_p", sampling["top_p"])
    w.add_float32("general.sampling.temp", sampling["temperature"])
    w.add_uint32(f"{arch}.block_count", config["num_hidden_layers"])
    w.add_uint32(f"{arch}.context_length", config["max_position_embeddings"])
    w.add_uint32(f"{arch}.embedding_length", config["hidden_size"])
    w.add_uint32(f"{arch}.feed_forward_length", config["intermediate_size"])
    w.add_uint32(f"{arch}.attention.head_count", config["num_attention_heads"])
    w.add_uint32(f"{arch}.attention.head_count_kv", config["num_key_value_heads"])
    w.add_uint32(f"{arch}.attention.key_length", config["head_dim"])
    w.add_uint32(f"{arch}.attention.value_length", config["head_dim"])
    w.add_float32(f"{arch}.attention.layer_norm_rms_epsilon", config["rms_norm_eps"])
    w.add_float32(f"{arch}.rope.freq_base", config["rope_theta"])
    w.add_uint32(f"{arch}.expert_count", config["num_experts"])
    w.add_uint32(f"{arch}.expert_used_count", config["num_experts_per_tok"])
    w.add_uint32(f"{arch}.expert_feed_forward_length", config["moe_intermediate_size"])
    if not is_next(config):
        return
    w.add_uint32(f"{arch}.expert_shared_feed_forward_length", config["shared_expert_intermediate_size"])
    w.add_uint32(f"{arch}.rope.dimension_count", int(config["head_dim"] * config["partial_rotary_factor"]))
    w.add_uint32(f"{arch}.ssm.conv_kernel", config["linear_conv_kernel_dim"])
    w.add_uint32(f"{arch}.ssm.state_size", config["linear_key_head_dim"])
    w.add_uint32(f"{arch}.ssm.group_count", config["linear_num_key_heads"])
    w.add_uint32(f"{arch}.ssm.time_step_rank", config["linear_num_value_heads"])
    w.add_uint32(f"{arch}.ssm.inner_size", config["linear_num_value_heads"] * config["linear_value_head_dim"])
    if not legacy:
        recurrent = [not is_attention(config, i) for i in range(config["num_hidden_layers"])]
        w.add_array(f"{arch}.attention.recurrent_layers", recurrent)
        w.add_uint32(f"{arch}.full_attention_interval", config["full_attention_interval"])


def add_tokenizer(w, vocab_size):
    """The tokenizer of the fixtures as llama.cpp's converter writes it; ids without a token become [PADn]."""
    tokenizer = json.loads((TOKENIZER / "tokenizer.json").read_text())
    settings = json.loads((TOKENIZER / "tokenizer_config.json").read_text())
    tokens = [f"[PAD{i}]" for i in range(vocab_size)]
    kinds = [gguf.TokenType.UNUSED] * vocab_size
    for token, i in tokenizer["model"]["vocab"].items():
        tokens[i], kinds[i] = token, gguf.TokenType.NORMAL
    for added in tokenizer["added_tokens"]:
        control = added["special"] or (added["content"].startswith("<|") and added["content"].endswith("|>"))
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = gguf.TokenType.CONTROL if control else gguf.TokenType.USER_DEFINED
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    w.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    w.add_eos_token_id(END_OF_TURN)
    w.add_pad_token_id(END_OF_TEXT)
    w.add_bos_token_id(END_OF_TEXT)
    w.add_add_bos_token(False)
    w.add_add_eos_token(False)
    w.add_chat_template(settings["chat_template"])


def read(*paths):
    """({name: float32 array}, {name: type}) of one GGUF file or of all parts of a split one, by gguf-py."""
    tensors, types = {}, {}
    for path in paths:
        for t in gguf.GGUFReader(path).tensors:
            if t.name in tensors:
                raise ValueError(f"{path}: {t.name} occurs twice")
            shape = [int(n) for n in reversed(t.shape)]
            tensors[t.name] = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32).reshape(shape)
            types[t.name] = Type(t.tensor_type)
    return tensors, types
