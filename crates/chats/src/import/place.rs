//! A chat from elsewhere finds its place among ours.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params};

use crate::answer::whole_text;
use crate::chat::{LONGEST_TEXT, MessageState, Role, clean_title, title_of};
use crate::error::{ChatsError, Result};
use crate::store::{Store, now};
use crate::transfer::Transfer;

/// More messages than this in one chat are no conversation.
const MOST_MESSAGES: usize = 200_000;
const ACTION: &str = "imported";
/// Milliseconds of times beyond the year 9999 are a mistake.
const LATEST: i64 = 253_402_300_799_000;

impl Store {
    /// Adds a chat. `None` if it is here already; one that was thrown away comes back.
    pub(super) fn place(&mut self, chat: &Transfer) -> Result<Option<i64>> {
        self.write(ACTION, |t, _| {
            let failed = ChatsError::sql(ACTION);
            let known: Option<i64> = t
                .query_row(
                    "SELECT id FROM chat WHERE origin = ?1 AND ?1 <> ''",
                    [&chat.origin],
                    |row| row.get(0),
                )
                .optional()
                .map_err(&failed)?;
            if let Some(id) = known {
                t.execute("UPDATE chat SET deleted = NULL WHERE id = ?1", [id])
                    .map_err(&failed)?;
                return Ok(None);
            }
            let first = chat.messages.iter().find(|m| m.role == Role::User);
            let title = clean_title(&chat.title)
                .unwrap_or_else(|| title_of(first.map_or("", |message| &message.text)));
            let created = time(chat.created);
            let settings = serde_json::to_string(&chat.settings)?;
            let settings = if settings.len() > LONGEST_TEXT { "{}" } else { &settings };
            t.execute(
                "INSERT INTO chat (origin, title, named, folder, pinned, created, changed, draft, settings)
                 VALUES (CASE ?1 WHEN '' THEN 'moestro:' || lower(hex(randomblob(16))) ELSE ?1 END,
                         ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    chat.origin,
                    title,
                    clean_title(&chat.folder).unwrap_or_default(),
                    chat.pinned,
                    created,
                    time(chat.changed).max(created),
                    whole_text(cut(&chat.draft)),
                    settings,
                ],
            )
            .map_err(&failed)?;
            let id = t.last_insert_rowid();
            let mut statement = t
                .prepare(
                    "INSERT INTO message (chat, parent, role, text, created, state, details)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )
                .map_err(&failed)?;
            let mut numbers: HashMap<i64, i64> = HashMap::new();
            for message in chat.messages.iter().take(MOST_MESSAGES) {
                let parent = message.parent.and_then(|parent| numbers.get(&parent));
                let state = match message.state {
                    MessageState::Writing | MessageState::Damaged => MessageState::Interrupted,
                    state => state,
                };
                let details = serde_json::to_string(&message.details)?;
                let details = if details.len() > LONGEST_TEXT { "{}" } else { &details };
                statement
                    .execute(params![
                        id,
                        parent,
                        message.role.name(),
                        whole_text(cut(&message.text)),
                        time(message.created),
                        state.name(),
                        details,
                    ])
                    .map_err(&failed)?;
                numbers.insert(message.id, t.last_insert_rowid());
            }
            let leaf = chat.leaf.and_then(|leaf| numbers.get(&leaf));
            t.execute("UPDATE chat SET leaf = ?2 WHERE id = ?1", params![id, leaf])
                .map_err(&failed)?;
            Ok(Some(id))
        })
    }
}

fn time(told: i64) -> i64 {
    match told {
        1..=LATEST => told,
        _ => now(),
    }
}

/// At most [`LONGEST_TEXT`] bytes.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}
