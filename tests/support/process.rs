//! Processes, as Linux lists them under `/proc`.

use std::fs;

/// The descendant of `ancestor` that was started with `argument` as its first.
pub fn descendant_with_argument(ancestor: u32, argument: &str) -> Option<u32> {
    let mut family = vec![ancestor];
    let mut next = 0;
    while next < family.len() {
        let parent = family[next];
        next += 1;
        family.extend(all().filter(|pid| parent_of(*pid) == Some(parent)));
    }
    family
        .into_iter()
        .find(|pid| first_argument(*pid).as_deref() == Some(argument))
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Who started this process.
pub fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself contain spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(1)?.parse().ok()
}

fn first_argument(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    line.split(|byte| *byte == 0)
        .nth(1)
        .map(|part| String::from_utf8_lossy(part).into_owned())
}

/// Lets a process stand still until it is ended.
pub fn hold(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
}

/// Ends a process at once, as the system does when memory runs out.
pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
