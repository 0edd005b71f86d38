//! The engine in a process of its own: starts it, carries lines to and from it,
//! and says what happened when it ends. Whatever happens there, the window lives.

mod exit;
mod lines;

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moestro_engine::protocol::{Command, Event};
use moestro_server::{ApiCommand, ApiEvent};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{mpsc, oneshot};

use crate::events::{DesktopEvent, EventStream};
use exit::StderrTail;
use lines::{Line, read_line};

/// The subcommand that turns this binary into an engine.
pub const ENGINE_ARGUMENT: &str = "engine";

/// Commands that may wait for an engine busy with a token.
const QUEUED_COMMANDS: usize = 256;
/// Bytes of one event; the largest real one is a snapshot of tens of kilobytes.
const MAX_EVENT_BYTES: usize = 4 << 20;
const MAX_STDERR_LINE_BYTES: usize = 4 << 10;
/// What a dead engine left in its pipes is read for at most this long.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Why a command did not reach the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the engine cannot be started from {}: {source}", program.display())]
    Start {
        program: PathBuf,
        source: std::io::Error,
    },
    #[error("the engine is not running; load the model again")]
    NotRunning,
    #[error("the engine is busy and has {QUEUED_COMMANDS} commands waiting; try again in a moment")]
    Busy,
    #[error("the command cannot be written as JSON: {0}")]
    Encode(#[from] serde_json::Error),
    #[error("the application is closing")]
    Closing,
}

/// A window receives every error as a sentence.
impl Serialize for EngineError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The engine's process, running or not. Dropping it ends the engine.
pub struct EngineProcess {
    starts: mpsc::UnboundedSender<StartReply>,
    running: Arc<Mutex<Option<Running>>>,
}

type StartReply = oneshot::Sender<Result<(), EngineError>>;

/// The way into a running engine.
struct Running {
    pid: u32,
    commands: mpsc::Sender<String>,
    /// It was told to end, so its end is no fault.
    stopping: Arc<AtomicBool>,
}

impl EngineProcess {
    /// Prepares to run `program engine`; nothing runs before [`start`](Self::start).
    pub fn new(program: PathBuf, events: Arc<EventStream>) -> std::io::Result<Self> {
        let (starts, requests) = mpsc::unbounded_channel();
        let running = Arc::new(Mutex::new(None));
        let supervisor = Supervisor {
            program,
            events,
            running: running.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // An own thread: Linux sends the engine its death signal when the thread
        // that started it ends, and threads of a pool come and go.
        std::thread::Builder::new()
            .name("engine process".into())
            .spawn(move || runtime.block_on(supervisor.serve(requests)))?;
        Ok(EngineProcess { starts, running })
    }

    /// Starts the engine unless it runs already.
    pub async fn start(&self) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        self.starts.send(reply).map_err(|_| EngineError::Closing)?;
        answer.await.map_err(|_| EngineError::Closing)?
    }

    /// Of the process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        lock(&self.running).as_ref().map(|engine| engine.pid)
    }

    /// Puts a command in the engine's queue. Answers come as events.
    pub fn send(&self, command: &Command) -> Result<(), EngineError> {
        self.send_line(command, matches!(command, Command::Shutdown))
    }

    /// Switches the API server, which lives in the engine's process.
    pub fn send_api(&self, command: &ApiCommand) -> Result<(), EngineError> {
        self.send_line(command, false)
    }

    fn send_line(&self, command: &impl Serialize, stops: bool) -> Result<(), EngineError> {
        let mut line = serde_json::to_string(command)?;
        line.push('\n');
        let running = lock(&self.running);
        let engine = running.as_ref().ok_or(EngineError::NotRunning)?;
        engine
            .commands
            .try_send(line)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => EngineError::Busy,
                mpsc::error::TrySendError::Closed(_) => EngineError::NotRunning,
            })?;
        if stops {
            engine.stopping.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Lives on its own thread and owns the child.
struct Supervisor {
    program: PathBuf,
    events: Arc<EventStream>,
    running: Arc<Mutex<Option<Running>>>,
}

impl Supervisor {
    async fn serve(self, mut starts: mpsc::UnboundedReceiver<StartReply>) {
        while let Some(reply) = starts.recv().await {
            match self.spawn() {
                Ok(child) => {
                    let _ = reply.send(Ok(()));
                    self.run(child, &mut starts).await;
                }
                Err(error) => {
                    self.events.publish(DesktopEvent::EngineExited {
                        message: error.to_string(),
                        code: None,
                        signal: None,
                        expected: false,
                    });
                    let _ = reply.send(Err(error));
                }
            }
        }
    }

    fn spawn(&self) -> Result<Child, EngineError> {
        tokio::process::Command::new(&self.program)
            .arg(ENGINE_ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| EngineError::Start {
                program: self.program.clone(),
                source,
            })
    }

    /// Serves one engine from its start to its end.
    async fn run(&self, mut child: Child, starts: &mut mpsc::UnboundedReceiver<StartReply>) {
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            unreachable!("all three were set to pipes");
        };
        let (commands, queue) = mpsc::channel(QUEUED_COMMANDS);
        let stopping = Arc::new(AtomicBool::new(false));
        let pid = child.id().unwrap_or_default();
        *lock(&self.running) = Some(Running {
            pid,
            commands,
            stopping: stopping.clone(),
        });
        self.events.publish(DesktopEvent::EngineStarted { pid });

        let writer = tokio::spawn(write_commands(stdin, queue));
        let reader = tokio::spawn(read_events(stdout, self.events.clone()));
        let tail = tokio::spawn(read_stderr(stderr));
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                start = starts.recv() => match start {
                    Some(reply) => drop(reply.send(Ok(()))),
                    // The application is closing, and the engine with it.
                    None => {
                        let _ = child.start_kill();
                        break child.wait().await;
                    }
                },
            }
        };
        *lock(&self.running) = None;
        writer.abort();
        // What the engine said last is told before its end.
        let _ = tokio::time::timeout(DRAIN_TIME, reader).await;
        let tail = tokio::time::timeout(DRAIN_TIME, tail).await;
        let tail = tail.ok().and_then(Result::ok).unwrap_or_default();
        self.events
            .publish(exited(status, stopping.load(Ordering::Relaxed), &tail));
    }
}

fn exited(status: std::io::Result<ExitStatus>, stopping: bool, tail: &StderrTail) -> DesktopEvent {
    use std::os::unix::process::ExitStatusExt;
    match status {
        Ok(status) => DesktopEvent::EngineExited {
            message: exit::describe(status, stopping, tail),
            code: status.code(),
            signal: status.signal(),
            expected: stopping && status.success(),
        },
        Err(error) => DesktopEvent::EngineExited {
            message: format!("it was lost: {error}"),
            code: None,
            signal: None,
            expected: false,
        },
    }
}

async fn write_commands(mut stdin: ChildStdin, mut queue: mpsc::Receiver<String>) {
    while let Some(line) = queue.recv().await {
        // A closed pipe is the end of the engine, which `run` notices by itself.
        if stdin.write_all(line.as_bytes()).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

async fn read_events(stdout: impl AsyncRead + Unpin, events: Arc<EventStream>) {
    let mut stdout = BufReader::new(stdout);
    loop {
        match read_line(&mut stdout, MAX_EVENT_BYTES).await {
            Ok(Line::Whole(bytes)) => match serde_json::from_slice::<Event>(&bytes) {
                Ok(event) => events.publish(DesktopEvent::Engine { event }),
                Err(error) => {
                    if let Ok(event) = serde_json::from_slice::<ApiEvent>(&bytes) {
                        events.publish(DesktopEvent::Api { event });
                        continue;
                    }
                    let start: String = String::from_utf8_lossy(&bytes).chars().take(80).collect();
                    events.notice(format!(
                        "The engine sent a line that is no event ({error}): {start}"
                    ));
                }
            },
            Ok(Line::TooLong) => events.notice(format!(
                "The engine sent an event of more than {MAX_EVENT_BYTES} bytes, which was skipped"
            )),
            Ok(Line::End) => return,
            Err(error) => {
                return events.notice(format!("The engine's output cannot be read: {error}"));
            }
        }
    }
}

/// Passes the engine's log on and keeps its end.
async fn read_stderr(stderr: impl AsyncRead + Unpin) -> StderrTail {
    let mut stderr = BufReader::new(stderr);
    let mut tail = StderrTail::default();
    loop {
        match read_line(&mut stderr, MAX_STDERR_LINE_BYTES).await {
            Ok(Line::Whole(bytes)) => {
                let line = String::from_utf8_lossy(&bytes);
                eprintln!("engine: {line}");
                tail.push(&line);
            }
            Ok(Line::TooLong) => tail.push("(a very long line)"),
            Ok(Line::End) | Err(_) => return tail,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
