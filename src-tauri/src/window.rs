//! Opens the window and keeps it on its own page.

use std::process::ExitCode;
use std::sync::Arc;

use tauri::plugin::TauriPlugin;
use tauri::{App, AppHandle, Manager, RunEvent, WindowEvent, Wry};
use tauri_plugin_window_state::StateFlags;

use crate::background::{self, Background};
use crate::chats::recorder::Recorder;
use crate::chats::{Chats, answers, commands as chat_commands};
use crate::commands::{self, DemoModel};
use crate::engine_process::EngineProcess;
use crate::events::{DesktopEvent, EventStream};
use crate::hub::desk::Desk;
use crate::hub::{downloads, find, library};
use crate::models;
use crate::outside;
use crate::settings::SettingsFile;

/// Shows the window until it is closed; `model` is opened in it. If there is one
/// already, that one is shown.
pub fn open(model: Option<String>) -> ExitCode {
    // Without a display GTK would end in a panic.
    if let Err(error) = gtk::init() {
        eprintln!(
            "moestro-desktop needs a graphical display and found none ({error}). Start it from a \
             desktop session, or use the command line program `moestro`."
        );
        return ExitCode::FAILURE;
    }
    if background::show_other(model.as_deref()) {
        return ExitCode::SUCCESS;
    }
    let built = tauri::Builder::default()
        .plugin(tauri_plugin_dialog::init())
        .plugin(own_page_only())
        .plugin(kept_size())
        .setup(|app| set_up(app, model))
        .on_window_event(|window, event| {
            if let WindowEvent::CloseRequested { api, .. } = event {
                background::close_requested(window.app_handle(), api);
            }
        })
        .invoke_handler(tauri::generate_handler![
            background::close_window,
            commands::subscribe,
            commands::send,
            commands::send_api,
            commands::start_engine,
            commands::load_settings,
            commands::save_settings,
            commands::list_models,
            commands::choose_model,
            commands::forget_model,
            commands::add_models_folder,
            outside::open_link,
            outside::notify,
            outside::set_zoom,
            outside::save_report,
            answers::chat_answer,
            chat_commands::chat_list,
            chat_commands::chat_open,
            chat_commands::chat_new,
            chat_commands::chat_branch,
            chat_commands::chat_change,
            chat_commands::chat_search,
            chat_commands::chat_foreign_changes,
            chat_commands::chat_export,
            chat_commands::chat_import,
            chat_commands::chat_import_text,
            find::hub_catalog,
            find::hub_search,
            find::hub_repository,
            find::hub_card,
            find::hub_judge,
            downloads::download_add,
            downloads::download_list,
            downloads::download_pause,
            downloads::download_resume,
            downloads::download_cancel,
            downloads::download_clear,
            downloads::download_limit,
            downloads::hub_token,
            downloads::hub_token_unlock,
            library::library_verify,
            library::library_verify_stop,
            library::library_removal,
            library::library_remove,
            library::library_reveal,
        ])
        .build(tauri::generate_context!());
    match built {
        Ok(app) => match app.run_return(ends) {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("moestro-desktop cannot open its window: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ends(app: &AppHandle, event: RunEvent) {
    if let RunEvent::Exit = event
        && let Some(background) = app.try_state::<Background>()
    {
        background.ends();
    }
}

fn set_up(app: &mut App, model: Option<String>) -> Result<(), Box<dyn std::error::Error>> {
    let events = Arc::new(EventStream::default());
    let engine = EngineProcess::new(std::env::current_exe()?, events.clone())?;
    let settings = SettingsFile::in_folder(&app.path().app_config_dir()?);
    let (chats, notice) = Chats::open(&app.path().app_data_dir()?);
    if let Some(notice) = notice {
        events.notice(notice);
    }
    let told = events.clone();
    let recorder = Recorder::start(chats.clone(), move |problem| told.notice(problem));
    let recorder = Arc::new(recorder);
    let heard = recorder.clone();
    events.set_witness(Box::new(move |event| heard.hear(event)));
    let (desk, notice) = Desk::open(&app.path().app_data_dir()?)?;
    if let Some(notice) = notice {
        events.notice(notice);
    }
    let limit = settings.load().map(|loaded| loaded.settings.download_limit);
    desk.fetcher().limit.set(limit.unwrap_or_default());
    if let Some(path) = model {
        events.publish(DesktopEvent::FileOpened { path });
    }
    app.manage(Background::default());
    app.manage(chats);
    app.manage(recorder);
    app.manage(desk);
    app.manage(events);
    app.manage(engine);
    app.manage(settings);
    app.manage(DemoModel(models::demo_model(
        app.path().resource_dir().ok().as_deref(),
    )));
    background::listen(app.handle());
    let handle = app.handle().clone();
    tauri::async_runtime::spawn(async move {
        // A failure reaches the window as an `EngineExited`.
        let _ = handle.state::<EngineProcess>().start().await;
    });
    let handle = app.handle().clone();
    tauri::async_runtime::spawn(async move {
        let desk = handle.state::<Desk>();
        // A download may need it.
        desk.find_token().await;
        if let Ok(queue) = desk.queue() {
            queue.run(|| ()).await;
        }
    });
    Ok(())
}

/// The window opens where and as large as it was left.
fn kept_size() -> TauriPlugin<Wry> {
    let kept = StateFlags::SIZE | StateFlags::POSITION | StateFlags::MAXIMIZED;
    tauri_plugin_window_state::Builder::new()
        .with_state_flags(kept)
        .with_filename("window.json")
        .build()
}

/// A link in an answer must not take the window to another page.
fn own_page_only() -> TauriPlugin<Wry> {
    tauri::plugin::Builder::new("own-page-only")
        .on_navigation(|_, url| {
            let development = cfg!(dev) && url.host_str() == Some("localhost");
            url.scheme() == "tauri" || development
        })
        .build()
}
