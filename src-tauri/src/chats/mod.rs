//! Chats behind the window: the file they are kept in, the commands for it, and the
//! recorder that writes answers down as the engine gives them.

pub mod answers;
pub mod commands;
pub mod recorder;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moestro_chats::{ChatsError, Store};

/// The file of chats, or why there is none.
#[derive(Clone)]
pub struct Chats {
    store: Arc<Mutex<Result<Store, String>>>,
}

/// Why a command about chats failed.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    #[error(transparent)]
    Chats(#[from] ChatsError),
    #[error("chats cannot be kept: {0}")]
    Closed(String),
    #[error("{}: {source}; choose another file or folder", path.display())]
    File {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error("{0} cannot be opened from here; choose a file on this machine")]
    NotLocal(String),
}

/// A window receives every error as a sentence.
impl serde::Serialize for ChatError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Chats {
    /// Opens the chats in this folder. The application goes on without them if it must.
    pub fn open(folder: &Path) -> (Chats, Option<String>) {
        let store = Store::open(&folder.join("chats.sqlite"));
        let notice = match &store {
            Ok(store) => store.notice().map(str::to_owned),
            Err(error) => Some(format!("Chats cannot be kept: {error}")),
        };
        let store = store.map_err(|error| error.to_string());
        let store = Arc::new(Mutex::new(store));
        (Chats { store }, notice)
    }

    /// Runs `work` on the file, one caller after the other.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, ChatsError>,
    ) -> Result<T, ChatError> {
        match &mut *self.lock() {
            Ok(store) => Ok(work(store)?),
            Err(error) => Err(ChatError::Closed(error.clone())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Result<Store, String>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
