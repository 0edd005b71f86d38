//! Other processes: killed ones, ones that want the same file, a full disk.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use moestro_hub::{Progress, Stop};

use super::support::Answer;
use super::{Bench, MIB, block_on, commit, described, fetcher, hasty, repo};

/// Not a test by itself: what the tests below start as a process of its own.
#[test]
#[ignore = "started by other tests"]
fn child_fetches() {
    let job = std::env::var("MOESTRO_TEST_FETCH").expect("it is started by other tests");
    let [endpoint, cache, size, digest] = job.split(' ').collect::<Vec<_>>()[..] else {
        panic!("endpoint, cache, size, digest");
    };
    let fetcher = fetcher(endpoint, Path::new(cache), hasty());
    let file = described(size.parse().unwrap(), digest.parse().unwrap());
    let (progress, stop) = (Progress::default(), Stop::default());
    println!("\nready");
    match block_on(fetcher.fetch(&repo(), &commit(), &file, &progress, &stop)) {
        Ok(_) => println!("\nreceived {}", progress.read().received),
        Err(error) => println!("\nfailed {error}"),
    }
}

/// The command that fetches the bench's file in a process of its own.
pub fn child(bench: &Bench, cache: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let job = format!(
        "{} {} {} {}",
        bench.server.endpoint(),
        cache.display(),
        bench.file.size,
        bench.file.digest
    );
    command
        .args([
            "processes::child_fetches",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env("MOESTRO_TEST_FETCH", job)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Starts it and waits until it fetches.
pub fn start(bench: &Bench) -> Child {
    let mut child = child(bench, bench.cache.path()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line == "ready"));
    child
}

#[test]
fn a_killed_process_loses_next_to_nothing() {
    let bench = Bench::new(24 * MIB);
    bench.server.rule(|_, _| Answer::Slow(2 << 20));
    for _ in 0..3 {
        let before = bench.server.sent();
        let mut child = start(&bench);
        while bench.server.sent() < before + 3 * MIB as u64 {
            thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        bench.nothing_final();
    }
    bench.server.rule(|_, _| Answer::Good);
    bench.succeeds();
    // Each time, four connections lose at most a block and what the network held.
    let again = bench.server.sent() - bench.bytes.len() as u64;
    assert!(again < 3 * 8 * MIB as u64, "{again}");
}

#[test]
fn two_processes_fetch_a_file_once() {
    let bench = Bench::new(24 * MIB);
    bench.server.rule(|_, _| Answer::Slow(8 << 20));
    let outputs: Vec<_> = (0..2)
        .map(|_| child(&bench, bench.cache.path()).spawn().unwrap())
        .map(|child| thread::spawn(move || child.wait_with_output().unwrap()))
        .collect();
    let received: Vec<u64> = outputs
        .into_iter()
        .map(|output| String::from_utf8(output.join().unwrap().stdout).unwrap())
        .map(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("received "));
            line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
        })
        .collect();
    assert_eq!(received.iter().sum::<u64>(), bench.bytes.len() as u64);
    assert!(received.contains(&0), "{received:?}");
    bench.succeeds();
}

/// On a file system of 16 MiB, of which something else takes all but 6 after the
/// fetch has begun.
#[test]
fn a_full_disk_keeps_what_is_here_and_goes_on_when_there_is_room() {
    let bench = Bench::new(12 * MIB);
    bench.server.rule(|_, _| Answer::Slow(1 << 20));
    let disk = tempfile::tempdir().unwrap();
    let program = child(&bench, disk.path());
    let script = format!(
        "mount -t tmpfs -o size=16m tmpfs {disk} || exit 77
         {program} & child=$!
         until ls {disk}/models--org--model/blobs/*.moestro; do sleep 0.1; done
         head -c 10485760 /dev/zero > {disk}/other
         wait $child; ls {disk}/models--org--model/blobs; rm {disk}/other
         {program}; sha256sum {disk}/models--org--model/blobs/*",
        disk = disk.path().display(),
        program = "\"$0\" \"$@\"",
    );
    let mut outer = Command::new("unshare");
    outer.args(["--mount", "--user", "--map-root-user", "sh", "-c", &script]);
    outer.arg(program.get_program()).args(program.get_args());
    outer.envs(
        program
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    let output = outer.output().unwrap();
    if !output.status.success() {
        eprintln!("skipped, this machine allows no mounts: {output:?}");
        return;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("failed") && text.contains("free some space"),
        "{text}"
    );
    assert!(text.contains(".moestro"), "the part was kept: {text}");
    let received = text.lines().find_map(|line| line.strip_prefix("received "));
    let received: u64 = received
        .unwrap_or_else(|| panic!("{text}"))
        .parse()
        .unwrap();
    assert!(
        received < bench.file.size,
        "it went on where it was: {text}"
    );
    let digest = bench.file.digest.hex();
    let sum = format!(
        "{digest}  {}/models--org--model/blobs/{digest}",
        disk.path().display()
    );
    assert!(text.contains(&sum), "{text}");
}

#[test]
fn another_process_is_waited_for_and_its_progress_shown() {
    let bench = Bench::new(24 * MIB);
    bench.server.rule(|_, _| Answer::Slow(1 << 20));
    let mut child = start(&bench);
    while bench.server.sent() == 0 {
        thread::sleep(Duration::from_millis(10));
    }
    let (progress, stop) = (Progress::default(), Stop::default());
    thread::scope(|scope| {
        let done = scope.spawn(|| bench.fetch_with(&bench.fetcher(), &progress, &stop));
        let seen = |reading: &moestro_hub::Reading| {
            reading.phase == moestro_hub::Phase::Elsewhere && reading.present > 0
        };
        for _ in 0..500 {
            if seen(&progress.read()) {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        assert!(seen(&progress.read()), "{:?}", progress.read());
        bench.server.rule(|_, _| Answer::Good);
        child.kill().unwrap();
        child.wait().unwrap();
        // Its death frees the lock, and this process goes on where it was.
        let path = done.join().unwrap().unwrap();
        assert!(std::fs::read(path).unwrap() == bench.bytes);
        assert!(progress.read().received < bench.file.size);
    });
}
