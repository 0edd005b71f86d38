//! The tree of messages of a chat and the one branch of it that is shown.

use std::collections::{BTreeMap, HashSet};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Statement, params};

use crate::chat::{Chat, Details, Message, MessageState, Role};
use crate::error::{ChatsError, Result};
use crate::list::{ENTRY, entry};
use crate::store::{Store, now};

/// Which message follows which, without their texts.
pub(crate) struct Tree {
    parents: BTreeMap<i64, Option<i64>>,
    /// In the order of writing. Messages whose parent is not there follow `None`.
    children: BTreeMap<Option<i64>, Vec<i64>>,
}

impl Tree {
    pub(crate) fn read(connection: &Connection, chat: i64) -> rusqlite::Result<Tree> {
        let query = "SELECT id, parent FROM message WHERE chat = ?1 ORDER BY id";
        let mut statement = connection.prepare(query)?;
        let rows = statement.query_map([chat], |row| {
            Ok((row.get(0)?, row.get::<_, Option<i64>>(1).unwrap_or(None)))
        })?;
        let mut parents: BTreeMap<i64, Option<i64>> = rows.flatten().collect();
        let known: HashSet<i64> = parents.keys().copied().collect();
        let mut children: BTreeMap<Option<i64>, Vec<i64>> = BTreeMap::new();
        for (id, parent) in &mut parents {
            // A parent is written before its children, so there are no circles.
            parent.take_if(|parent| !known.contains(parent) || *parent >= *id);
            children.entry(*parent).or_default().push(*id);
        }
        Ok(Tree { parents, children })
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = i64> {
        self.parents.keys().copied()
    }

    pub(crate) fn parent(&self, id: i64) -> Option<i64> {
        self.parents.get(&id).copied().flatten()
    }

    fn siblings(&self, id: i64) -> Vec<i64> {
        let siblings = self.children.get(&self.parent(id));
        siblings.cloned().unwrap_or_default()
    }

    /// The end of the branch that goes on from `id` with the latest messages.
    fn newest_leaf(&self, id: Option<i64>) -> Option<i64> {
        let mut leaf = id;
        while let Some(next) = self.children.get(&leaf).and_then(|next| next.last()) {
            leaf = Some(*next);
        }
        leaf
    }

    /// From the first message to `leaf`, or to the newest one if that is not there.
    pub(crate) fn path(&self, leaf: Option<i64>) -> Vec<i64> {
        let known = leaf.filter(|leaf| self.parents.contains_key(leaf));
        let mut path = Vec::new();
        let mut next = known.or_else(|| self.newest_leaf(None));
        while let Some(id) = next {
            path.push(id);
            next = self.parent(id);
        }
        path.reverse();
        path
    }
}

impl Store {
    /// A chat with the branch that was shown last. Notes that it was opened.
    pub fn open_chat(&mut self, chat: i64) -> Result<Chat> {
        if !self.is_read_only() {
            self.write("opened", |t, _| {
                t.execute(
                    "UPDATE chat SET opened = max(?2, (SELECT max(opened) + 1 FROM chat)) WHERE id = ?1",
                    params![chat, now()],
                )
                .map_err(ChatsError::sql("opened"))
            })?;
        }
        self.read_chat(chat)
    }

    /// A chat with the branch that was shown last.
    pub fn read_chat(&self, chat: i64) -> Result<Chat> {
        let failed = ChatsError::sql("read");
        let query = format!(
            "SELECT {ENTRY}, chat.draft, chat.settings, chat.leaf FROM chat
             WHERE id = ?1 AND deleted IS NULL"
        );
        let found = self.connection.query_row(&query, [chat], |row| {
            let settings: String = row.get(7).unwrap_or_default();
            let chat = Chat {
                entry: entry(row)?,
                draft: row.get(6).unwrap_or_default(),
                settings: serde_json::from_str(&settings).unwrap_or_default(),
                path: Vec::new(),
            };
            Ok((chat, row.get::<_, Option<i64>>(8).unwrap_or(None)))
        });
        let (mut chat, leaf) = found
            .optional()
            .map_err(&failed)?
            .ok_or(ChatsError::NoChat)?;
        let tree = Tree::read(&self.connection, chat.entry.id).map_err(&failed)?;
        chat.path = self.messages(&tree, &tree.path(leaf))?;
        Ok(chat)
    }

    /// Shows the branch that goes through `message`, to its newest end.
    pub fn show_branch(&mut self, message: i64) -> Result<Chat> {
        let action = "read";
        let chat = chat_of(&self.connection, message)?;
        let tree = Tree::read(&self.connection, chat).map_err(ChatsError::sql(action))?;
        let leaf = tree.newest_leaf(Some(message));
        self.write(action, |t, _| {
            t.execute(
                "UPDATE chat SET leaf = ?2 WHERE id = ?1",
                params![chat, leaf],
            )
            .map_err(ChatsError::sql(action))
        })?;
        self.read_chat(chat)
    }

    /// One message with its siblings.
    pub fn message(&self, id: i64) -> Result<Message> {
        let chat = chat_of(&self.connection, id)?;
        let tree = Tree::read(&self.connection, chat).map_err(ChatsError::sql("read"))?;
        let found = self.messages(&tree, &[id])?.pop();
        found.ok_or(ChatsError::NoMessage)
    }

    /// A row that cannot be read becomes one damaged message.
    pub(crate) fn messages(&self, tree: &Tree, ids: &[i64]) -> Result<Vec<Message>> {
        let query = "SELECT role, text, created, state, details FROM message WHERE id = ?1";
        let prepared = self.connection.prepare(query);
        let mut statement = prepared.map_err(ChatsError::sql("read"))?;
        let read = |id: &i64| Message {
            siblings: tree.siblings(*id),
            ..message(&mut statement, *id, tree.parent(*id))
        };
        Ok(ids.iter().map(read).collect())
    }
}

pub(crate) fn chat_of(connection: &Connection, message: i64) -> Result<i64> {
    let query = "SELECT message.chat FROM message JOIN chat ON chat.id = message.chat
         WHERE message.id = ?1 AND chat.deleted IS NULL";
    let found = connection.query_row(query, [message], |row| row.get(0));
    found
        .optional()
        .map_err(ChatsError::sql("read"))?
        .ok_or(ChatsError::NoMessage)
}

fn message(statement: &mut Statement, id: i64, parent: Option<i64>) -> Message {
    let row = statement.query_row([id], |row| Ok(readable(row)));
    let read = row.ok().flatten();
    let damaged = || Message {
        id,
        parent,
        role: Role::Assistant,
        text: String::new(),
        created: 0,
        state: MessageState::Damaged,
        siblings: Vec::new(),
        details: Details::default(),
    };
    match read {
        Some(message) => Message {
            id,
            parent,
            ..message
        },
        None => damaged(),
    }
}

/// The message of a row; `None` if anything that matters is not what it should be.
fn readable(row: &Row) -> Option<Message> {
    let text = |index| match row.get_ref(index) {
        Ok(ValueRef::Text(bytes)) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    let details = text(4).and_then(|json| serde_json::from_str(json).ok());
    Some(Message {
        id: 0,
        parent: None,
        role: Role::parse(text(0)?)?,
        text: text(1)?.to_owned(),
        created: row.get(2).unwrap_or_default(),
        state: MessageState::parse(text(3)?)?,
        siblings: Vec::new(),
        details: details.unwrap_or_default(),
    })
}
