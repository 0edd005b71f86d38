//! `moestro serve`: the API server without a window.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result, bail};
use clap::Args;
use moestro_engine::protocol::{Command, Event, LoadRequest};
use moestro_engine::{Folders, Host};
use moestro_server::{Observer, Present, RequestSeen, Settings, start};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::arguments::{ModelArguments, progress};

#[derive(Args)]
pub struct Serve {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Address to listen on; any but this machine's own needs --api-key
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 takes any free one
    #[arg(long, value_name = "N", default_value_t = 8000)]
    pub port: u16,
    /// Key that clients must send [env: MOESTRO_API_KEY]
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,
    /// Web page that may call the server, such as http://localhost:3000; may be given
    /// several times
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// Seconds after which an answer is ended
    #[arg(long, value_name = "N", default_value_t = 3600)]
    pub timeout: u32,
    /// Print a line for every request; never what was asked or answered
    #[arg(long)]
    pub log: bool,
}

pub fn run(a: &Serve) -> Result<()> {
    let settings = Settings {
        host: a.host.clone(),
        port: a.port,
        // A key in the environment is not seen by other users of the machine.
        api_key: a
            .api_key
            .clone()
            .or_else(|| std::env::var("MOESTRO_API_KEY").ok()),
        origins: a.allow_origin.clone(),
        timeout_seconds: a.timeout,
    };
    settings.check_safe()?;
    if a.model.kernels.is_some() {
        bail!("serve takes the fastest code for the processor; leave --kernels out");
    }
    let present = Arc::new(Present::default());
    let (sender, events) = channel();
    let seen = present.clone();
    let host = Host::start(Folders::usual(), move |event| {
        seen.see(&event);
        let _ = sender.send(event);
    });
    load(a, &host, &events)?;
    let log = a.log;
    let observer: Observer = Arc::new(move |request| {
        if log && request.done {
            eprintln!("{}", line(&request));
        }
    });
    let server = start(&settings, host.remote(), present, observer)?;
    eprintln!("serving at http://{}, press Ctrl-C to end", server.address);
    let end = wait_for_end(events)?;
    eprintln!("ending");
    drop(server);
    drop(host);
    match end {
        End::Asked => Ok(()),
        End::Engine => bail!("the engine stopped by a fault; its message is above"),
    }
}

enum End {
    Asked,
    /// It is gone.
    Engine,
}

/// Waits until somebody wants the end or the engine has come to its own.
fn wait_for_end(events: Receiver<Event>) -> Result<End> {
    let (asked, end) = channel();
    let gone = asked.clone();
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        // Ctrl-C, or what a service manager sends.
        signals.forever().next();
        let _ = asked.send(End::Asked);
    });
    std::thread::spawn(move || {
        // Nobody needs the events any more, only their end.
        events.iter().for_each(drop);
        let _ = gone.send(End::Engine);
    });
    Ok(end.recv()?)
}

fn load(a: &Serve, host: &Host, events: &Receiver<Event>) -> Result<()> {
    let path = a.model.path()?;
    let request = LoadRequest {
        model: path.clone(),
        memory: a.model.memory(),
        threads: a.model.threads,
        quantize: a.model.quantize,
    };
    host.send(Command::Load { id: 1, request });
    let mut progress = progress(&path);
    loop {
        match events.recv().context("the engine ended while loading")? {
            Event::LoadProgress {
                stage, done, total, ..
            } => progress(stage, done, total),
            Event::Loaded { placement, .. } => {
                for note in &placement.notes {
                    eprintln!("note: {note}");
                }
                return Ok(());
            }
            Event::Failed { failure, .. } => bail!("{}", failure.message),
            _ => {}
        }
    }
}

fn line(r: &RequestSeen) -> String {
    format!(
        "{} {} {} {}+{} tokens {} ms",
        r.method, r.path, r.status, r.prompt_tokens, r.generated_tokens, r.took_ms
    )
}
