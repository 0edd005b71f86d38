//! The form of chats outside of the file: our own JSON.

use serde::{Deserialize, Serialize};

use crate::chat::{ChatSettings, Details, MessageState, Role};

/// What the field `format` of our exports says.
pub const FORMAT: &str = "moestro-chats";
pub const FORMAT_VERSION: u64 = 1;

/// A whole chat with all its branches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transfer {
    /// The same in every export of this chat; empty for a new one.
    pub origin: String,
    pub title: String,
    pub folder: String,
    pub pinned: bool,
    /// Milliseconds since 1970.
    pub created: i64,
    pub changed: i64,
    pub draft: String,
    pub settings: ChatSettings,
    /// The last message of the branch that is shown, by its `id` here.
    pub leaf: Option<i64>,
    /// Parents before what follows them.
    pub messages: Vec<TransferMessage>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferMessage {
    /// Means something in this chat only.
    pub id: i64,
    #[serde(default)]
    pub parent: Option<i64>,
    pub role: Role,
    pub text: String,
    #[serde(default)]
    pub created: i64,
    #[serde(default = "done")]
    pub state: MessageState,
    #[serde(default)]
    pub details: Details,
}

fn done() -> MessageState {
    MessageState::Done
}
