//! The tokenizer of a GGUF file, rebuilt from its metadata.

use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::error::{Result, TextError};
use crate::guard::guarded;
use crate::tokenizer::MAX_VOCABULARY;

/// The `tokenizer.ggml.*` keys of a GGUF file.
pub struct GgufVocabulary<'a> {
    /// `model`: "gpt2" is byte-level BPE.
    pub model: &'a str,
    /// `pre`: how text is split before merging.
    pub pre: Option<&'a str>,
    /// `tokens`, by id.
    pub tokens: Vec<String>,
    /// `token_type`, by id; empty if the file has none.
    pub token_types: Vec<i32>,
    /// `merges`: two tokens with a space between, best first.
    pub merges: Vec<String>,
}

/// Values of `token_type` (gguf-py, `TokenType`).
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// Qwen2's `tokenizer.json`; Qwen3 and Qwen3-Next have the same.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Names in `tokenizer.ggml.pre` and their patterns.
const PRE_TOKENIZERS: [(&str, &str); 2] = [("qwen2", QWEN2), ("deepseek-r1-qwen", QWEN2)];

pub fn build(parts: GgufVocabulary) -> Result<tokenizers::Tokenizer> {
    let failed = |reason: String| TextError::Tokenizer(reason);
    if parts.model != "gpt2" {
        return Err(failed(format!(
            "tokenizer.ggml.model is '{}'; only 'gpt2' (byte-level BPE) is supported",
            parts.model
        )));
    }
    let pattern = pattern_of(parts.pre)?;
    let (count, types) = (parts.tokens.len(), parts.token_types.len());
    if count > MAX_VOCABULARY {
        return Err(failed(format!(
            "tokenizer.ggml.tokens has {count} entries; at most {MAX_VOCABULARY} are supported"
        )));
    }
    if types != 0 && types != count {
        return Err(failed(format!(
            "tokenizer.ggml.token_type has {types} entries for {count} tokens"
        )));
    }
    let added: Vec<AddedToken> = parts
        .tokens
        .iter()
        .zip(&parts.token_types)
        .filter(|(_, kind)| [CONTROL, USER_DEFINED].contains(kind))
        .map(|(token, &kind)| AddedToken::from(token.as_str(), kind == CONTROL).normalized(false))
        .collect();
    let merges = parts
        .merges
        .iter()
        .map(|line| split_merge(line))
        .collect::<Result<Vec<_>>>()?;
    let mut vocabulary = Vocab::with_capacity(count);
    for (id, token) in parts.tokens.into_iter().enumerate() {
        if let Some(other) = vocabulary.get(&token) {
            return Err(failed(format!(
                "tokenizer.ggml.tokens has '{token}' twice, as {other} and {id}"
            )));
        }
        vocabulary.insert(token, id as u32);
    }
    guarded(|| assemble(vocabulary, merges, pattern, added))
        .map_err(failed)?
        .map_err(|e| failed(format!("tokenizer.ggml.merges: {e}")))
}

fn assemble(
    vocabulary: Vocab,
    merges: Vec<(String, String)>,
    pattern: &str,
    added: Vec<AddedToken>,
) -> tokenizers::Result<tokenizers::Tokenizer> {
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .build()?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_normalizer(Some(NFC))?;
    let pattern = SplitPattern::Regex(pattern.to_string());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
    let bytes = ByteLevel::new(false, false, false);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![
        PreTokenizerWrapper::Split(split),
        PreTokenizerWrapper::ByteLevel(bytes),
    ])));
    tokenizer.with_decoder(Some(bytes));
    tokenizer.add_tokens(added)?;
    Ok(tokenizer)
}

fn pattern_of(pre: Option<&str>) -> Result<&'static str> {
    let found = pre.unwrap_or("(none given)");
    match PRE_TOKENIZERS.iter().find(|(name, _)| *name == found) {
        Some((_, pattern)) => Ok(pattern),
        None => Err(TextError::UnknownPreTokenizer {
            found: found.to_string(),
            known: PRE_TOKENIZERS.map(|(name, _)| name).join(", "),
        }),
    }
}

fn split_merge(line: &str) -> Result<(String, String)> {
    match line.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => {
            Ok((left.to_string(), right.to_string()))
        }
        _ => Err(TextError::Tokenizer(format!(
            "tokenizer.ggml.merges: '{line}' is not two tokens with a space between"
        ))),
    }
}
