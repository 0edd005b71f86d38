//! A vocabulary of the right size that other programs accept too: 256 bytes, a
//! few merges, fillers and the ChatML markers.

use moestro_checkpoint::GgufValue;

const MERGES: [&str; 6] = ["h e", "t h", "i n", "a n", "e r", "o n"];
const MARKERS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Metadata of a tokenizer with `size` tokens.
pub fn metadata(size: usize) -> Vec<(&'static str, GgufValue)> {
    let mut tokens: Vec<String> = byte_characters().map(String::from).collect();
    tokens.extend(MERGES.iter().map(|m| m.replace(' ', "")));
    let fillers = size - tokens.len() - MARKERS.len();
    let mut types = vec![1; tokens.len()];
    tokens.extend((0..fillers).map(|i| format!("[filler {i}]")));
    types.resize(tokens.len(), 5);
    tokens.extend(MARKERS.map(String::from));
    types.resize(tokens.len(), 3);
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
