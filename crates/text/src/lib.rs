//! Text and tokens: tokenizer, streaming decoder, chat templates and sampling.
//!
//! This crate knows no models and opens no files; callers hand it bytes and
//! values. What it is given may be hostile: every entry point returns an error
//! for it, within bounded time and memory.

mod byte_level;
mod error;
mod gguf;
mod grammar;
mod guard;
mod logits;
mod message;
mod reply;
mod sampler;
mod sampling;
mod stops;
mod stream;
mod template;
mod tokenizer;
mod tokenizer_json;

pub use error::{Result, TextError};
pub use gguf::GgufVocabulary;
pub use grammar::{Constraint, Form, Grammars};
pub use message::{Message, SpecialTokens, TemplateOptions};
pub use reply::{Gate, Part, ReplyParser};
pub use sampler::{Choice, Sampler};
pub use sampling::Sampling;
pub use stream::{Piece, StreamDecoder};
pub use template::ChatTemplate;
pub use tokenizer::Tokenizer;
