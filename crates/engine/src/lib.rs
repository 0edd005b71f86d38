//! The engine: loads a Mixture-of-Experts model, keeps its experts where they are
//! fast, and turns commands into events.

pub mod architectures;
mod batch;
pub mod blueprint;
mod cancel;
mod engine;
mod error;
mod experts;
mod forecast;
mod generation;
mod gpu;
pub mod hardware;
mod host;
mod info;
mod inspection;
mod layers;
mod model;
mod ops;
pub mod placement;
mod precision;
pub mod protocol;
pub mod quantize;
mod schedule;
mod session;
mod state;
mod text_assets;
pub mod verdict;
pub mod weights;

pub use batch::{BatchAnswer, generate_batch};
pub use cancel::Cancel;
pub use engine::{Engine, LoadOptions};
pub use error::{EngineError, Result};
pub use experts::{ExpertCounters, Experts};
pub use forecast::Pace;
pub use generation::{Generation, Step};
pub use host::{Host, Listener, Remote};
pub use inspection::{Inspection, inspect};
pub use model::Logits;
pub use precision::Precision;
pub use session::Session;
pub use text_assets::TextAssets;

/// Where the routing of models is remembered.
pub fn profiles_folder() -> Option<std::path::PathBuf> {
    Some(data_folder()?.join("profiles"))
}

/// What a host keeps from one start to the next, and where; `None` keeps nothing.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    /// How models route.
    pub profiles: Option<std::path::PathBuf>,
    /// Weights that were quantized.
    pub quantized: Option<std::path::PathBuf>,
}

impl Folders {
    /// Those of the person who runs the program.
    pub fn usual() -> Folders {
        Folders {
            profiles: profiles_folder(),
            quantized: quantize::folder(),
        }
    }
}

/// Where the bandwidths of this machine are remembered.
pub fn bandwidth_file() -> Option<std::path::PathBuf> {
    Some(data_folder()?.join("bandwidth.json"))
}

/// `moestro` in the person's data directory (XDG Base Directory Specification
/// 0.8). `None` without one.
fn data_folder() -> Option<std::path::PathBuf> {
    use std::path::PathBuf;
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let named = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let data = named
        .and_then(absolute)
        .or_else(|| Some(home?.join(".local/share")))?;
    absolute(data.join("moestro"))
}
