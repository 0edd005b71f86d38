//! Closing the window while downloads run or other programs share the model: the
//! person is asked, and may let that go on without a window. Starting the application
//! again shows the window there is.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tauri::{AppHandle, CloseRequestApi, Manager, State, WebviewWindow};

use crate::events::{DesktopEvent, EventStream};
use crate::hub::desk::Desk;

/// Between two looks at whether anything is left to do without a window.
const LOOK: Duration = Duration::from_secs(1);
/// Another process of this user answers at once, or hangs.
const ANSWER: Duration = Duration::from_secs(5);
/// What a process that is started asks for; a model to open may follow.
const SHOW: &str = "show";
/// What the process that has the window answers.
const SHOWN: &str = "shown";
/// Longer paths than systems take, and the words around them.
const LONGEST: u64 = 1 << 14;

/// Whether there is a window to see.
#[derive(Default)]
pub struct Background {
    /// The person was asked what to do and has not answered.
    asked: AtomicBool,
    /// One of the following.
    window: AtomicU8,
}

const VISIBLE: u8 = 0;
const HIDDEN: u8 = 1;
/// The process is about to go, and shows its window no more.
const ENDING: u8 = 2;

impl Background {
    /// From now on another start of the application opens a window of its own.
    pub fn ends(&self) {
        self.window.store(ENDING, Ordering::Relaxed);
    }

    /// Whether the window was in this state, and is in the other one now.
    fn turns(&self, from: u8, to: u8) -> bool {
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        self.window
            .compare_exchange(from, to, success, failure)
            .is_ok()
    }
}

/// What the person wants who closed the window while something goes on behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum CloseChoice {
    Stay,
    /// It goes on without a window: downloads until they are done, the API until the
    /// application is opened again and quits.
    Background,
    /// Downloads go on when the application is opened again.
    Quit,
}

/// What would go on without a window.
struct Work {
    downloads: bool,
    api: bool,
}

impl Work {
    fn of(app: &AppHandle) -> Work {
        let active = |desk: State<Desk>| desk.queue().is_ok_and(|queue| !queue.is_idle());
        let serves = |events: State<Arc<EventStream>>| events.serves_api();
        Work {
            downloads: app.try_state().is_some_and(active),
            api: app.try_state().is_some_and(serves),
        }
    }

    fn is_none(&self) -> bool {
        !self.downloads && !self.api
    }
}

/// Closes the window, unless something would go on without it: then the page asks. A
/// second attempt closes it in any case, should the page not have been able to.
pub fn close_requested(app: &AppHandle, request: &CloseRequestApi) {
    let work = Work::of(app);
    let ask = |background: State<Background>| !background.asked.swap(true, Ordering::Relaxed);
    if !work.is_none() && app.try_state::<Background>().is_some_and(ask) {
        request.prevent_close();
        let Work { downloads, api } = work;
        let events = app.state::<Arc<EventStream>>();
        events.publish(DesktopEvent::CloseAsked { downloads, api });
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
            background.window.store(HIDDEN, Ordering::Relaxed);
            let app = app.clone();
            tauri::async_runtime::spawn(async move { end_when_done(&app).await });
        }
    }
    Ok(())
}

/// Ends the process when nothing goes on any more, unless its window is back.
async fn end_when_done(app: &AppHandle) {
    let background = app.state::<Background>();
    while background.window.load(Ordering::Relaxed) == HIDDEN {
        // Whoever is first decides: to end, or to show the window.
        if Work::of(app).is_none() && background.turns(HIDDEN, ENDING) {
            app.exit(0);
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Lets the process that runs already, if there is one, show its window and open
/// `model` in it.
pub fn show_other(model: Option<&str>) -> bool {
    let ask = || {
        let mut other = UnixStream::connect(socket()?).ok()?;
        other.set_write_timeout(Some(ANSWER)).ok()?;
        let question = serde_json::to_string(&(SHOW, model)).ok()?;
        writeln!(other, "{question}").ok()?;
        Some(line(&other)? == SHOWN)
    };
    ask().unwrap_or(false)
}

/// A model that was named relative to where the person was, for a process that is
/// somewhere else.
///
/// Errors: nothing is there; its name is not UTF-8.
pub fn full_path(model: &str) -> std::io::Result<String> {
    let path = std::fs::canonicalize(model)?;
    let not_utf8 = |_| std::io::Error::other("its name is not UTF-8; rename it first");
    path.into_os_string().into_string().map_err(not_utf8)
}

/// From now on another start of the application can show this window.
pub fn listen(app: &AppHandle) {
    let Some(path) = socket() else {
        return;
    };
    // Left by a process that was killed, or is about to end: one that shows its
    // window would have been asked to.
    let _ = std::fs::remove_file(&path);
    let Ok(listener) = UnixListener::bind(&path) else {
        return;
    };
    let app = app.clone();
    let serve = move || {
        for mut asking in listener.incoming().flatten() {
            // Not before it has asked: it could not write any more.
            let question = line(&asking).unwrap_or_default();
            let Ok((SHOW, model)) = serde_json::from_str::<(&str, Option<String>)>(&question)
            else {
                continue;
            };
            let background = app.state::<Background>();
            if !background.turns(HIDDEN, VISIBLE) && !background.turns(VISIBLE, VISIBLE) {
                continue;
            }
            // The answer first: to show a window may take longer than the other waits.
            let _ = asking.set_write_timeout(Some(ANSWER));
            let _ = writeln!(asking, "{SHOWN}");
            show(&app);
            if let Some(path) = model {
                let events = app.state::<Arc<EventStream>>();
                events.publish(DesktopEvent::FileOpened { path });
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
    BufReader::new(stream.take(LONGEST))
        .read_line(&mut line)
        .ok()?;
    Some(line.trim().to_owned())
}

fn show(app: &AppHandle) {
    if let Some(window) = app.get_webview_window("main") {
        let _ = window.show();
        let _ = window.unminimize();
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
