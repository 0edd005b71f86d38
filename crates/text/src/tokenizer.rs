//! Text to tokens and back.

use std::collections::HashMap;

use tokenizers::{DecoderWrapper, Model};

use crate::byte_level::TokenBytes;
use crate::error::{Result, TextError};
use crate::gguf::{self, GgufVocabulary};
use crate::guard::guarded;
use crate::tokenizer_json;

/// Above any published vocabulary; keeps tables by id small for a damaged file.
pub(crate) const MAX_VOCABULARY: usize = 1 << 22;

/// A byte-level BPE tokenizer (GPT-2, Llama 3, Qwen and most models after them).
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bytes: TokenBytes,
    special: Vec<bool>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// Errors: not such a file; a decoder other than byte-level; a splitting
    /// pattern that could take unbounded time; ids that contradict each other.
    pub fn from_json(bytes: &[u8]) -> Result<Tokenizer> {
        let outline = tokenizer_json::check(bytes)?;
        let inner = guarded(|| tokenizers::Tokenizer::from_bytes(bytes))
            .map_err(TextError::Tokenizer)?
            .map_err(|e| TextError::Tokenizer(format!("tokenizer.json: {e}")))?;
        for token in &outline.added_tokens {
            let found = inner.token_to_id(&token.content);
            if !token.content.is_empty() && found != Some(token.id) {
                return Err(TextError::Tokenizer(format!(
                    "tokenizer.json: the added token '{}' claims id {}, but its place in the \
                     vocabulary is {found:?}",
                    token.content, token.id
                )));
            }
        }
        Tokenizer::new(inner)
    }

    /// Rebuilds the tokenizer from a GGUF file's metadata.
    ///
    /// Errors: a vocabulary that is not byte-level BPE; an unknown pre-tokenizer;
    /// merges of unknown tokens; repeated tokens.
    pub fn from_gguf(parts: GgufVocabulary) -> Result<Tokenizer> {
        Tokenizer::new(gguf::build(parts)?)
    }

    fn new(mut inner: tokenizers::Tokenizer) -> Result<Tokenizer> {
        // A file may ask for padding to any length; prompts are never padded.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|e| TextError::Tokenizer(e.to_string()))?;
        if !matches!(inner.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) {
            return Err(TextError::Tokenizer(
                "its decoder is not ByteLevel; only byte-level BPE tokenizers (GPT-2, Llama 3, \
                 Qwen and their kind) are supported"
                    .into(),
            ));
        }
        let vocabulary = inner.get_vocab(true);
        let size = vocabulary.values().max().map_or(0, |&id| id as usize + 1);
        if size == 0 {
            return Err(TextError::Tokenizer("its vocabulary is empty".into()));
        }
        if size > MAX_VOCABULARY {
            return Err(TextError::Tokenizer(format!(
                "it has a token with id {}; at most {MAX_VOCABULARY} ids are supported",
                size - 1
            )));
        }
        let added = inner.get_added_vocabulary();
        let mut tokens: Vec<Option<String>> = vec![None; size];
        let mut seen: HashMap<u32, &str> = HashMap::with_capacity(vocabulary.len());
        for (token, &id) in &vocabulary {
            if let Some(other) = seen.insert(id, token) {
                return Err(TextError::Tokenizer(format!(
                    "the tokens '{token}' and '{other}' share the id {id}"
                )));
            }
            tokens[id as usize] = added
                .simple_id_to_token(id)
                .or_else(|| inner.get_model().id_to_token(id));
        }
        let special = tokens
            .iter()
            .map(|token| token.as_ref().is_some_and(|t| added.is_special_token(t)))
            .collect();
        let bytes = TokenBytes::new(tokens.iter().map(Option::as_deref));
        Ok(Tokenizer {
            inner,
            bytes,
            special,
        })
    }

    /// The tokens of a text. None is added; special tokens written in the text
    /// become their ids.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = guarded(|| self.inner.encode_fast(text, false))
            .map_err(TextError::Encode)?
            .map_err(|e| TextError::Encode(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens; bytes that are no UTF-8 become U+FFFD, ids outside the
    /// vocabulary nothing.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for &id in ids {
            if !(skip_special && self.is_special(id)) {
                bytes.extend_from_slice(self.bytes.get(id));
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// One more than the highest id; a model's output may be padded beyond it.
    pub fn vocab_size(&self) -> usize {
        self.special.len()
    }

    /// Control tokens such as `<|im_end|>`, which are not shown.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }

    /// One token as text, with U+FFFD for parts of characters.
    pub fn piece(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)?;
        Some(String::from_utf8_lossy(self.bytes.get(id)).into_owned())
    }

    /// One token's bytes; empty for an id outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id)
    }
}
