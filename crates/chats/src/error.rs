//! What can go wrong with kept chats. Messages are shown to the person as they are.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

#[derive(Debug, thiserror::Error)]
pub enum ChatsError {
    #[error("{}: {action}: {source}; check the folder's permissions and the free space", path.display())]
    File {
        path: PathBuf,
        action: &'static str,
        source: io::Error,
    },
    #[error(
        "the chats in {} cannot be opened: {source}; if the file is damaged, move it away and start Moestro again", path.display()
    )]
    Open {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error(
        "{} is version {found} of the chats, and this Moestro knows version {known}: it can show \
         them but not change them; install a newer Moestro", path.display()
    )]
    ReadOnly {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error("this chat is not there any more; choose another one")]
    NoChat,
    #[error("this message is not there any more; open the chat again")]
    NoMessage,
    #[error("this message cannot be continued: it is not an answer, or it is still being written")]
    NotContinuable,
    #[error("{what} is {size} bytes long and at most {most} can be kept; make it shorter")]
    TooLong {
        what: &'static str,
        size: usize,
        most: usize,
    },
    #[error("the chats are in use by another Moestro for too long; try again")]
    Busy,
    #[error("the disk is full: free some space, then try again; what was kept before is safe")]
    Full,
    #[error("the chats cannot be {action}: {source}")]
    Sql {
        action: &'static str,
        source: rusqlite::Error,
    },
    #[error(
        "this is neither an export of Moestro nor OpenAI's conversations.json: {0}; choose another file"
    )]
    Unknown(String),
    #[error(
        "this export is version {0} and this Moestro knows version 1; install a newer Moestro to read it"
    )]
    NewerExport(u64),
    #[error("the export cannot be written: {0}")]
    Encode(#[from] serde_json::Error),
}

pub type Result<T> = std::result::Result<T, ChatsError>;

impl ChatsError {
    pub(crate) fn file(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            path,
            action,
            source,
        }
    }

    /// For `map_err`: `action` completes "the chats cannot be …".
    pub(crate) fn sql(action: &'static str) -> impl Fn(rusqlite::Error) -> Self {
        move |source| match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Sql { action, source },
        }
    }
}

/// A window receives every error as a sentence.
impl serde::Serialize for ChatsError {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
