//! The list of chats, and what is done to a chat as a whole.

use rusqlite::{OptionalExtension, Row, params};

use crate::chat::{ChatEntry, ChatSettings, LONGEST_TEXT, clean_title};
use crate::error::{ChatsError, Result};
use crate::store::{Store, now};

/// Columns of a [`ChatEntry`], for a table `chat`.
pub(crate) const ENTRY: &str =
    "chat.id, chat.title, chat.folder, chat.pinned, chat.created, chat.changed";

/// Reads [`ENTRY`]. What is damaged in a row is left out, so that the chat can still be
/// opened.
pub(crate) fn entry(row: &Row) -> rusqlite::Result<ChatEntry> {
    Ok(ChatEntry {
        id: row.get(0)?,
        title: row.get(1).unwrap_or_default(),
        folder: row.get(2).unwrap_or_default(),
        pinned: row.get(3).unwrap_or_default(),
        created: row.get(4).unwrap_or_default(),
        changed: row.get(5).unwrap_or_default(),
    })
}

impl Store {
    /// All chats with a message, pinned ones first, then the latest.
    pub fn list(&self) -> Result<Vec<ChatEntry>> {
        let failed = ChatsError::sql("listed");
        let query = format!(
            "SELECT {ENTRY} FROM chat
             WHERE deleted IS NULL
             AND EXISTS (SELECT 1 FROM message WHERE message.chat = chat.id)
             ORDER BY pinned DESC, changed DESC, id DESC"
        );
        let mut statement = self.connection.prepare(&query).map_err(&failed)?;
        let rows = statement.query_map([], entry).map_err(&failed)?;
        Ok(rows.flatten().collect())
    }

    /// The chat that was open last, else an empty one.
    pub fn last_opened(&mut self) -> Result<i64> {
        let last = self
            .connection
            .query_row(
                "SELECT id FROM chat WHERE deleted IS NULL ORDER BY opened DESC, changed DESC, id DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()
            .map_err(ChatsError::sql("read"))?;
        match last {
            Some(id) => Ok(id),
            None => self.blank(),
        }
    }

    /// A chat without messages; there is at most one.
    pub fn blank(&mut self) -> Result<i64> {
        let action = "begun";
        self.write(action, |t, _| {
            let failed = ChatsError::sql(action);
            let empty = "SELECT id FROM chat WHERE deleted IS NULL
                 AND NOT EXISTS (SELECT 1 FROM message WHERE message.chat = chat.id) LIMIT 1";
            let found = t.query_row(empty, [], |row| row.get(0)).optional();
            if let Some(id) = found.map_err(&failed)? {
                return Ok(id);
            }
            let time = now();
            t.execute(
                "INSERT INTO chat (origin, created, changed)
                 VALUES ('moestro:' || lower(hex(randomblob(16))), ?1, ?1)",
                [time],
            )
            .map_err(&failed)?;
            Ok(t.last_insert_rowid())
        })
    }

    /// Gives a chat a name; an empty one lets the title follow the first prompt again.
    pub fn rename(&mut self, chat: i64, title: &str) -> Result<()> {
        let named = clean_title(title);
        let title = match &named {
            Some(title) => title.clone(),
            None => self.first_prompt(chat)?,
        };
        self.change(
            "UPDATE chat SET title = ?2, named = ?3 WHERE id = ?1",
            params![chat, title, named.is_some()],
        )
    }

    fn first_prompt(&self, chat: i64) -> Result<String> {
        let first = self.connection.query_row(
            "SELECT text FROM message WHERE chat = ?1 AND role = 'user' ORDER BY id LIMIT 1",
            [chat],
            |row| row.get::<_, String>(0),
        );
        let first = first.optional().map_err(ChatsError::sql("read"))?;
        Ok(crate::chat::title_of(&first.unwrap_or_default()))
    }

    pub fn pin(&mut self, chat: i64, pinned: bool) -> Result<()> {
        let query = "UPDATE chat SET pinned = ?2 WHERE id = ?1";
        self.change(query, params![chat, pinned])
    }

    /// Puts a chat into a folder, or out of all with an empty name.
    pub fn move_to(&mut self, chat: i64, folder: &str) -> Result<()> {
        let folder = clean_title(folder).unwrap_or_default();
        let query = "UPDATE chat SET folder = ?2 WHERE id = ?1";
        self.change(query, params![chat, folder])
    }

    /// Throws a chat away; for a day [`restore`](Self::restore) takes it back.
    pub fn delete(&mut self, chat: i64) -> Result<()> {
        let query = "UPDATE chat SET deleted = ?2 WHERE id = ?1";
        self.change(query, params![chat, now()])
    }

    pub fn restore(&mut self, chat: i64) -> Result<()> {
        let query = "UPDATE chat SET deleted = NULL WHERE id = ?1";
        self.change(query, [chat])
    }

    /// Keeps what was typed and not sent.
    pub fn set_draft(&mut self, chat: i64, draft: &str) -> Result<()> {
        check_length("the draft", draft)?;
        let query = "UPDATE chat SET draft = ?2 WHERE id = ?1";
        self.change(query, params![chat, draft])
    }

    pub fn set_settings(&mut self, chat: i64, settings: &ChatSettings) -> Result<()> {
        let settings = serde_json::to_string(settings)?;
        check_length("the system prompt", &settings)?;
        let query = "UPDATE chat SET settings = ?2 WHERE id = ?1";
        self.change(query, params![chat, settings])
    }

    /// Runs a statement that changes one chat.
    fn change(&mut self, query: &str, values: impl rusqlite::Params) -> Result<()> {
        let action = "changed";
        self.write(action, |t, _| {
            match t.execute(query, values).map_err(ChatsError::sql(action))? {
                0 => Err(ChatsError::NoChat),
                _ => Ok(()),
            }
        })
    }
}

pub(crate) fn check_length(what: &'static str, text: &str) -> Result<()> {
    if text.len() <= LONGEST_TEXT {
        return Ok(());
    }
    Err(ChatsError::TooLong {
        what,
        size: text.len(),
        most: LONGEST_TEXT,
    })
}
