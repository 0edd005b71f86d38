//! Processes, as Linux lists them under `/proc`.

use std::fs;
use std::time::Duration;

/// The descendant of `ancestor` that was started with `argument` as its first.
pub fn descendant_with_argument(ancestor: u32, argument: &str) -> Option<u32> {
    let started_with = |pid: &u32| first_argument(*pid).as_deref() == Some(argument);
    descendants(ancestor).into_iter().find(started_with)
}

/// All that `ancestor` started, and what those started.
pub fn descendants(ancestor: u32) -> Vec<u32> {
    let mut family = vec![ancestor];
    let mut next = 0;
    while next < family.len() {
        let parent = family[next];
        next += 1;
        family.extend(all().filter(|pid| parent_of(*pid) == Some(parent)));
    }
    family.split_off(1)
}

/// Name of a process and how long it has computed.
pub fn processor_time(pid: u32) -> Option<(String, Duration)> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let ticks: u64 = stat(pid)?[11..13].iter().sum();
    Some((name.trim().to_owned(), TICK * u32::try_from(ticks).ok()?))
}

/// How long ago a process was started, to 10 ms.
pub fn since_start(pid: u32) -> Duration {
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let now: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let started = TICK * u32::try_from(stat(pid).unwrap()[19]).unwrap();
    Duration::from_secs_f64(now).saturating_sub(started)
}

/// Linux counts the time of processes in these.
const TICK: Duration = Duration::from_millis(10);

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Who started this process.
pub fn parent_of(pid: u32) -> Option<u32> {
    stat(pid)?[1].try_into().ok()
}

/// Numbers of `/proc/PID/stat` behind the name; what is no number is 0.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself contain spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let numbers = after_name.split(' ').map(|word| word.parse().unwrap_or(0));
    Some(numbers.collect())
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
