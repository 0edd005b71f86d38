//! One fault at a time: what happens to the bytes, and what the person reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use moestro_hub::{Options, Phase, Progress, Stop};

use super::support::{Answer, FaultServer, environment, git_blob, noise};
use super::{Bench, MIB, PATH, described, fetcher};

#[test]
fn a_file_comes_whole_over_several_connections() {
    let bench = Bench::new(20 * MIB + 123);
    bench.succeeds();
    assert_eq!(bench.server.sent(), bench.bytes.len() as u64);
    assert!(bench.server.requests().len() >= 4);
    // The second time nothing is asked for.
    bench.succeeds();
    assert_eq!(bench.server.sent(), bench.bytes.len() as u64);
}

#[test]
fn small_and_empty_files_come_too() {
    for length in [0, 1, 700_000] {
        let mut bench = Bench::new(length);
        bench.file.digest = git_blob(&bench.bytes);
        bench.succeeds();
    }
}

#[test]
fn every_kind_of_cut_is_continued() {
    let cuts: [fn(u64) -> Answer; 3] = [Answer::Reset, Answer::Close, Answer::Stall];
    for cut in cuts {
        let bench = Bench::new(12 * MIB);
        bench.server.rule(move |_, n| match n {
            0..6 => cut(300_000 * (n + 1)),
            _ => Answer::Good,
        });
        bench.succeeds();
        // A reset also loses what had arrived and was not yet read.
        let again = bench.server.sent() - bench.bytes.len() as u64;
        assert!(again < 8 * MIB as u64, "{again} bytes were fetched again");
    }
}

#[test]
fn errors_of_the_server_pass() {
    for status in [500, 502, 503, 429, 408] {
        let bench = Bench::new(2 * MIB);
        bench.server.rule(move |_, n| match n {
            0..2 => Answer::Status(status, vec![("retry-after", "0".into())]),
            _ => Answer::Good,
        });
        bench.succeeds();
    }
}

#[test]
fn refusals_are_final_and_say_what_to_do() {
    let code = |code: &str| vec![("x-error-code", code.to_string())];
    for (status, headers, word) in [
        (401, code("GatedRepo"), "accept them at http"),
        (403, code("GatedRepo"), "access token"),
        (401, code("RepoNotFound"), "not found"),
        (403, vec![], "refused access"),
        (404, code("EntryNotFound"), "not found"),
        (418, vec![], "418"),
    ] {
        let bench = Bench::new(2 * MIB);
        bench
            .server
            .rule(move |_, _| Answer::Status(status, headers.clone()));
        let message = bench.fails();
        assert!(
            message.contains(word) && message.contains("model.gguf") || status == 418,
            "{message}"
        );
        assert_eq!(bench.server.requests().len(), 1, "{status}");
    }
}

#[test]
fn a_server_that_stays_broken_is_given_up_with_what_is_here_kept() {
    let mut options = super::hasty();
    options.patience = Duration::from_secs(2);
    let bench = Bench::new(12 * MIB);
    bench.server.rule(|_, n| match n {
        0..2 => Answer::Reset(2 * MIB as u64),
        _ => Answer::Status(500, vec![]),
    });
    let fetcher = fetcher(&bench.server.endpoint(), bench.cache.path(), options);
    let error = bench.fetch_with(&fetcher, &Progress::default(), &Stop::default());
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("was kept") && message.contains("500"),
        "{message}"
    );
    bench.nothing_final();
    bench.server.rule(|_, _| Answer::Good);
    bench.succeeds();
    let again = bench.server.sent() - bench.bytes.len() as u64;
    assert!(again <= 4 * MIB as u64, "{again}");
}

#[test]
fn bytes_that_do_not_match_never_get_the_name() {
    let bench = Bench::new(3 * MIB);
    bench.server.rule(|_, _| Answer::Wrong);
    let message = bench.fails();
    assert!(
        message.contains("damaged twice") && message.contains(bench.file.digest.hex()),
        "{message}"
    );
    assert_eq!(bench.left_over(), 0);
    // Once is forgiven.
    bench
        .server
        .rule(|_, n| if n == 0 { Answer::Wrong } else { Answer::Good });
    bench.succeeds();
}

#[test]
fn lengths_that_differ_are_refused() {
    for more in [-1000, 1000] {
        for whole in [false, true] {
            let bench = Bench::new(3 * MIB);
            bench.server.rule(move |_, _| Answer::OtherLength(more));
            let message = bench.fails();
            let found = (3 * MIB as i64 + more).to_string();
            assert!(
                message.contains(&found) && message.contains("refresh"),
                "{whole} {message}"
            );
        }
    }
    // 416: the server has less than what is here already.
    let bench = Bench::new(3 * MIB);
    bench.server.put(PATH, noise(10, 1));
    bench
        .server
        .rule(|_, _| Answer::Status(416, vec![("content-range", "bytes */10".into())]));
    assert!(bench.fails().contains("10 bytes"));
}

#[test]
fn a_part_that_was_not_asked_for_is_refused() {
    let bench = Bench::new(3 * MIB);
    bench.server.rule(|_, _| Answer::OtherRange);
    assert!(bench.fails().contains("another part"));
}

#[test]
fn servers_without_ranges_serve_too() {
    let bench = Bench::new(20 * MIB);
    bench.server.rule(|_, _| Answer::Whole);
    bench.succeeds();
    // Also after a cut, from the start again.
    let bench = Bench::new(20 * MIB);
    bench.server.rule(|r, n| match n {
        0 => Answer::Reset(9 * MIB as u64),
        _ if r.range().is_some_and(|(start, _)| start > 0) => Answer::Whole,
        _ => Answer::Whole,
    });
    bench.succeeds();
}

#[test]
fn a_file_that_changed_is_noticed_at_the_first_answer() {
    let bench = Bench::new(12 * MIB);
    bench.server.rule(|_, n| match n {
        0..4 => Answer::Reset(MIB as u64),
        _ => Answer::With(vec![("x-linked-etag", format!("\"{}\"", "ab".repeat(32)))]),
    });
    assert!(bench.fails().contains("changed on the server"));
    // A tag that is no checksum says nothing.
    bench
        .server
        .rule(|_, _| Answer::With(vec![("etag", "W/\"x-1\"".into())]));
    bench.succeeds();
}

#[test]
fn an_address_that_expires_is_asked_for_again_and_gets_no_token() {
    let bench = Bench::new(20 * MIB);
    let storage = Arc::new(FaultServer::start());
    storage.put("/signed", bench.bytes.clone());
    let valid = Arc::new(AtomicU64::new(0));
    let (issued, accepted) = (valid.clone(), valid.clone());
    let target = storage.endpoint();
    let digest = bench.file.digest.to_string();
    bench.server.rule(move |_, n| {
        issued.store(n, Ordering::Relaxed);
        let location = format!("{target}/signed?signature={n}");
        Answer::Status(
            302,
            vec![
                ("location", location),
                ("x-linked-etag", format!("\"{digest}\"")),
            ],
        )
    });
    storage.rule(move |request, n| {
        let newest = format!("/signed?signature={}", accepted.load(Ordering::Relaxed));
        match n {
            _ if request.path != newest => Answer::Status(403, vec![]),
            // Old addresses die with the connection.
            0..3 => Answer::Reset(2 * MIB as u64),
            3 => Answer::Status(403, vec![]),
            _ => Answer::Good,
        }
    });
    let (endpoint, cache) = (bench.server.endpoint(), bench.cache.path());
    let environment = environment(&endpoint, cache, &[("HF_TOKEN", "hf_secret")]);
    let mut options = super::hasty();
    options.connections = 1;
    let fetcher = moestro_hub::Fetcher::new(environment, options).unwrap();
    let path = bench
        .fetch_with(&fetcher, &Progress::default(), &Stop::default())
        .unwrap();
    assert!(std::fs::read(path).unwrap() == bench.bytes);
    let asked = bench.server.requests();
    assert!(asked.len() >= 2, "a new address was asked for");
    assert!(
        asked
            .iter()
            .all(|r| r.header("authorization") == Some("Bearer hf_secret"))
    );
    assert!(
        storage
            .requests()
            .iter()
            .all(|r| r.header("authorization").is_none())
    );
}

#[test]
fn redirects_in_a_circle_or_elsewhere_are_refused() {
    for location in [
        "/org/model/resolve/x",
        "file:///etc/passwd",
        "ftp://x/y",
        "",
    ] {
        let bench = Bench::new(MIB);
        bench
            .server
            .rule(move |_, _| Answer::Status(302, vec![("location", location.into())]));
        assert!(bench.fails().contains("makes no sense"), "{location}");
    }
}

#[test]
fn a_stall_is_shown_and_cancelling_is_quick() {
    let bench = Bench::new(12 * MIB);
    bench.server.rule(|_, _| Answer::Stall(100_000));
    let (progress, stop) = (Progress::default(), Stop::default());
    thread::scope(|scope| {
        let done = scope.spawn(|| bench.fetch_with(&bench.fetcher(), &progress, &stop));
        let start = Instant::now();
        while !matches!(progress.read().phase, Phase::Retrying { .. }) {
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{:?}",
                progress.read()
            );
            thread::sleep(Duration::from_millis(20));
        }
        let asked = Instant::now();
        stop.stop();
        let error = done.join().unwrap().unwrap_err();
        assert!(asked.elapsed() < Duration::from_secs(1));
        assert_eq!(error.to_string(), "stopped");
    });
    bench.nothing_final();
    assert!(Options::default().stall < Duration::from_secs(30));
}

#[test]
fn a_server_that_does_not_answer_can_be_left_at_once() {
    let bench = Bench::new(12 * MIB);
    bench.server.rule(|_, _| Answer::Silence);
    let (progress, stop) = (Progress::default(), Stop::default());
    thread::scope(|scope| {
        let done = scope.spawn(|| bench.fetch_with(&bench.fetcher(), &progress, &stop));
        thread::sleep(Duration::from_millis(200));
        let asked = Instant::now();
        stop.stop();
        done.join().unwrap().unwrap_err();
        assert!(asked.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn nobody_there_is_a_clear_message() {
    let bench = Bench::new(MIB);
    let mut options = super::hasty();
    options.patience = Duration::ZERO;
    let fetcher = fetcher("http://127.0.0.1:9", bench.cache.path(), options);
    let error = bench
        .fetch_with(&fetcher, &Progress::default(), &Stop::default())
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("127.0.0.1:9") && message.contains("check the network"),
        "{message}"
    );
}

#[test]
fn what_was_damaged_on_the_disk_is_fetched_again() {
    let bench = Bench::new(12 * MIB);
    let stopped = Arc::new(AtomicBool::new(false));
    let seen = stopped.clone();
    bench
        .server
        .rule(move |_, _| match seen.load(Ordering::Relaxed) {
            false => Answer::Stall(2 * MIB as u64 + 10),
            true => Answer::Good,
        });
    let (progress, stop) = (Progress::default(), Stop::default());
    thread::scope(|scope| {
        let done = scope.spawn(|| bench.fetch_with(&bench.fetcher(), &progress, &stop));
        while progress.read().present < 8 * MIB as u64 {
            thread::sleep(Duration::from_millis(10));
        }
        stop.stop();
        done.join().unwrap().unwrap_err();
    });
    stopped.store(true, Ordering::Relaxed);
    // As after a power cut: a part of what the map promises is not there.
    let partial = bench.cache.path().join("models--org--model/blobs");
    let partial = partial.join(format!("{}.moestro", bench.file.digest));
    let file = std::fs::File::options().write(true).open(partial).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 1000], 500_000).unwrap();
    let before = bench.server.sent();
    bench.succeeds();
    let fetched = bench.server.sent() - before;
    assert!(fetched < 6 * MIB as u64, "{fetched}");
}

#[test]
fn a_folder_that_goes_away_is_an_error_that_names_it() {
    let bench = Bench::new(20 * MIB);
    bench.server.rule(|_, _| Answer::Slow(4 << 20));
    let progress = Progress::default();
    thread::scope(|scope| {
        let done = scope.spawn(|| bench.fetch_with(&bench.fetcher(), &progress, &Stop::default()));
        while progress.read().present < MIB as u64 {
            thread::sleep(Duration::from_millis(10));
        }
        std::fs::remove_dir_all(bench.cache.path().join("models--org--model")).unwrap();
        let message = done.join().unwrap().unwrap_err().to_string();
        assert!(
            message.contains("models--org--model") && message.contains("put"),
            "{message}"
        );
    });
}

#[test]
fn a_limit_on_the_bandwidth_holds() {
    let bench = Bench::new(3 * MIB);
    let fetcher = bench.fetcher();
    fetcher.limit.set(Some(2 * MIB as u64));
    let start = Instant::now();
    bench
        .fetch_with(&fetcher, &Progress::default(), &Stop::default())
        .unwrap();
    assert!(
        start.elapsed() > Duration::from_millis(1200),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn nothing_is_asked_of_the_network_offline() {
    let bench = Bench::new(MIB);
    let mut fetcher = bench.fetcher();
    fetcher.environment.offline = true;
    let error = bench.fetch_with(&fetcher, &Progress::default(), &Stop::default());
    assert!(error.unwrap_err().to_string().contains("HF_HUB_OFFLINE"));
    assert!(bench.server.requests().is_empty());
    bench.succeeds();
    bench
        .fetch_with(&fetcher, &Progress::default(), &Stop::default())
        .unwrap();
}

#[test]
fn more_than_the_disk_holds_is_not_begun() {
    for size in [1 << 40, 1 << 60, u64::MAX] {
        let mut bench = Bench::new(MIB);
        bench.file = described(size, bench.file.digest.clone());
        let message = bench.fails();
        assert!(message.contains("free some space"), "{message}");
        assert!(bench.server.requests().is_empty() && bench.left_over() == 0);
    }
}
