//! What the window may ask of the shell. Every error reaches it as a sentence.

use std::path::PathBuf;
use std::sync::Arc;

use moestro_engine::protocol::Command;
use moestro_server::ApiCommand;
use serde::Serialize;
use tauri::ipc::Channel;
use tauri::{State, WebviewWindow};
use tauri_plugin_dialog::{DialogExt, FilePath};
use tokio::sync::oneshot;

use crate::engine_process::{EngineError, EngineProcess};
use crate::events::{DesktopEvent, EventStream};
use crate::hub::desk::Desk;
use crate::models::{self, ModelEntry};
use crate::settings::{Loaded, Settings, SettingsError, SettingsFile};

/// Where the demo model was found when the application started.
pub struct DemoModel(pub PathBuf);

/// Why a model could not be added to the list.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    #[error("{0} cannot be opened from here; choose a file or folder on this machine")]
    NotLocal(String),
    #[error("{} has a name that is not UTF-8; rename it first", .0.display())]
    NotUtf8(PathBuf),
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// A window receives every error as a sentence.
impl Serialize for ChooseError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Sends the present state and then every event. A reloaded page calls it again.
#[tauri::command]
pub fn subscribe(events: State<'_, Arc<EventStream>>, on_event: Channel<DesktopEvent>) {
    events.subscribe(Box::new(move |event| on_event.send(event).is_ok()));
}

#[tauri::command]
pub fn send(engine: State<'_, EngineProcess>, command: Command) -> Result<(), EngineError> {
    engine.send(&command)
}

/// Switches the API server on or off.
#[tauri::command]
pub fn send_api(engine: State<'_, EngineProcess>, command: ApiCommand) -> Result<(), EngineError> {
    engine.send_api(&command)
}

/// Starts the engine after it ended; does nothing while it runs.
#[tauri::command]
pub async fn start_engine(engine: State<'_, EngineProcess>) -> Result<(), EngineError> {
    engine.start().await
}

#[tauri::command(async)]
pub fn load_settings(
    file: State<'_, SettingsFile>,
    events: State<'_, Arc<EventStream>>,
) -> Result<Settings, SettingsError> {
    Ok(told(file.load()?, &events))
}

/// Saves what the window shows. Models that only the file knows, added by another
/// instance, stay; `forget_model` is what removes one.
#[tauri::command(async)]
pub fn save_settings(
    file: State<'_, SettingsFile>,
    events: State<'_, Arc<EventStream>>,
    settings: Settings,
) -> Result<(), SettingsError> {
    told(file.update(|saved| saved.replace_with(settings))?, &events);
    Ok(())
}

#[tauri::command(async)]
pub fn list_models(
    file: State<'_, SettingsFile>,
    events: State<'_, Arc<EventStream>>,
    demo: State<'_, DemoModel>,
    desk: State<'_, Desk>,
) -> Result<Vec<ModelEntry>, SettingsError> {
    let settings = told(file.load()?, &events);
    let folders: Vec<PathBuf> = settings.folders.iter().map(PathBuf::from).collect();
    let found = moestro_hub::scan(&desk.cache(), &folders);
    Ok(models::list(&demo.0, &settings.models, &found))
}

/// Asks for a GGUF file, or with `folder` for a Hugging Face folder, and adds it
/// to the list. `None` if the person changed their mind.
#[tauri::command]
pub async fn choose_model(
    window: WebviewWindow,
    file: State<'_, SettingsFile>,
    events: State<'_, Arc<EventStream>>,
    folder: bool,
) -> Result<Option<String>, ChooseError> {
    let dialog = window.dialog().file().set_parent(&window);
    let (answer, chosen) = oneshot::channel();
    let reply = move |path: Option<FilePath>| drop(answer.send(path));
    if folder {
        dialog.set_title("Open a model folder").pick_folder(reply);
    } else {
        let dialog = dialog.set_title("Open a model file");
        dialog
            .add_filter("GGUF models", &["gguf", "GGUF"])
            .pick_file(reply);
    }
    let Some(path) = chosen.await.ok().flatten() else {
        return Ok(None);
    };
    let path = local_path(path)?;
    let add = |settings: &mut Settings| {
        if !settings.models.contains(&path) {
            settings.models.insert(0, path.clone());
        }
    };
    told(file.update(add)?, &events);
    Ok(Some(path))
}

/// Asks for a folder to look through for models, such as another program's, and
/// adds it to the settings. `None` if the person changed their mind.
#[tauri::command]
pub async fn add_models_folder(
    window: WebviewWindow,
    file: State<'_, SettingsFile>,
    events: State<'_, Arc<EventStream>>,
) -> Result<Option<String>, ChooseError> {
    let (answer, chosen) = oneshot::channel();
    let dialog = window.dialog().file().set_parent(&window);
    let dialog = dialog.set_title("Add a folder with models");
    dialog.pick_folder(move |path: Option<FilePath>| drop(answer.send(path)));
    let Some(path) = chosen.await.ok().flatten() else {
        return Ok(None);
    };
    let path = local_path(path)?;
    let add = |settings: &mut Settings| {
        if !settings.folders.contains(&path) {
            settings.folders.push(path.clone());
        }
    };
    told(file.update(add)?, &events);
    Ok(Some(path))
}

/// Takes a model off the list; its files stay.
#[tauri::command(async)]
pub fn forget_model(
    file: State<'_, SettingsFile>,
    events: State<'_, Arc<EventStream>>,
    path: String,
) -> Result<(), SettingsError> {
    told(
        file.update(|settings| settings.forget_model(&path))?,
        &events,
    );
    Ok(())
}

fn local_path(chosen: FilePath) -> Result<String, ChooseError> {
    let path = chosen
        .into_path()
        .map_err(|error| ChooseError::NotLocal(error.to_string()))?;
    path.into_os_string()
        .into_string()
        .map_err(|name| ChooseError::NotUtf8(name.into()))
}

/// Passes on what the person should know about the reading.
fn told(loaded: Loaded, events: &EventStream) -> Settings {
    if let Some(notice) = loaded.notice {
        events.notice(notice);
    }
    loaded.settings
}
