//! The engine: loads a Mixture-of-Experts model, keeps its experts where they are
//! fast, and turns commands into events.

pub mod architectures;
pub mod blueprint;
mod cancel;
mod engine;
mod error;
mod experts;
mod generation;
pub mod hardware;
mod host;
mod layers;
mod model;
mod ops;
pub mod placement;
pub mod protocol;
mod session;
mod state;
pub mod stdio;
mod text_assets;
pub mod verdict;
pub mod weights;

pub use cancel::Cancel;
pub use engine::{Engine, Inspection, LoadOptions, inspect};
pub use error::{EngineError, Result};
pub use experts::{ExpertCounters, Experts};
pub use generation::{Generation, Step};
pub use host::{Host, Remote};
pub use model::Logits;
pub use session::Session;
pub use state::KvFormat;
pub use text_assets::TextAssets;
