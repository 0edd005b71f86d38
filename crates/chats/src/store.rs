//! One open file of chats.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::error::{ChatsError, Result};
use crate::schema;
use crate::writer::{self, Opening, Writer};

/// Another process writes for milliseconds; a slow disk may need longer.
const BUSY: Duration = Duration::from_secs(5);
/// A chat that was thrown away can be taken back for at least this long.
const KEEP_DELETED: Duration = Duration::from_secs(24 * 60 * 60);

/// All chats of one person. Several processes may have the same file open.
pub struct Store {
    pub(crate) connection: Connection,
    path: PathBuf,
    /// `None` for a file that is only read.
    writer: Option<Writer>,
    version: u32,
    /// What the person should know about the opening, as a sentence.
    notice: Option<String>,
}

impl Store {
    /// Opens the chats in `path`, a new file if there is none. A file that is no
    /// database is set aside, not lost.
    pub fn open(path: &Path) -> Result<Store> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .map_err(ChatsError::file(folder, "the folder cannot be made"))?;
        }
        let _opening = Opening::wait(path)?;
        match Store::open_alone(path) {
            Err(ChatsError::Open { source, .. }) if is_damaged(&source) => {
                let aside = set_aside(path)?;
                let mut store = Store::open_alone(path)?;
                store.notice = Some(format!(
                    "The file of your chats was damaged. It was kept as {}, and new chats go to a \
                     new file.",
                    aside.display()
                ));
                Ok(store)
            }
            other => other,
        }
    }

    fn open_alone(path: &Path) -> Result<Store> {
        create_private(path)?;
        let failed = |source| ChatsError::Open {
            path: path.to_owned(),
            source,
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        let version = schema::version(&connection).map_err(failed)?;
        let read_only = version > schema::VERSION;
        configure(&connection, read_only).map_err(failed)?;
        let mut notice = None;
        let mut writer = None;
        if read_only {
            notice = Some(
                ChatsError::ReadOnly {
                    path: path.to_owned(),
                    found: version,
                    known: schema::VERSION,
                }
                .to_string(),
            );
        } else {
            schema::migrate(&mut connection, path)?;
            let failed = ChatsError::sql("opened");
            writer::end_the_dead(&connection, path).map_err(&failed)?;
            purge(&connection).map_err(&failed)?;
            writer = Some(Writer::begin(&connection, path)?);
        }
        Ok(Store {
            connection,
            path: path.to_owned(),
            writer,
            version,
            notice,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the person should know about the opening, as a sentence.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Was the file written by a newer program?
    pub fn is_read_only(&self) -> bool {
        self.writer.is_none()
    }

    /// Rises when another process has changed something.
    pub fn foreign_changes(&self) -> Result<i64> {
        self.connection
            .query_row("PRAGMA data_version", [], |row| row.get(0))
            .map_err(ChatsError::sql("read"))
    }

    /// Runs `work` as a whole or not at all; it is on disk when this returns.
    pub(crate) fn write<T>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&Transaction, &str) -> Result<T>,
    ) -> Result<T> {
        let Some(writer) = &self.writer else {
            return Err(ChatsError::ReadOnly {
                path: self.path.clone(),
                found: self.version,
                known: schema::VERSION,
            });
        };
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(ChatsError::sql(action))?;
        let done = work(&transaction, &writer.name)?;
        transaction.commit().map_err(ChatsError::sql(action))?;
        Ok(done)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_millis().try_into().unwrap_or(i64::MAX))
}

fn configure(connection: &Connection, read_only: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    if read_only {
        return connection.pragma_update(None, "query_only", true);
    }
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cell_size_check", true)
}

/// Removes for good what was thrown away long enough ago.
fn purge(connection: &Connection) -> rusqlite::Result<()> {
    let before = now() - KEEP_DELETED.as_millis() as i64;
    connection.execute("DELETE FROM chat WHERE deleted < ?1", [before])?;
    Ok(())
}

/// Chats are nobody else's to read; SQLite gives its other files the same rights.
fn create_private(path: &Path) -> Result<()> {
    let made = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path);
    made.map(drop).map_err(ChatsError::file(
        path,
        "the file of the chats cannot be opened",
    ))
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    )
}

/// Renames the file with what SQLite keeps beside it.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let free = |number: &u32| {
        !path
            .with_extension(format!("damaged-{number}.sqlite"))
            .exists()
    };
    let number = (1..).find(free).unwrap_or_default();
    let aside = path.with_extension(format!("damaged-{number}.sqlite"));
    let action = "the damaged file cannot be set aside";
    fs::rename(path, &aside).map_err(ChatsError::file(path, action))?;
    for suffix in ["-wal", "-shm"] {
        let beside = |file: &Path| {
            let mut name = file.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        if beside(path).exists() {
            fs::rename(beside(path), beside(&aside)).map_err(ChatsError::file(path, action))?;
        }
    }
    Ok(aside)
}
