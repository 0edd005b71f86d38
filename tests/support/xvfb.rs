//! A display without a screen.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A running Xvfb with a display number of its own.
pub struct Xvfb {
    process: Child,
    /// Such as `:1`.
    pub display: String,
}

impl Xvfb {
    pub fn start() -> Self {
        let mut process = Command::new("Xvfb")
            // It picks a free number and writes it to file descriptor 1.
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "1400x1000x24",
                "-nolisten",
                "tcp",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is missing: install the package xvfb");
        let mut number = String::new();
        let output = process.stdout.take().expect("a pipe");
        BufReader::new(output)
            .read_line(&mut number)
            .expect("a display number");
        assert!(!number.trim().is_empty(), "Xvfb did not start");
        Xvfb {
            process,
            display: format!(":{}", number.trim()),
        }
    }
}

impl Drop for Xvfb {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
