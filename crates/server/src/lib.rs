//! The engine over HTTP: what clients of OpenAI's and Anthropic's APIs expect, and
//! endpoints of its own.
//!
//! Nobody who connects is trusted: every request passes [`guard`](self) and limits
//! before a handler sees it, and none can make the engine wait for it.

mod answers;
mod anthropic;
mod body;
mod error;
mod guard;
mod limits;
mod listen;
mod metrics;
mod model;
mod openai;
mod openapi;
mod own;
mod patient;
mod reply;
mod respond;
mod routes;
mod settings;
mod sse;
mod tickets;

pub use listen::{Running, start};
pub use model::Present;
pub use settings::{ServerError, Settings};
pub use tickets::{Observer, RequestSeen};
