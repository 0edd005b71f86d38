//! What the end of the engine process means, in words.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

const SIGKILL: i32 = 9;

/// The last lines a process wrote to stderr.
#[derive(Debug, Default)]
pub struct StderrTail(VecDeque<String>);

impl StderrTail {
    const LINES: usize = 4;
    const CHARACTERS: usize = 300;

    /// Keeps the start of a line and drops the oldest.
    pub fn push(&mut self, line: &str) {
        let line: String = line.trim().chars().take(Self::CHARACTERS).collect();
        if line.is_empty() {
            return;
        }
        if self.0.len() == Self::LINES {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    fn sentence(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let lines: Vec<&str> = self.0.iter().map(String::as_str).collect();
        format!(" It last said: {}", lines.join(" / "))
    }
}

/// What continues "The engine stopped: ". `stopping` if it was asked to end.
pub fn describe(status: ExitStatus, stopping: bool, tail: &StderrTail) -> String {
    match (status.signal(), status.code()) {
        (Some(SIGKILL), _) => "it was killed (SIGKILL). The system may have run out of \
             memory: close other programs, or allow the model less RAM on the Memory page."
            .into(),
        (Some(signal), _) => {
            format!("it crashed ({}).{}", signal_name(signal), tail.sentence())
        }
        (None, Some(0)) if stopping => "it was asked to.".into(),
        (None, Some(0)) => format!("it ended by itself.{}", tail.sentence()),
        (None, Some(code)) => {
            format!("it failed with exit code {code}.{}", tail.sentence())
        }
        (None, None) => format!("it ended ({status}).{}", tail.sentence()),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        31 => "SIGSYS",
        other => return format!("signal {other}"),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As wait(2) encodes it: the signal in the low byte, the code in the next.
    fn describe_raw(raw: i32, stopping: bool, lines: &[&str]) -> String {
        let mut tail = StderrTail::default();
        lines.iter().for_each(|line| tail.push(line));
        describe(ExitStatus::from_raw(raw), stopping, &tail)
    }

    #[test]
    fn a_kill_names_memory_as_the_likely_cause() {
        let message = describe_raw(9, false, &[]);
        assert!(
            message.contains("SIGKILL") && message.contains("out of memory"),
            "{message}"
        );
    }

    #[test]
    fn crashes_and_exit_codes_are_named_with_the_last_words() {
        assert_eq!(describe_raw(11, false, &[]), "it crashed (SIGSEGV).");
        assert_eq!(describe_raw(34, false, &[]), "it crashed (signal 34).");
        assert_eq!(
            describe_raw(
                101 << 8,
                false,
                &["thread 'decode' panicked", "", "at x.rs"]
            ),
            "it failed with exit code 101. It last said: thread 'decode' panicked / at x.rs"
        );
    }

    #[test]
    fn a_requested_end_is_no_fault() {
        assert_eq!(describe_raw(0, true, &["bye"]), "it was asked to.");
        assert_eq!(describe_raw(0, false, &[]), "it ended by itself.");
    }

    #[test]
    fn the_tail_keeps_the_last_lines_and_their_start() {
        let long = "x".repeat(1000);
        let lines = ["a", "b", "c", "d", long.as_str()];
        let message = describe_raw(1 << 8, false, &lines);
        assert!(
            !message.contains(" a /") && message.contains("b / c / d / xxx"),
            "{message}"
        );
        assert!(message.len() < 400);
    }
}
