//! The desktop shell: one window, an engine in a child process behind it, and the
//! typed commands and the one event stream between them. Knows nothing of tensors.

pub mod background;
pub mod chats;
pub mod commands;
pub mod engine_process;
pub mod events;
pub mod hub;
pub mod models;
mod outside;
pub mod settings;
mod window;

use std::ffi::OsString;
use std::process::ExitCode;

const USAGE: &str = "\
usage: moestro-desktop [MODEL]      open the window, and a GGUF file or model folder in it
       moestro-desktop engine       serve as the engine behind a window (JSON lines)
       moestro-desktop --version    print the version";

/// Runs the program with its arguments, the program's own name left out.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|argument| argument.to_str().unwrap_or("?"))
        .collect();
    match arguments[..] {
        [] => window::open(None),
        [engine_process::ENGINE_ARGUMENT] => engine(),
        ["--version" | "-V"] => {
            println!("moestro-desktop {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        ["--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        [model] if !model.starts_with('-') => match background::full_path(model) {
            Ok(path) => window::open(Some(path)),
            Err(error) => {
                eprintln!("moestro-desktop cannot open {model}: {error}");
                ExitCode::from(2)
            }
        },
        _ => {
            eprintln!(
                "moestro-desktop does not understand: {}\n{USAGE}",
                arguments.join(" ")
            );
            ExitCode::from(2)
        }
    }
}

/// Serves commands from stdin until it ends, which it does with the window.
fn engine() -> ExitCode {
    // An engine that is busy or hangs must not outlive its window either.
    if let Err(error) =
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
    {
        eprintln!("cannot ask for a signal when the window ends: {error}");
    }
    moestro_server::serve_stdio()
}
