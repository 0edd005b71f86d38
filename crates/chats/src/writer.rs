//! Who writes an answer. A process that lives holds the lock on its file; answers of one
//! that does not were cut off.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::error::{ChatsError, Result};

/// Holds this process's name among the writers until it is dropped.
pub struct Writer {
    pub name: String,
    path: PathBuf,
    _lock: File,
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Held while a file of chats is opened, so that processes open it in turn.
pub struct Opening {
    _lock: File,
}

impl Opening {
    pub fn wait(path: &Path) -> Result<Opening> {
        let path = path.with_extension("lock");
        let fail = |error| ChatsError::file(&path, "the lock on the chats cannot be had")(error);
        let lock = open(&path).map_err(fail)?;
        lock.lock().map_err(fail)?;
        Ok(Opening { _lock: lock })
    }
}

impl Writer {
    /// Its caller holds [`Opening`].
    pub fn begin(connection: &Connection, path: &Path) -> Result<Writer> {
        let name: String = connection
            .query_row("SELECT lower(hex(randomblob(12)))", [], |row| row.get(0))
            .map_err(ChatsError::sql("opened"))?;
        let path = lock_path(path, &name);
        let fail = |error| ChatsError::file(&path, "the lock on the chats cannot be had")(error);
        let lock = open(&path).map_err(fail)?;
        lock.lock().map_err(fail)?;
        Ok(Writer {
            name,
            path,
            _lock: lock,
        })
    }
}

/// Marks answers as cut off whose writer is gone, and removes what it left. Its caller
/// holds [`Opening`].
pub fn end_the_dead(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    let mut writers =
        connection.prepare("SELECT DISTINCT writer FROM message WHERE writer IS NOT NULL")?;
    let names = writers.query_map([], |row| row.get::<_, String>(0))?;
    for name in names
        .flatten()
        .filter(|name| !lives(&lock_path(path, name)))
    {
        connection.execute(
            "UPDATE message SET writer = NULL, state = 'interrupted' WHERE writer = ?1",
            [&name],
        )?;
    }
    for file in lock_files(path) {
        if !lives(&file) {
            let _ = fs::remove_file(file);
        }
    }
    Ok(())
}

fn lives(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
        Err(_) => false,
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
}

const PREFIX: &str = "writer-";

fn lock_path(path: &Path, name: &str) -> PathBuf {
    // What a damaged row holds must not lead anywhere else.
    let name: String = name.chars().filter(char::is_ascii_hexdigit).collect();
    path.with_extension(format!("{PREFIX}{name}"))
}

fn lock_files(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem()) else {
        return Vec::new();
    };
    let start = format!("{}.{PREFIX}", stem.to_string_lossy());
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|file| {
            let name = file.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with(&start)
        })
        .collect()
}
