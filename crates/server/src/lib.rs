//! The engine over HTTP: what clients of OpenAI's and Anthropic's APIs expect, and
//! endpoints of its own. Also the engine behind a pipe, with a switch for all that.
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
mod stdio;
mod switch;
mod tickets;

pub use listen::{Running, start};
pub use model::Present;
pub use settings::{ServerError, Settings};
pub use stdio::serve as serve_stdio;
pub use switch::{ApiCommand, ApiEvent};
pub use tickets::{Observer, RequestSeen};
