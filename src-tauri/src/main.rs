//! The desktop binary: a window, or the engine behind one.

use std::process::ExitCode;

fn main() -> ExitCode {
    moestro_desktop::run(std::env::args_os().skip(1))
}
