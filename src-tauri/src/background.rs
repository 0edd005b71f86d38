//! Closing the window while downloads run: the person is asked, and may let them
//! go on without a window. Starting the application again shows it again.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tauri::{AppHandle, CloseRequestApi, Manager, State, WebviewWindow};

use crate::events::{DesktopEvent, EventStream};
use crate::hub::desk::Desk;

/// Between two looks at whether the downloads have ended.
const LOOK: Duration = Duration::from_secs(1);
/// Another process of this user answers at once, or hangs.
const ANSWER: Duration = Duration::from_secs(5);
/// What a process that is started asks for.
const SHOW: &str = "show";
/// What a process without a window answers when it shows it, and another one.
const SHOWN: &str = "shown";
const OPEN: &str = "open";

/// Whether there is a window to see.
#[derive(Default)]
pub struct Background {
    /// The person was asked what to do and has not answered.
    asked: AtomicBool,
    hidden: AtomicBool,
}

/// What the person wants who closed the window while downloads run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum CloseChoice {
    Stay,
    /// Downloads go on without a window until they are done.
    Background,
    /// Downloads go on when the application is opened again.
    Quit,
}

/// Closes the window, unless downloads run: then the page asks. A second attempt
/// closes it in any case, should the page not have been able to.
pub fn close_requested(app: &AppHandle, request: &CloseRequestApi) {
    let active = |desk: State<Desk>| desk.queue().is_ok_and(|queue| !queue.is_idle());
    let ask = |background: State<Background>| !background.asked.swap(true, Ordering::Relaxed);
    if app.try_state::<Desk>().is_some_and(active) && app.try_state::<Background>().is_some_and(ask)
    {
        request.prevent_close();
        let events = app.state::<Arc<EventStream>>();
        events.publish(DesktopEvent::CloseAsked);
    }
}

#[tauri::command]
pub async fn close_window(
    app: AppHandle,
    window: WebviewWindow,
    choice: CloseChoice,
) -> Result<(), String> {
    let background = app.state::<Background>();
    match choice {
        CloseChoice::Stay => background.asked.store(false, Ordering::Relaxed),
        CloseChoice::Quit => app.exit(0),
        CloseChoice::Background => {
            window.hide().map_err(|e| e.to_string())?;
            background.asked.store(false, Ordering::Relaxed);
            background.hidden.store(true, Ordering::Relaxed);
            let app = app.clone();
            tauri::async_runtime::spawn(async move { end_with_downloads(&app).await });
        }
    }
    Ok(())
}

/// Ends the process when nothing is left to fetch, unless its window is back.
async fn end_with_downloads(app: &AppHandle) {
    let idle = || {
        let desk = app.state::<Desk>();
        desk.queue().is_ok_and(|queue| queue.is_idle())
    };
    while hidden(app).load(Ordering::Relaxed) {
        // Whoever takes the mark decides: to end, or to show the window.
        if idle() && hidden(app).swap(false, Ordering::Relaxed) {
            app.exit(0);
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Lets the application's process without a window show it, if there is one.
pub fn show_other() -> bool {
    let ask = || {
        let mut other = UnixStream::connect(socket()?).ok()?;
        other.set_write_timeout(Some(ANSWER)).ok()?;
        writeln!(other, "{SHOW}").ok()?;
        Some(line(&other)? == SHOWN)
    };
    ask().unwrap_or(false)
}

/// From now on another start of the application can show this window.
pub fn listen(app: &AppHandle) {
    let Some(path) = socket() else {
        return;
    };
    // One that nobody listens to was left by a process that was killed.
    if UnixStream::connect(&path).is_ok() {
        return;
    }
    let _ = std::fs::remove_file(&path);
    let Ok(listener) = UnixListener::bind(&path) else {
        return;
    };
    let app = app.clone();
    let serve = move || {
        for mut asking in listener.incoming().flatten() {
            // Not before it has asked: it could not write any more.
            if line(&asking).as_deref() != Some(SHOW) {
                continue;
            }
            // The answer first: to show a window may take longer than the other waits.
            let was_hidden = hidden(&app).swap(false, Ordering::Relaxed);
            let answer = if was_hidden { SHOWN } else { OPEN };
            let _ = asking.set_write_timeout(Some(ANSWER));
            let _ = writeln!(asking, "{answer}");
            if was_hidden {
                show(&app);
            }
        }
    };
    let thread = std::thread::Builder::new().name("show window".into());
    let _ = thread.spawn(serve);
}

/// What the other side says, unless it takes too long.
fn line(stream: &UnixStream) -> Option<String> {
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    let mut line = String::new();
    let longest = SHOW.len().max(SHOWN.len()).max(OPEN.len()) as u64 + 1;
    BufReader::new(stream.take(longest))
        .read_line(&mut line)
        .ok()?;
    Some(line.trim().to_owned())
}

fn hidden(app: &AppHandle) -> &AtomicBool {
    &app.state::<Background>().inner().hidden
}

fn show(app: &AppHandle) {
    if let Some(window) = app.get_webview_window("main") {
        let _ = window.show();
        let _ = window.set_focus();
    }
    app.state::<Arc<EventStream>>()
        .publish(DesktopEvent::WindowShown);
}

/// In the folder for sockets of this user's session, if there is one.
fn socket() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_RUNTIME_DIR")?;
    let folder = Path::new(&folder);
    folder
        .is_absolute()
        .then(|| folder.join("app.moestro.desktop.socket"))
}
