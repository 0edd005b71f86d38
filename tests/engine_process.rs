//! The shell and its engine process, without a window: the real binary as engine,
//! and misbehaving programs in its place.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moestro_desktop::engine_process::{EngineError, EngineProcess};
use moestro_desktop::events::{DesktopEvent, EventStream};
use moestro_engine::protocol::{Command, Event, LoadRequest};

/// Only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(60);

struct Shell {
    engine: EngineProcess,
    events: Receiver<DesktopEvent>,
    runtime: tokio::runtime::Runtime,
}

impl Shell {
    fn new(program: PathBuf) -> Self {
        let stream = Arc::new(EventStream::default());
        let (sender, events) = channel();
        let sender = Mutex::new(sender);
        stream.subscribe(Box::new(move |event| {
            sender.lock().unwrap().send(event).is_ok()
        }));
        let engine = EngineProcess::new(program, stream).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        Shell {
            engine,
            events,
            runtime,
        }
    }

    fn with_the_real_engine() -> Self {
        Self::new(env!("CARGO_BIN_EXE_moestro-desktop").into())
    }

    fn start(&self) -> Result<(), EngineError> {
        self.runtime.block_on(self.engine.start())
    }

    fn next(&self) -> DesktopEvent {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }

    fn pid(&self) -> u32 {
        match self.next() {
            DesktopEvent::EngineStarted { pid } => pid,
            other => panic!("expected a start, got {other:?}"),
        }
    }

    fn ready(&self) -> u32 {
        let pid = self.pid();
        match self.next() {
            DesktopEvent::Engine {
                event: Event::Ready { .. },
            } => pid,
            other => panic!("expected Ready, got {other:?}"),
        }
    }
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// A program that takes the engine's place. Another process writes it: a file
/// that this one has open for writing, if only in a child about to exec, cannot run.
fn script(folder: &Path, body: &str) -> PathBuf {
    let path = folder.join("engine.sh");
    let status = std::process::Command::new("sh")
        .args(["-c", r#"printf '%s' "$1" > "$0" && chmod +x "$0""#])
        .arg(&path)
        .arg(format!("#!/bin/sh\n{body}\n"))
        .status();
    assert!(status.unwrap().success());
    path
}

#[test]
fn a_killed_engine_is_reported_and_starts_again() {
    let shell = Shell::with_the_real_engine();
    shell.start().unwrap();
    let first = shell.ready();
    shell
        .start()
        .expect("starting a running engine does nothing");
    signal(first, rustix::process::Signal::KILL);
    match shell.next() {
        DesktopEvent::EngineExited {
            message,
            code: None,
            signal: Some(9),
            expected: false,
        } => {
            assert!(message.contains("out of memory"), "{message}");
        }
        other => panic!("expected an exit, got {other:?}"),
    }
    let error = shell.engine.send(&Command::Unload { id: 1 }).unwrap_err();
    assert!(matches!(error, EngineError::NotRunning));
    shell.start().unwrap();
    assert_ne!(shell.ready(), first);
}

#[test]
fn a_crash_is_named_by_its_signal() {
    let shell = Shell::with_the_real_engine();
    shell.start().unwrap();
    signal(shell.ready(), rustix::process::Signal::ABORT);
    match shell.next() {
        DesktopEvent::EngineExited {
            message,
            signal: Some(6),
            expected: false,
            ..
        } => {
            assert!(message.contains("SIGABRT"), "{message}");
        }
        other => panic!("expected an exit, got {other:?}"),
    }
}

#[test]
fn commands_are_answered_and_a_requested_end_is_expected() {
    let shell = Shell::with_the_real_engine();
    shell.start().unwrap();
    shell.ready();
    let request = LoadRequest {
        model: "/no/such/model.gguf".into(),
        ..LoadRequest::default()
    };
    shell
        .engine
        .send(&Command::Load { id: 5, request })
        .unwrap();
    let failure = loop {
        match shell.next() {
            DesktopEvent::Engine {
                event: Event::LoadProgress { id: 5, .. },
            } => {}
            DesktopEvent::Engine {
                event:
                    Event::Failed {
                        id: Some(5),
                        failure,
                    },
            } => break failure,
            other => panic!("expected a failure, got {other:?}"),
        }
    };
    assert!(
        failure.message.contains("/no/such/model.gguf"),
        "{}",
        failure.message
    );
    shell.engine.send(&Command::Shutdown).unwrap();
    match shell.next() {
        DesktopEvent::EngineExited {
            code: Some(0),
            signal: None,
            expected: true,
            ..
        } => {}
        other => panic!("expected a quiet end, got {other:?}"),
    }
}

#[test]
fn the_engine_ends_with_its_owner() {
    let shell = Shell::with_the_real_engine();
    shell.start().unwrap();
    let pid = shell.ready();
    let Shell { engine, events, .. } = shell;
    drop(engine);
    // The exit is the last event before the stream closes.
    assert!(
        events
            .iter()
            .any(|event| matches!(event, DesktopEvent::EngineExited { .. }))
    );
    assert!(!is_running(pid));
}

#[test]
fn an_engine_that_cannot_start_is_an_error_and_an_event() {
    let shell = Shell::new("/no/such/program".into());
    let error = shell.start().unwrap_err().to_string();
    assert!(error.contains("/no/such/program"), "{error}");
    assert!(matches!(
        shell.next(),
        DesktopEvent::EngineExited {
            expected: false,
            ..
        }
    ));
}

#[test]
fn bad_lines_are_reported_and_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let unloaded = r#"{"type":"unloaded","id":9}"#;
    // A line that is no event, one that is too long, a good one, half a line.
    let body = format!(
        "echo '{{\"type\":\"nonsense\"}}'\nhead -c 5000000 /dev/zero | tr '\\0' x\necho\n\
         echo '{unloaded}'\necho 'out of ideas' >&2\nprintf '{{\"type\"'\nexit 3"
    );
    let shell = Shell::new(script(folder.path(), &body));
    shell.start().unwrap();
    shell.pid();
    let notice = |event| match event {
        DesktopEvent::Notice { message } => message,
        other => panic!("expected a notice, got {other:?}"),
    };
    assert!(notice(shell.next()).contains("nonsense"));
    assert!(notice(shell.next()).contains("more than"));
    assert_eq!(
        shell.next(),
        DesktopEvent::Engine {
            event: Event::Unloaded { id: 9 }
        }
    );
    match shell.next() {
        DesktopEvent::EngineExited {
            message,
            code: Some(3),
            expected: false,
            ..
        } => {
            assert!(
                message.contains("exit code 3") && message.contains("out of ideas"),
                "{message}"
            );
        }
        other => panic!("expected an exit, got {other:?}"),
    }
}

#[test]
fn an_engine_that_does_not_read_cannot_block_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let shell = Shell::new(script(folder.path(), "exec sleep 600"));
    shell.start().unwrap();
    let pid = shell.pid();
    // More than the pipe and the queue hold.
    let text = "x".repeat(1 << 16);
    let command = Command::Load {
        id: 1,
        request: LoadRequest {
            model: text.into(),
            ..LoadRequest::default()
        },
    };
    let error = (0..1000).find_map(|_| shell.engine.send(&command).err());
    assert!(matches!(error, Some(EngineError::Busy)), "{error:?}");
    signal(pid, rustix::process::Signal::KILL);
    assert!(matches!(
        shell.next(),
        DesktopEvent::EngineExited {
            signal: Some(9),
            ..
        }
    ));
}
