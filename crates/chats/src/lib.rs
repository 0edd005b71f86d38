//! Keeps conversations in one SQLite file: each chat is a tree of messages of which one
//! branch is shown. A prompt is on disk before its answer begins, and what was once
//! acknowledged stays, whatever ends the program.
//!
//! Knows no model, no engine and no window.

mod answer;
mod chat;
mod error;
mod export;
mod import;
mod list;
mod schema;
mod search;
mod store;
mod transfer;
mod tree;
mod writer;

pub use answer::{Asked, Prompt};
pub use chat::{
    AtLimit, AttachedFile, Chat, ChatEntry, ChatSettings, Details, End, Ending, Figures,
    LONGEST_TEXT, Message, MessageState, Role,
};
pub use error::{ChatsError, Result};
pub use import::Imported;
pub use schema::VERSION as SCHEMA_VERSION;
pub use search::{Hit, Piece};
pub use store::Store;
pub use transfer::{Transfer, TransferMessage};
