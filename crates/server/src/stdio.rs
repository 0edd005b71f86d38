//! The engine behind a pipe: one command per line on standard input, one event
//! per line on standard output, as JSON. Ends when the input ends, so that it
//! never outlives the program that started it. The API server can be switched on
//! beside it, because here is the model that both share.

use std::io::{BufRead, BufReader, Read, Stdout, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use moestro_engine::protocol::{Command, Event, Failure, FailureKind};
use moestro_engine::{Folders, Host, Remote};
use serde::Serialize;

use crate::model::Present;
use crate::switch::{ApiCommand, Switch};

/// Longest command accepted: a long conversation with room to spare.
const LONGEST_LINE: u64 = 64 << 20;

type Output = Arc<Mutex<Stdout>>;

/// Serves until the input ends, a `Shutdown` comes or the engine fails.
pub fn serve() -> ExitCode {
    let output = Output::new(Mutex::new(std::io::stdout()));
    let present = Arc::new(Present::default());
    let (events, seen) = (output.clone(), present.clone());
    let host = Host::start(Folders::usual(), move |event| {
        seen.see(&event);
        write_line(&events, &event);
    });
    let remote = host.remote();
    let told = output.clone();
    let tell = Arc::new(move |event| write_line(&told, &event));
    let switch = match Switch::new(remote.clone(), present, tell) {
        Ok(switch) => switch,
        Err(error) => {
            eprintln!("cannot start a thread: {error}");
            return ExitCode::FAILURE;
        }
    };
    // On its own thread, because a failed engine must end the process even while
    // no command comes.
    std::thread::spawn(move || read_commands(&remote, switch, &output));
    if host.wait() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn read_commands(remote: &Remote, switch: Switch, output: &Output) {
    let mut input = BufReader::new(std::io::stdin());
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut input).take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let wrong = match serde_json::from_slice::<Command>(&line) {
            Ok(Command::Shutdown) => break,
            Ok(command) => match remote.send(command) {
                true => continue,
                false => break,
            },
            Err(error) => error,
        };
        match serde_json::from_slice::<ApiCommand>(&line) {
            Ok(command) => switch.turn(command),
            Err(_) => {
                let message = format!("not a command: {wrong}");
                let failure = Failure {
                    kind: FailureKind::Request,
                    message,
                };
                write_line(output, &Event::Failed { id: None, failure });
            }
        }
    }
    // Streams end before the engine does.
    drop(switch);
    remote.send(Command::Shutdown);
}

/// A reader that went away is noticed at the input, not here.
fn write_line(output: &Output, event: &impl Serialize) {
    let mut line = serde_json::to_vec(event).expect("events are plain data");
    line.push(b'\n');
    let mut out = output.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = out.write_all(&line).and_then(|()| out.flush());
}
