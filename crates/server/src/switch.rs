//! The API server behind a switch, for a program that has the engine for itself and
//! shares it when a person wants to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use moestro_engine::Remote;
use serde::{Deserialize, Serialize};

use crate::listen::{Running, start};
use crate::model::Present;
use crate::settings::Settings;
use crate::tickets::{Observer, RequestSeen};

/// What can be asked besides the engine's commands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ApiCommand {
    /// Starts the API server, or starts it anew with other settings. Answered by
    /// `Serving` or `NotServing`.
    Serve { settings: Settings },
    /// Answered by `NotServing`.
    StopServing,
}

/// What happens to the API server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ApiEvent {
    /// Programs on this machine reach it at `url`, such as `http://127.0.0.1:8000`.
    Serving { url: String },
    /// It is off; `problem` if it could not start.
    NotServing { problem: Option<String> },
    /// Something changed about a request.
    RequestSeen { request: RequestSeen },
}

/// Gets what happens, on any thread.
pub type Tell = Arc<dyn Fn(ApiEvent) + Send + Sync>;

/// Obeys on a thread of its own, because streams take a moment to end properly.
/// Dropping it switches the server off.
pub struct Switch {
    commands: Option<Sender<ApiCommand>>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    pub fn new(remote: Remote, present: Arc<Present>, tell: Tell) -> std::io::Result<Switch> {
        let (commands, inbox) = channel();
        let lever = Lever {
            remote,
            present,
            tell,
            server: None,
        };
        let thread = std::thread::Builder::new()
            .name("api switch".into())
            .spawn(move || lever.obey(&inbox))?;
        Ok(Switch {
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// What came of it is told.
    pub fn turn(&self, command: ApiCommand) {
        if let Some(commands) = &self.commands {
            // The thread ends only after this one is gone.
            let _ = commands.send(command);
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Lever {
    remote: Remote,
    present: Arc<Present>,
    tell: Tell,
    server: Option<Running>,
}

impl Lever {
    fn obey(mut self, inbox: &Receiver<ApiCommand>) {
        while let Ok(mut command) = inbox.recv() {
            // Only the latest wish counts.
            while let Ok(newer) = inbox.try_recv() {
                command = newer;
            }
            // The old one leaves its port first.
            self.server = None;
            let event = match command {
                ApiCommand::StopServing => ApiEvent::NotServing { problem: None },
                ApiCommand::Serve { settings } => self.start(&settings),
            };
            (self.tell)(event);
        }
    }

    fn start(&mut self, settings: &Settings) -> ApiEvent {
        let tell = self.tell.clone();
        let observer: Observer = Arc::new(move |request| tell(ApiEvent::RequestSeen { request }));
        let (remote, present) = (self.remote.clone(), self.present.clone());
        match start(settings, remote, present, observer) {
            Ok(server) => {
                let url = format!("http://{}", from_here(server.address));
                self.server = Some(server);
                ApiEvent::Serving { url }
            }
            Err(error) => ApiEvent::NotServing {
                problem: Some(error.to_string()),
            },
        }
    }
}

/// "Every address" is none that can be called.
fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
