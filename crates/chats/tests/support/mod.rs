//! A folder with a file of chats in it, and chats to fill it with.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::path::PathBuf;

use moestro_chats::{Asked, End, Ending, Message, MessageState, Prompt, Store};

pub struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub fn new() -> Folder {
        let folder = tempfile::tempdir().unwrap();
        Folder { folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("chats.sqlite")
    }

    pub fn open(&self) -> Store {
        Store::open(&self.path()).unwrap()
    }

    /// The file as SQLite sees it.
    pub fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub fn text(text: &str) -> Prompt<'_> {
    Prompt { text, files: &[] }
}

pub fn done() -> Ending {
    Ending {
        state: MessageState::Done,
        end: Some(End::Stop),
        figures: None,
        failure: None,
    }
}

/// A prompt with its whole answer.
pub fn exchange(store: &mut Store, chat: i64, prompt: &str, answer: &str) -> Asked {
    let path = store.read_chat(chat).unwrap().path;
    let parent = path.last().map(|message| message.id);
    let asked = store.ask(chat, parent, text(prompt), Some("Demo")).unwrap();
    store.finish(asked.answer.id, answer, &done()).unwrap();
    asked
}

pub fn texts(path: &[Message]) -> Vec<&str> {
    path.iter().map(|message| message.text.as_str()).collect()
}
