//! One engine with the demo model for all tests, and servers in front of it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};

use moestro_engine::protocol::{Command, Event, LoadRequest, MemorySettings};
use moestro_engine::{Folders, Host, Remote};
use moestro_server::{Observer, Present, Running, Settings, start};

/// How long tests of endurance run: shortly, or with `MOESTRO_LONG_TESTS` as long as
/// it takes to be sure.
pub fn scaled<T>(short: T, long: T) -> T {
    match std::env::var_os("MOESTRO_LONG_TESTS") {
        Some(_) => long,
        None => short,
    }
}

struct Shared {
    _host: Host,
    remote: Remote,
    present: Arc<Present>,
    server: Running,
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let demo = LoadRequest {
            model: repository().join("models/demo/moestro-demo.gguf"),
            ..LoadRequest::default()
        };
        let (host, present) = engine(demo);
        let remote = host.remote();
        let server = serve(&remote, &present, Settings::default());
        Shared {
            _host: host,
            remote,
            present,
            server,
        }
    })
}

/// An engine that has loaded a model.
fn engine(request: LoadRequest) -> (Host, Arc<Present>) {
    let present = Arc::new(Present::default());
    let (sender, events) = channel();
    let seen = present.clone();
    let host = Host::start(Folders::default(), move |event| {
        seen.see(&event);
        let _ = sender.send(event);
    });
    let request = LoadRequest {
        threads: Some(2),
        ..request
    };
    host.send(Command::Load { id: 1, request });
    loop {
        match events.recv().unwrap() {
            Event::Loaded { .. } => return (host, present),
            Event::Failed { failure, .. } => panic!("{failure:?}"),
            _ => {}
        }
    }
}

/// An engine with room for long answers and a server that nobody else asks. Its model
/// has random weights.
pub fn alone() -> (Host, Running) {
    let (host, present) = engine(LoadRequest {
        model: repository().join("tests/fixtures/gguf/qwen3_next-tiny.gguf"),
        memory: MemorySettings {
            context: Some(60_000),
            ..MemorySettings::default()
        },
        ..LoadRequest::default()
    });
    let server = serve(&host.remote(), &present, Settings::default());
    (host, server)
}

fn serve(remote: &Remote, present: &Arc<Present>, settings: Settings) -> Running {
    let settings = Settings {
        port: 0,
        ..settings
    };
    let observer: Observer = Arc::new(|_| {});
    start(&settings, remote.clone(), present.clone(), observer).unwrap()
}

/// The port of the server that all tests share.
pub fn port() -> u16 {
    shared().server.address.port()
}

/// Another server in front of the same engine.
pub fn another(settings: Settings) -> Running {
    let shared = shared();
    serve(&shared.remote, &shared.present, settings)
}

/// A server whose engine has no model.
pub fn without_model() -> (Host, Running) {
    let (host, _) = Host::with_channel();
    let server = serve(&host.remote(), &Arc::default(), Settings::default());
    (host, server)
}
