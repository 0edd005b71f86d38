//! A vocabulary of the right size that other programs accept too: 256 bytes, a
//! few merges, fillers and the ChatML markers.

use moestro_checkpoint::GgufValue;
use serde_json::{Map, Value, json};

const MERGES: [&str; 6] = ["h e", "t h", "i n", "a n", "e r", "o n"];
const MARKERS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Words of Qwen2's tokenizer, which splits text by this before it merges bytes.
const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// `size` tokens, and how many of them are made of bytes.
fn tokens(size: usize) -> (Vec<String>, usize) {
    let mut tokens: Vec<String> = byte_characters().map(String::from).collect();
    tokens.extend(MERGES.iter().map(|m| m.replace(' ', "")));
    let usual = tokens.len();
    let fillers = size - usual - MARKERS.len();
    tokens.extend((0..fillers).map(|i| format!("[filler {i}]")));
    tokens.extend(MARKERS.map(String::from));
    (tokens, usual)
}

/// tokenizer.json and tokenizer_config.json of a tokenizer with `size` tokens.
pub fn hub(size: usize) -> (Value, Value) {
    let (tokens, _) = tokens(size);
    let first_marker = size - MARKERS.len();
    let ids = tokens[..first_marker].iter().zip(0..);
    let vocabulary: Map<String, Value> = ids.map(|(t, id)| (t.clone(), id.into())).collect();
    let marker = |(i, content): (usize, &&str)| {
        json!({
            "id": first_marker + i, "content": content, "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        })
    };
    let added: Vec<Value> = MARKERS.iter().enumerate().map(marker).collect();
    let bytes = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false,
    });
    let split = json!({
        "type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": false,
    });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes]},
        "post_processor": bytes,
        "decoder": bytes,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": MERGES},
    });
    let settings = json!({
        "tokenizer_class": "Qwen2Tokenizer", "chat_template": TEMPLATE,
        "eos_token": MARKERS[2], "pad_token": MARKERS[0], "add_bos_token": false,
    });
    (tokenizer, settings)
}

/// Metadata of the same in a GGUF file.
pub fn metadata(size: usize) -> Vec<(&'static str, GgufValue)> {
    let (tokens, usual) = tokens(size);
    let mut types = vec![1; usual];
    types.resize(size - MARKERS.len(), 5);
    types.resize(size, 3);
    let end = (size - 1) as u32;
    vec![
        ("tokenizer.ggml.model", GgufValue::String("gpt2".into())),
        ("tokenizer.ggml.pre", GgufValue::String("qwen2".into())),
        ("tokenizer.ggml.tokens", GgufValue::Strings(tokens)),
        ("tokenizer.ggml.token_type", GgufValue::I32s(types)),
        (
            "tokenizer.ggml.merges",
            GgufValue::Strings(MERGES.map(String::from).to_vec()),
        ),
        ("tokenizer.ggml.eos_token_id", GgufValue::U32(end)),
        ("tokenizer.ggml.bos_token_id", GgufValue::U32(end - 2)),
        ("tokenizer.ggml.padding_token_id", GgufValue::U32(end - 2)),
        ("tokenizer.ggml.add_bos_token", GgufValue::Bool(false)),
        (
            "tokenizer.chat_template",
            GgufValue::String(TEMPLATE.into()),
        ),
    ]
}

/// GPT-2's printable stand-ins for the 256 bytes: printable ones stand for
/// themselves, the others for characters from U+0100 on.
fn byte_characters() -> impl Iterator<Item = char> {
    let printable =
        |b: &u32| (33..127).contains(b) || (161..173).contains(b) || (174..256).contains(b);
    let themselves = (0..256).filter(printable);
    let stand_ins = (0..256)
        .filter(move |b| !printable(b))
        .enumerate()
        .map(|(i, _)| 256 + i as u32);
    themselves.chain(stand_ins).filter_map(char::from_u32)
}
