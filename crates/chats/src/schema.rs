//! The layout of the file, and how an older one becomes the present one: with a copy
//! made before, and as a whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{ChatsError, Result};

/// What leads from each version to the next; a new file begins at version 0. Steps that
/// were released are never changed.
const STEPS: &[&str] = &[include_str!("schema/1.sql"), include_str!("schema/2.sql")];

/// The version that this program reads and writes.
pub const VERSION: u32 = STEPS.len() as u32;

pub fn version(connection: &Connection) -> rusqlite::Result<u32> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    // A negative one is none of ours: too new to touch.
    Ok(u32::try_from(found).unwrap_or(u32::MAX))
}

/// Brings the file to [`VERSION`]. Its caller holds the lock on opening, so nobody else
/// migrates at the same time.
pub fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let failed = ChatsError::sql("brought to the present version");
    let found = version(connection).map_err(&failed)?;
    if found >= VERSION {
        return Ok(());
    }
    if found > 0 {
        back_up(connection, path)?;
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(&failed)?;
    for step in &STEPS[found as usize..] {
        transaction.execute_batch(step).map_err(&failed)?;
    }
    transaction
        .pragma_update(None, "user_version", VERSION)
        .map_err(&failed)?;
    transaction.commit().map_err(&failed)
}

/// Where the copy lies that was made before version `to`.
pub fn backup_path(path: &Path, to: u32) -> PathBuf {
    path.with_extension(format!("before-{to}.sqlite"))
}

fn back_up(connection: &Connection, path: &Path) -> Result<()> {
    let target = backup_path(path, VERSION);
    let unfinished = target.with_extension("unfinished");
    let file = |action| ChatsError::file(&target, action);
    let writing = "the copy of the chats cannot be written";
    if unfinished.exists() {
        fs::remove_file(&unfinished).map_err(file(writing))?;
    }
    let name = unfinished.to_string_lossy();
    connection
        .execute("VACUUM INTO ?1", [&name])
        .map_err(ChatsError::sql("copied before a change of their layout"))?;
    let written = File::open(&unfinished).and_then(|copy| copy.sync_all());
    written.map_err(file(writing))?;
    fs::rename(&unfinished, &target).map_err(file(writing))?;
    sync_folder(&target);
    Ok(())
}

/// Makes a rename outlast a power cut. Some file systems cannot, which is no fault.
fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}
