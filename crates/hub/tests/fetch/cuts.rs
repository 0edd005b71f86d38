//! Random cuts: the process killed, the connection reset, or standing still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::support::Answer;
use super::{Bench, MIB, processes};

/// A generator that repeats its numbers, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Fetches a file of `mib` MiB through one cut of each kind in turn, `cuts` times;
/// each cut is a fetch of its own. Returns the most that was fetched again.
fn survive(mib: usize, cuts: u64) -> u64 {
    let bench = Bench::new(mib * MIB);
    let mut random = Random(0x5EED);
    let mut most = 0;
    for cut in 0..cuts {
        let start = Instant::now();
        let at = random.below(bench.bytes.len() as u64 / 4);
        let sent = bench.server.sent();
        let kind = cut % 3;
        if kind == 0 {
            // Fast enough to be anywhere in the file when the signal comes.
            bench.server.rule(|_, _| Answer::Slow(150 << 20));
            let mut child = processes::start(&bench);
            let kill_at = sent + at * 4;
            while bench.server.sent() < kill_at && child.try_wait().unwrap().is_none() {
                thread::sleep(Duration::from_millis(1));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            bench.server.rule(|_, _| Answer::Good);
        } else {
            let cut_once = Arc::new(AtomicU64::new(random.below(4)));
            bench.server.rule(move |request, n| {
                let length = request.range().map_or(0, |(a, b)| b.unwrap_or(a) - a);
                if n != cut_once.load(Ordering::Relaxed) {
                    Answer::Good
                } else if kind == 1 {
                    Answer::Reset(at.min(length))
                } else {
                    Answer::Stall(at.min(length))
                }
            });
        }
        bench.succeeds();
        let again = (bench.server.sent() - sent).saturating_sub(bench.bytes.len() as u64);
        most = most.max(again);
        eprintln!(
            "cut {cut}: {} at {at}, {again} bytes again, {:.1} s",
            ["kill", "reset", "stall"][kind as usize],
            start.elapsed().as_secs_f32()
        );
        std::fs::remove_dir_all(bench.cache.path().join("models--org--model")).unwrap();
    }
    most
}

#[test]
fn nine_cuts_lose_nothing() {
    let most = survive(24, 9);
    assert!(most <= 64 * MIB as u64, "{most} bytes were fetched again");
}

/// The whole of it, about 3 minutes; run with `--release` or without.
#[test]
#[ignore = "long: 100 times 300 MiB"]
fn a_hundred_cuts_in_300_mib_lose_nothing() {
    let most = survive(300, 100);
    eprintln!("at most {most} bytes were fetched again");
    assert!(most <= 64 * MIB as u64, "{most} bytes were fetched again");
}
