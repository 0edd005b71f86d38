//! The engine behind a pipe: one command per line on standard input, one event
//! per line on standard output, as JSON. Ends when the input ends, so that it
//! never outlives the program that started it.

use std::io::{BufRead, BufReader, Read, Stdout, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use crate::host::{Host, Remote};
use crate::profiles_folder;
use crate::protocol::{Command, Event, Failure, FailureKind};

/// Longest command accepted: a long conversation with room to spare.
const LONGEST_LINE: u64 = 64 << 20;

type Output = Arc<Mutex<Stdout>>;

/// Serves until the input ends, a `Shutdown` comes or the engine fails.
pub fn serve() -> ExitCode {
    let output = Output::new(Mutex::new(std::io::stdout()));
    let events = output.clone();
    let host = Host::start(profiles_folder(), move |event| write_line(&events, &event));
    let remote = host.remote();
    // On its own thread, because a failed engine must end the process even while
    // no command comes.
    std::thread::spawn(move || read_commands(&remote, &output));
    if host.wait() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn read_commands(remote: &Remote, output: &Output) {
    let mut input = BufReader::new(std::io::stdin());
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut input).take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        match serde_json::from_slice::<Command>(&line) {
            Ok(command) => {
                if !remote.send(command) {
                    break;
                }
            }
            Err(error) => {
                let message = format!("not a command: {error}");
                let failure = Failure {
                    kind: FailureKind::Request,
                    message,
                };
                write_line(output, &Event::Failed { id: None, failure });
            }
        }
    }
    remote.send(Command::Shutdown);
}

/// A reader that went away is noticed at the input, not here.
fn write_line(output: &Output, event: &Event) {
    let mut line = serde_json::to_vec(event).expect("events are plain data");
    line.push(b'\n');
    let mut out = output.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = out.write_all(&line).and_then(|()| out.flush());
}
