//! What is checked in a `tokenizer.json` before the tokenizers crate reads it.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Result, TextError};

/// Largest file read; the biggest published ones have about 35 MB.
const MAX_BYTES: usize = 256 << 20;

/// The end of every GPT-style pattern. It is the only look-around they use, and
/// costs at most the length of the run of spaces it stands at.
const TRAILING_SPACES: &str = r"\s+(?!\S)";

#[derive(Deserialize)]
pub struct Outline {
    #[serde(default)]
    pub added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
}

#[derive(Deserialize)]
pub struct AddedToken {
    pub id: u32,
    pub content: String,
}

/// Reads the outline and refuses patterns that may backtrack without bound.
pub fn check(bytes: &[u8]) -> Result<Outline> {
    if bytes.len() > MAX_BYTES {
        return Err(TextError::Tokenizer(format!(
            "tokenizer.json has {} MiB; at most {} MiB are read",
            bytes.len() >> 20,
            MAX_BYTES >> 20
        )));
    }
    let outline: Outline = serde_json::from_slice(bytes)
        .map_err(|e| TextError::Tokenizer(format!("tokenizer.json: {e}")))?;
    for part in [
        &outline.normalizer,
        &outline.pre_tokenizer,
        &outline.post_processor,
        &outline.decoder,
    ] {
        check_patterns(part)?;
    }
    Ok(outline)
}

fn check_patterns(part: &Value) -> Result<()> {
    match part {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| match value {
            Value::String(pattern) if name == "Regex" => check_pattern(pattern),
            _ => check_patterns(value),
        }),
        Value::Array(items) => items.iter().try_for_each(check_patterns),
        _ => Ok(()),
    }
}

/// A pattern is safe if, but for the usual look-ahead, it is a regular
/// expression in the strict sense, which is matched in linear time.
pub fn check_pattern(pattern: &str) -> Result<()> {
    let strict = pattern.replace(TRAILING_SPACES, r"\s+");
    regex::Regex::new(&strict).map(drop).map_err(|e| {
        let shown: String = pattern.chars().take(80).collect();
        let reason = e.to_string();
        let reason = reason.lines().last().unwrap_or_default().to_string();
        TextError::Tokenizer(format!(
            "its splitting pattern '{shown}' cannot be matched in bounded time: {reason}"
        ))
    })
}
