//! Models on the Hugging Face Hub: finding them, reading what they are without
//! fetching them, and fetching them into the cache that Hugging Face's own tools
//! share.
//!
//! This crate knows files and addresses, not models: whether a model runs here
//! is for the engine to say. What comes from the network is checked before it
//! names a file or takes memory, and no byte gets a final name before its
//! checksum is right.

mod api;
mod beside;
mod cache;
mod card;
mod catalog;
mod check;
mod client;
mod environment;
mod error;
mod fetch;
mod headers;
mod keyring;
mod library;
mod names;
mod pull;
mod queue;
mod removal;
mod size;
mod token;
mod tree;
mod variants;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use api::{Found, Hub, Repository};
pub use cache::Cache;
pub use card::card;
pub use catalog::{Source, Suggestion, catalog};
pub use check::{Checked, verify};
pub use environment::Environment;
pub use error::{HubError, Result};
pub use fetch::free_space;
pub use fetch::{Fetcher, Options, Phase, Progress, RateLimit, Reading, RepoFile, Stop};
pub use headers::{StandIn, look};
pub use keyring::{Held, Keyring, Refusal};
pub use library::{Model, Place, scan};
pub use moestro_checkpoint::{PartName, part_name};
pub use names::{Commit, Digest, FilePath, RepoId, Revision};
pub use pull::{Meter, PullProgress, PullReading, Selection, pull};
pub use queue::{Job, JobState, JobView, Queue};
pub use removal::{Removal, removal, unfinished};
pub use size::show_bytes;
pub use token::{Token, TokenPlace};
pub use variants::{Container, Supported, Variant, variants};

/// The data behind a lock also after a thread that held it panicked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
