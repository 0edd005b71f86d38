//! Text and tokens: tokenizer, streaming decoder, chat templates and sampling.
//!
//! This crate knows no models and opens no files; callers hand it bytes and
//! values. What it is given may be hostile: every entry point returns an error
//! for it, within bounded time and memory.

mod byte_level;
mod error;
mod gguf;
mod guard;
mod logits;
mod message;
mod sampler;
mod sampling;
mod stops;
mod stream;
mod template;
mod tokenizer;
mod tokenizer_json;

pub use error::{Result, TextError};
pub use gguf::GgufVocabulary;
pub use message::{Message, SpecialTokens, TemplateOptions};
pub use sampler::{Choice, Sampler};
pub use sampling::Sampling;
pub use stream::{Piece, StreamDecoder};
pub use template::ChatTemplate;
pub use tokenizer::Tokenizer;
