//! Chats for elsewhere: as JSON with all branches, and as Markdown to read.

use std::fmt::Write as _;
use std::io::Write;

use crate::chat::{AttachedFile, Message, MessageState, Role};
use crate::error::{ChatsError, Result};
use crate::store::Store;
use crate::transfer::{FORMAT, FORMAT_VERSION, Transfer, TransferMessage};
use crate::tree::Tree;

impl Store {
    /// Writes these chats with all their branches, one after the other.
    pub fn export_json(&self, chats: &[i64], out: &mut impl Write) -> Result<()> {
        let fail = |error| ChatsError::Encode(serde_json::Error::io(error));
        write!(
            out,
            "{{\"format\":\"{FORMAT}\",\"version\":{FORMAT_VERSION},\"chats\":["
        )
        .map_err(fail)?;
        for (index, chat) in chats.iter().enumerate() {
            let comma = if index == 0 { "\n" } else { ",\n" };
            out.write_all(comma.as_bytes()).map_err(fail)?;
            serde_json::to_writer(&mut *out, &self.transfer(*chat)?)?;
        }
        out.write_all(b"\n]}\n").map_err(fail)
    }

    /// A whole chat. Damaged messages are left out; what follows them stays.
    pub fn transfer(&self, chat: i64) -> Result<Transfer> {
        let kept = self.read_chat(chat)?;
        let failed = ChatsError::sql("read");
        let tree = Tree::read(&self.connection, chat).map_err(&failed)?;
        let origin =
            self.connection
                .query_row("SELECT origin FROM chat WHERE id = ?1", [chat], |row| {
                    row.get(0)
                });
        let ids: Vec<i64> = tree.ids().collect();
        let messages = self.messages(&tree, &ids)?;
        let whole = |id: Option<i64>| {
            let mut next = id;
            while let Some(id) = next {
                let damaged = messages
                    .binary_search_by_key(&id, |message| message.id)
                    .is_ok_and(|at| messages[at].state == MessageState::Damaged);
                if !damaged {
                    break;
                }
                next = tree.parent(id);
            }
            next
        };
        let exported = |message: &Message| TransferMessage {
            id: message.id,
            parent: whole(message.parent),
            role: message.role,
            text: message.text.clone(),
            created: message.created,
            state: match message.state {
                MessageState::Writing => MessageState::Interrupted,
                state => state,
            },
            details: message.details.clone(),
        };
        Ok(Transfer {
            origin: origin.map_err(&failed)?,
            title: kept.entry.title,
            folder: kept.entry.folder,
            pinned: kept.entry.pinned,
            created: kept.entry.created,
            changed: kept.entry.changed,
            draft: kept.draft,
            settings: kept.settings,
            leaf: whole(kept.path.last().map(|message| message.id)),
            messages: messages
                .iter()
                .filter(|message| message.state != MessageState::Damaged)
                .map(exported)
                .collect(),
        })
    }

    /// The branch that is shown, to read in any editor.
    pub fn export_markdown(&self, chat: i64) -> Result<String> {
        let chat = self.read_chat(chat)?;
        let mut page = format!("# {}\n", chat.entry.title);
        for message in &chat.path {
            let who = match (message.role, &message.details.model) {
                (Role::User, _) => "You",
                (Role::Assistant, Some(model)) => model.as_str(),
                (Role::Assistant, None) => "Model",
            };
            let _ = write!(page, "\n## {who}\n\n");
            for file in &message.details.files {
                page.push_str(&fenced(file));
            }
            match message.state {
                MessageState::Damaged => page.push_str("(This message cannot be read.)"),
                _ => page.push_str(message.text.trim_end()),
            }
            page.push('\n');
        }
        Ok(page)
    }
}

/// A file as a block of code, with a fence that its text cannot end.
fn fenced(file: &AttachedFile) -> String {
    let longest = file.text.split(|c| c != '`').map(str::len).max();
    let fence = "`".repeat(longest.unwrap_or(0).max(2) + 1);
    let name: String = file.name.chars().filter(|c| !c.is_control()).collect();
    format!(
        "File `{name}`:\n\n{fence}\n{}\n{fence}\n\n",
        file.text.trim_end()
    )
}
