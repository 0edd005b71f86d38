//! Holds at most one engine on a thread of its own and obeys commands: work goes
//! on between them, and they take effect between two tokens.

mod loading;
mod meter;
mod prepare;
mod run;
mod snapshot;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::Folders;
use crate::cancel::Cancel;
use crate::protocol::{Command, Event};
use prepare::Ready;

/// The commands under way or waiting.
type Pending = Arc<Mutex<HashMap<u64, Waiting>>>;

/// Gets the events that answer one command, on the engine's thread.
pub type Listener = Arc<dyn Fn(Event) + Send + Sync>;

/// Reaches a command wherever it is.
#[derive(Clone, Default)]
struct Waiting {
    cancel: Cancel,
    /// `None` sends what answers it to the host's own listener.
    listener: Option<Listener>,
}

/// What reaches the engine's thread.
enum Order {
    Command(Command),
    /// An answer that can begin.
    Ready(Box<Ready>),
    /// What answers this command, worked out beside the engine.
    Counted(u64, Event),
}

/// Numbers of commands with a listener; those who choose their own stay below.
const OWN_NUMBERS: u64 = 1 << 63;

/// A running host. Dropping it ends the engine after the current step.
pub struct Host {
    remote: Remote,
    thread: Option<JoinHandle<()>>,
}

/// Sends commands to a host; can be cloned and moved to other threads.
#[derive(Clone)]
pub struct Remote {
    orders: Sender<Order>,
    pending: Pending,
    next: Arc<AtomicU64>,
}

impl Host {
    /// Starts the thread. `events` is called on it, in order, and should not block.
    pub fn start(folders: Folders, events: impl FnMut(Event) + Send + 'static) -> Host {
        let (orders, inbox) = channel();
        let pending = Pending::default();
        let remote = Remote {
            orders: orders.clone(),
            pending: pending.clone(),
            next: Arc::new(AtomicU64::new(OWN_NUMBERS)),
        };
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || {
                let end = End {
                    pending: pending.clone(),
                };
                run::run(inbox, orders, pending, folders, Box::new(events));
                drop(end);
            })
            .expect("the system can start a thread");
        Host {
            remote,
            thread: Some(thread),
        }
    }

    /// A host that remembers nothing and whose events are read from a channel.
    pub fn with_channel() -> (Host, Receiver<Event>) {
        let (sender, events) = channel();
        let host = Host::start(Folders::default(), move |event| {
            // Nobody listening is no reason to stop working.
            let _ = sender.send(event);
        });
        (host, events)
    }

    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// See [`Remote::send`].
    pub fn send(&self, command: Command) -> bool {
        self.remote.send(command)
    }

    /// Waits until the engine has ended. Returns false if it ended by a fault.
    pub fn wait(mut self) -> bool {
        self.thread.take().is_none_or(|t| t.join().is_ok())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.remote.send(Command::Shutdown);
            let _ = thread.join();
        }
    }
}

impl Remote {
    /// Queues a command. Cancelling and shutting down do not wait for their turn.
    /// Returns false if the engine has ended.
    pub fn send(&self, command: Command) -> bool {
        match &command {
            Command::Cancel { id } => {
                if let Some(waiting) = lock(&self.pending).get(id) {
                    waiting.cancel.cancel();
                }
                return true;
            }
            Command::Shutdown => lock(&self.pending)
                .values()
                .for_each(|waiting| waiting.cancel.cancel()),
            Command::Load { id, .. } | Command::Generate { id, .. } => {
                lock(&self.pending).insert(*id, Waiting::default());
            }
            _ => {}
        }
        self.orders.send(Order::Command(command)).is_ok()
    }

    /// Queues the command that `make` makes of a number, and sends what answers it to
    /// `listener`; a change of the model or its settings is told to all. Returns the
    /// number, or `None` if the engine has ended.
    pub fn ask(&self, make: impl FnOnce(u64) -> Command, listener: Listener) -> Option<u64> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting {
            cancel: Cancel::new(),
            listener: Some(listener),
        };
        lock(&self.pending).insert(id, waiting);
        let sent = self.orders.send(Order::Command(make(id))).is_ok();
        if !sent {
            lock(&self.pending).remove(&id);
        }
        sent.then_some(id)
    }
}

/// Lets go of all listeners when the engine has ended, by a fault too: whoever waits
/// for an answer learns that none will come. Commands that come later find nobody
/// who takes them.
struct End {
    pending: Pending,
}

impl Drop for End {
    fn drop(&mut self) {
        lock(&self.pending).clear();
    }
}

fn lock(pending: &Pending) -> std::sync::MutexGuard<'_, HashMap<u64, Waiting>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}
