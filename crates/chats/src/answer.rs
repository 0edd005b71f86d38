//! A prompt and its answer: kept before it begins, while it grows and when it ends.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::chat::{AttachedFile, Details, Ending, Figures, Message, MessageState, Role, title_of};
use crate::error::{ChatsError, Result};
use crate::list::check_length;
use crate::store::{Store, now};
use crate::tree::chat_of;

const ACTION: &str = "written";

/// A prompt and the answer to it that is to be written, both on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub prompt: Message,
    pub answer: Message,
}

/// A prompt as the person sends it.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    pub text: &'a str,
    pub files: &'a [AttachedFile],
}

impl Store {
    /// Adds a prompt after `parent` (`None` begins the chat, or another beginning of it)
    /// and the empty answer to it. Takes the place of the draft.
    pub fn ask(
        &mut self,
        chat: i64,
        parent: Option<i64>,
        prompt: Prompt,
        model: Option<&str>,
    ) -> Result<Asked> {
        let details = Details {
            files: prompt.files.to_vec(),
            ..Details::default()
        };
        let size = prompt.text.len() + prompt.files.iter().map(|f| f.text.len()).sum::<usize>();
        if size > crate::chat::LONGEST_TEXT {
            return Err(ChatsError::TooLong {
                what: "the prompt with its files",
                size,
                most: crate::chat::LONGEST_TEXT,
            });
        }
        let (question, answer) = self.write(ACTION, |t, writer| {
            if let Some(parent) = parent
                && chat_of(t, parent)? != chat
            {
                return Err(ChatsError::NoMessage);
            }
            let new = |parent, role, text: &str, details: &Details, writer| {
                insert(t, chat, parent, role, text, details, writer)
            };
            let question = new(parent, Role::User, prompt.text, &details, None)?;
            let of_model = answer_details(model);
            let answer = new(Some(question), Role::Assistant, "", &of_model, Some(writer))?;
            let title = title_of(prompt.text);
            t.execute(
                "UPDATE chat SET draft = '', title = CASE WHEN named OR title <> '' THEN title ELSE ?2 END
                 WHERE id = ?1",
                params![chat, title],
            )
            .map_err(ChatsError::sql(ACTION))?;
            Ok((question, answer))
        })?;
        Ok(Asked {
            prompt: self.message(question)?,
            answer: self.message(answer)?,
        })
    }

    /// Adds another, empty answer to the same prompt.
    pub fn answer_again(&mut self, prompt: i64, model: Option<&str>) -> Result<Message> {
        let answer = self.write(ACTION, |t, writer| {
            let chat = chat_of(t, prompt)?;
            let details = answer_details(model);
            let parent = Some(prompt);
            insert(t, chat, parent, Role::Assistant, "", &details, Some(writer))
        })?;
        self.message(answer)
    }

    /// Marks an answer that ended too early as being written again, where it ended.
    pub fn continue_answer(&mut self, answer: i64) -> Result<Message> {
        self.write(ACTION, |t, writer| {
            let chat = chat_of(t, answer)?;
            let changed = t.execute(
                "UPDATE message SET state = 'writing', writer = ?2
                 WHERE id = ?1 AND role = 'assistant' AND writer IS NULL",
                params![answer, writer],
            );
            if changed.map_err(ChatsError::sql(ACTION))? == 0 {
                return Err(ChatsError::NotContinuable);
            }
            touch(t, chat, answer)
        })?;
        self.message(answer)
    }

    /// Adds to the end of an answer that this process writes.
    pub fn grow(&mut self, answer: i64, text: &str) -> Result<()> {
        self.write(ACTION, |t, writer| {
            let changed = t.execute(
                "UPDATE message SET text = text || ?3 WHERE id = ?1 AND writer = ?2",
                params![answer, writer, whole_text(text)],
            );
            found(changed.map_err(ChatsError::sql(ACTION))?)
        })
    }

    /// Adds the rest and what became of the answer.
    pub fn finish(&mut self, answer: i64, rest: &str, ending: &Ending) -> Result<()> {
        self.write(ACTION, |t, writer| {
            let before = t
                .query_row(
                    "SELECT details FROM message WHERE id = ?1 AND writer = ?2",
                    params![answer, writer],
                    |row| row.get::<_, String>(0),
                )
                .optional()
                .map_err(ChatsError::sql(ACTION))?
                .ok_or(ChatsError::NoMessage)?;
            let before: Details = serde_json::from_str(&before).unwrap_or_default();
            let figures = match (&ending.figures, before.figures) {
                (Some(figures), Some(before)) => Some(figures.after(&before)),
                (Some(figures), None) => Some(figures.clone()),
                (None, before) => before,
            };
            let details = Details {
                end: ending.end,
                failure: ending.failure.clone(),
                figures,
                ..before
            };
            t.execute(
                "UPDATE message SET text = text || ?2, state = ?3, details = ?4, writer = NULL
                 WHERE id = ?1",
                params![
                    answer,
                    whole_text(rest),
                    ending.state.name(),
                    serde_json::to_string(&details)?
                ],
            )
            .map_err(ChatsError::sql(ACTION))?;
            t.execute(
                "UPDATE chat SET changed = ?2 WHERE id = (SELECT chat FROM message WHERE id = ?1)",
                params![answer, now()],
            )
            .map_err(ChatsError::sql(ACTION))?;
            Ok(())
        })
    }
}

impl Figures {
    /// Of an answer that was continued: the tokens of all its parts, the speed of the last.
    fn after(&self, before: &Figures) -> Figures {
        Figures {
            generated_tokens: self
                .generated_tokens
                .saturating_add(before.generated_tokens),
            first_token_ms: before.first_token_ms,
            ..self.clone()
        }
    }
}

fn answer_details(model: Option<&str>) -> Details {
    Details {
        model: model.map(str::to_owned),
        ..Details::default()
    }
}

/// Adds a message and makes it the end of the branch that is shown.
fn insert(
    t: &Transaction,
    chat: i64,
    parent: Option<i64>,
    role: Role,
    text: &str,
    details: &Details,
    writer: Option<&str>,
) -> Result<i64> {
    let state = match writer {
        Some(_) => MessageState::Writing,
        None => MessageState::Done,
    };
    check_length("the message", text)?;
    t.execute(
        "INSERT INTO message (chat, parent, role, text, created, state, writer, details)
         SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM chat WHERE id = ?1 AND deleted IS NULL",
        params![
            chat,
            parent,
            role.name(),
            whole_text(text),
            now(),
            state.name(),
            writer,
            serde_json::to_string(details)?
        ],
    )
    .map_err(ChatsError::sql(ACTION))
    .and_then(|rows| match rows {
        0 => Err(ChatsError::NoChat),
        _ => Ok(()),
    })?;
    let id = t.last_insert_rowid();
    touch(t, chat, id)?;
    Ok(id)
}

/// The chat has changed, and ends with `leaf` now.
fn touch(t: &Transaction, chat: i64, leaf: i64) -> Result<()> {
    t.execute(
        "UPDATE chat SET leaf = ?2, changed = ?3 WHERE id = ?1",
        params![chat, leaf, now()],
    )
    .map(drop)
    .map_err(ChatsError::sql(ACTION))
}

fn found(rows: usize) -> Result<()> {
    match rows {
        0 => Err(ChatsError::NoMessage),
        _ => Ok(()),
    }
}

/// Without NUL: to SQLite's functions a text ends there.
pub(crate) fn whole_text(text: &str) -> std::borrow::Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}").into(),
        false => text.into(),
    }
}
