//! What the window may ask of the chats.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use moestro_chats::{Chat, ChatEntry, ChatSettings, Hit, Imported};
use serde::Deserialize;
use tauri::{State, WebviewWindow};
use tauri_plugin_dialog::{DialogExt, FilePath};
use tokio::sync::oneshot;

use super::{ChatError, Chats};

type Result<T> = std::result::Result<T, ChatError>;

/// A change of a chat that does not touch its messages.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChatChange {
    /// An empty title follows the first prompt again.
    Rename {
        title: String,
    },
    Pin {
        pinned: bool,
    },
    /// Out of all folders with an empty name.
    Move {
        folder: String,
    },
    Draft {
        draft: String,
    },
    Settings {
        settings: ChatSettings,
    },
    /// It can be restored for a day.
    Delete,
    Restore,
}

/// How chats are written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum ExportForm {
    Markdown,
    Json,
}

#[tauri::command(async)]
pub fn chat_list(chats: State<'_, Chats>) -> Result<Vec<ChatEntry>> {
    chats.with(|store| store.list())
}

/// Opens a chat: without a number the one that was open last.
#[tauri::command(async)]
pub fn chat_open(chats: State<'_, Chats>, chat: Option<i64>) -> Result<Chat> {
    chats.with(|store| {
        let chat = match chat {
            Some(chat) => chat,
            None => store.last_opened()?,
        };
        store.open_chat(chat)
    })
}

/// Opens the chat without messages.
#[tauri::command(async)]
pub fn chat_new(chats: State<'_, Chats>) -> Result<Chat> {
    chats.with(|store| {
        let chat = store.blank()?;
        store.open_chat(chat)
    })
}

/// Opens the branch that goes through a message.
#[tauri::command(async)]
pub fn chat_branch(chats: State<'_, Chats>, message: i64) -> Result<Chat> {
    chats.with(|store| {
        let chat = store.show_branch(message)?;
        store.open_chat(chat.entry.id)
    })
}

#[tauri::command(async)]
pub fn chat_change(chats: State<'_, Chats>, chat: i64, change: ChatChange) -> Result<()> {
    chats.with(|store| match change {
        ChatChange::Rename { title } => store.rename(chat, &title),
        ChatChange::Pin { pinned } => store.pin(chat, pinned),
        ChatChange::Move { folder } => store.move_to(chat, &folder),
        ChatChange::Draft { draft } => store.set_draft(chat, &draft),
        ChatChange::Settings { settings } => store.set_settings(chat, &settings),
        ChatChange::Delete => store.delete(chat),
        ChatChange::Restore => store.restore(chat),
    })
}

#[tauri::command(async)]
pub fn chat_search(chats: State<'_, Chats>, words: String) -> Result<Vec<Hit>> {
    chats.with(|store| store.search(&words))
}

/// Rises when another window of this application has changed something.
#[tauri::command(async)]
pub fn chat_foreign_changes(chats: State<'_, Chats>) -> Result<i64> {
    chats.with(|store| store.foreign_changes())
}

/// Asks where to, and writes one chat, or all of them without a number (as JSON).
/// `None` if the person changed their mind.
#[tauri::command]
pub async fn chat_export(
    window: WebviewWindow,
    chats: State<'_, Chats>,
    chat: Option<i64>,
    form: ExportForm,
) -> Result<Option<String>> {
    let (ids, name) = chats.with(|store| match chat {
        Some(chat) => Ok((vec![chat], store.read_chat(chat)?.entry.title)),
        None => {
            let list = store.list()?;
            Ok((
                list.iter().map(|chat| chat.id).collect(),
                "Moestro chats".into(),
            ))
        }
    })?;
    let (kind, ending) = match form {
        ExportForm::Markdown => ("Markdown", "md"),
        ExportForm::Json => ("JSON", "json"),
    };
    let dialog = window.dialog().file().set_parent(&window);
    let dialog = dialog
        .set_title("Export")
        .set_file_name(format!("{}.{ending}", file_name(&name)))
        .add_filter(kind, &[ending]);
    let (answer, chosen) = oneshot::channel();
    dialog.save_file(move |path| drop(answer.send(path)));
    let Some(path) = chosen.await.ok().flatten() else {
        return Ok(None);
    };
    let path = local(path)?;
    let chats = chats.inner().clone();
    let written = tokio::task::spawn_blocking(move || {
        export(&chats, &ids, form, &path).map(|()| path.display().to_string())
    });
    let written = written.await;
    written.map_or_else(
        |e| Err(ChatError::Closed(e.to_string())),
        |done| done.map(Some),
    )
}

/// Writes into a file beside the target first, so that no export is half there.
pub fn export(chats: &Chats, ids: &[i64], form: ExportForm, path: &Path) -> Result<()> {
    let failed = |source| ChatError::File {
        path: path.to_owned(),
        source,
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
    let mut out = BufWriter::new(&file);
    match form {
        ExportForm::Json => chats.with(|store| store.export_json(ids, &mut out))?,
        ExportForm::Markdown => {
            for chat in ids {
                let page = chats.with(|store| store.export_markdown(*chat))?;
                out.write_all(page.as_bytes()).map_err(failed)?;
            }
        }
    }
    out.flush().map_err(failed)?;
    drop(out);
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Asks for an export of Moestro or of OpenAI and adds its chats. `None` if the person
/// changed their mind.
#[tauri::command]
pub async fn chat_import(
    window: WebviewWindow,
    chats: State<'_, Chats>,
) -> Result<Option<Imported>> {
    let dialog = window.dialog().file().set_parent(&window);
    let dialog = dialog
        .set_title("Import chats")
        .add_filter("Exported chats", &["json"]);
    let (answer, chosen) = oneshot::channel();
    dialog.pick_file(move |path| drop(answer.send(path)));
    let Some(path) = chosen.await.ok().flatten() else {
        return Ok(None);
    };
    let path = local(path)?;
    let chats = chats.inner().clone();
    let read = tokio::task::spawn_blocking(move || {
        let file = File::open(&path).map_err(|source| ChatError::File {
            path: path.clone(),
            source,
        })?;
        chats.with(|store| store.import(file))
    });
    let read = read.await;
    read.map_or_else(
        |e| Err(ChatError::Closed(e.to_string())),
        |done| done.map(Some),
    )
}

/// Adds the chats of an export that the page has, such as one that was dropped on it.
#[tauri::command(async)]
pub fn chat_import_text(chats: State<'_, Chats>, text: String) -> Result<Imported> {
    chats.with(|store| store.import(text.as_bytes()))
}

fn local(chosen: FilePath) -> Result<PathBuf> {
    chosen
        .into_path()
        .map_err(|error| ChatError::NotLocal(error.to_string()))
}

/// A title as the name of a file.
fn file_name(title: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_ ,()".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = title.chars().map(plain).take(80).collect();
    let name = name.trim().to_owned();
    if name.is_empty() { "Chat".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_names_of_files() {
        assert_eq!(file_name("What is 2+2?"), "What is 2_2_");
        assert_eq!(file_name("../../etc/passwd\0"), "______etc_passwd_");
        assert_eq!(file_name(""), "Chat");
    }

    #[test]
    fn an_export_takes_the_place_of_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let (chats, _) = Chats::open(folder.path());
        let chat = chats
            .with(|store| {
                let chat = store.blank()?;
                let prompt = moestro_chats::Prompt {
                    text: "Hello",
                    files: &[],
                };
                store.ask(chat, None, prompt, None)?;
                Ok(chat)
            })
            .unwrap();
        let path = folder.path().join("out.json");
        std::fs::write(&path, "older").unwrap();
        export(&chats, &[chat], ExportForm::Json, &path).unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(chats.with(|store| store.import(file)).unwrap().known, 1);
        let page = folder.path().join("out.md");
        export(&chats, &[chat], ExportForm::Markdown, &page).unwrap();
        assert!(
            std::fs::read_to_string(&page)
                .unwrap()
                .starts_with("# Hello\n")
        );
        let nowhere = folder.path().join("no/out.md");
        let refused = export(&chats, &[chat], ExportForm::Markdown, &nowhere).unwrap_err();
        assert!(refused.to_string().contains("out.md"));
    }
}
