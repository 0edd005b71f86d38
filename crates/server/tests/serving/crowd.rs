//! Many at once, coming and going: every answer that is waited for is complete and
//! what it would be alone, and what is left behind is given up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::answers::cases;
use crate::http::{Lines, get_from, post};
use crate::malformed::process_bytes;
use crate::server::{port, scaled};

/// A figure of `/metrics`.
fn figure(port: u16, name: &str) -> u64 {
    let text = get_from(port, "/metrics", "").text();
    let start = format!("moestro_{name} ");
    let line = text.lines().find(|l| l.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Answers that the server counts as under way or waiting.
fn open_answers(port: u16) -> u64 {
    figure(port, "open_answers")
}

/// Waits until the engine has so many answers, under way or waiting. Returns how long
/// that took.
pub fn settle(port: u16, answers: u64) -> Duration {
    let begin = Instant::now();
    loop {
        let now = figure(port, "running_answers") + figure(port, "waiting_answers");
        if now == answers {
            return begin.elapsed();
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{now} answers instead of {answers}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// So many streams that later ones must wait.
pub fn crowd(port: u16) -> Vec<Lines> {
    let streams: Vec<Lines> = (0..24).map(|i| endless_stream(port, 20 + i)).collect();
    settle(port, 24);
    streams
}

/// A stream that goes on until the context is full.
pub fn endless_stream(port: u16, prompt: u32) -> Lines {
    let body = json!({ "prompt": [prompt, 8, 9], "max_tokens": 100_000, "stream": true,
        "logit_bias": endless(), "temperature": 5 });
    Lines::open(port, "/v1/completions", &body)
}

/// A bias against every token that could end an answer of our models.
pub fn endless() -> Value {
    (1250..1280)
        .chain(1990..2048)
        .map(|id| (id.to_string(), json!(-100)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn chat(messages: &Value, who: usize) -> Value {
    json!({ "messages": messages, "temperature": 0, "max_tokens": 64, "stream": true,
        "user": format!("user {}", who % 3) })
}

/// The text so far, and whether the stream came to its end.
fn follow(lines: Lines, leave_after: usize) -> (String, bool) {
    let mut text = String::new();
    let mut pieces = 0;
    for line in lines {
        let Some(data) = line.strip_prefix("data: ") else {
            continue;
        };
        if data == "[DONE]" {
            return (text, true);
        }
        let chunk: Value = serde_json::from_str(data).unwrap();
        assert!(chunk["error"].is_null(), "{chunk}");
        if let Some(more) = chunk["choices"][0]["delta"]["content"].as_str() {
            text.push_str(more);
            pieces += 1;
            if pieces > leave_after {
                return (text, false);
            }
        }
    }
    (text, false)
}

#[test]
fn sixteen_streams_and_people_who_leave() {
    let cases = cases();
    let time = scaled(Duration::from_secs(4), Duration::from_secs(300));
    let begin = Instant::now();
    let mut half_way = 0;
    let (complete, left) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for who in 0..16usize {
            let (cases, complete, left) = (&cases, &complete, &left);
            scope.spawn(move || {
                let mut turn = who;
                while begin.elapsed() < time {
                    let (messages, expected) = &cases[turn % cases.len()];
                    // Some leave after a few pieces, one in four.
                    let leaves = (turn * 7 + who * 3) % 4 == 0;
                    let lines = Lines::open(port(), "/v1/chat/completions", &chat(messages, who));
                    let (text, whole) =
                        follow(lines, if leaves { 1 + turn % 3 } else { usize::MAX });
                    if whole {
                        assert_eq!(&text, expected, "as it is alone");
                        complete.fetch_add(1, Ordering::Relaxed);
                    } else {
                        assert!(leaves, "only those who left miss something: {text:?}");
                        assert!(expected.starts_with(&text));
                        left.fetch_add(1, Ordering::Relaxed);
                    }
                    turn += 1;
                }
            });
        }
        std::thread::sleep(time / 2);
        half_way = process_bytes();
    });
    let grown = process_bytes().saturating_sub(half_way);
    assert!(grown < 64 << 20, "it grew by {grown} bytes");
    let counts = (
        complete.load(Ordering::Relaxed),
        left.load(Ordering::Relaxed),
    );
    println!("{counts:?} complete and left; {grown} bytes more than half way");
    assert!(counts.0 >= 16 && counts.1 > 0, "{counts:?}");
}

/// An answer nobody waits for any more is given up, while it is read or written.
#[test]
fn leaving_ends_the_work() {
    let long = json!({ "prompt": [7, 8, 9], "max_tokens": 100_000, "stream": true,
        "logit_bias": endless(), "temperature": 5 });
    let mut streams: Vec<Lines> = (0..4)
        .map(|_| Lines::open(port(), "/v1/completions", &long))
        .collect();
    for stream in &mut streams {
        assert!(
            stream.any(|line| line.starts_with("data: ")),
            "it has begun"
        );
    }
    assert!(open_answers(port()) >= 4);
    drop(streams);
    // One that only waits for a whole answer can be left, too.
    let mut whole = long.clone();
    whole["stream"] = json!(false);
    drop(Lines::open(port(), "/v1/completions", &whole));
    // Others may be answered at the same time, so wait for a moment without any.
    let begin = Instant::now();
    while open_answers(port()) > 0 {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{} are left",
            open_answers(port())
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The least of a few measurements: others keep this machine busy, too.
fn least(mut measure: impl FnMut() -> Duration) -> Duration {
    (0..3).map(|_| measure()).min().unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

/// Whatever an answer is at when nobody waits for it any more, its place is free within
/// a second, and others go on.
#[test]
fn leaving_frees_a_place_within_a_second() {
    let (_host, server) = crate::server::alone();
    let port = server.address.port();
    let writing = least(|| {
        let mut stream = endless_stream(port, 7);
        assert!(stream.any(|line| line.starts_with("data: ")));
        drop(stream);
        settle(port, 0)
    });
    assert!(writing < SECOND, "{writing:?} while it was written");

    // A prompt may be read before its reader has left; then another is tried.
    let mut seed = 0;
    let mut leave_reading = || loop {
        seed += 1;
        let first_tokens = figure(port, "first_token_seconds_count");
        let prompt: Vec<u32> = (0..20_000)
            .map(|i| 5 + (i * 7 + seed * 131) % 1200)
            .collect();
        let body = json!({ "prompt": prompt, "max_tokens": 50, "stream": true });
        let stream = Lines::open(port, "/v1/completions", &body);
        settle(port, 1);
        drop(stream);
        let took = settle(port, 0);
        if figure(port, "first_token_seconds_count") == first_tokens {
            return took;
        }
        assert!(seed < 100, "every prompt was read at once");
    };
    let reading = least(&mut leave_reading);
    assert!(reading < SECOND, "{reading:?} while its prompt was read");

    let streams = crowd(port);
    let queued = least(|| {
        let last = endless_stream(port, 90);
        settle(port, 25);
        drop(last);
        settle(port, 24)
    });
    assert!(queued < SECOND, "{queued:?} in the queue");
    assert!(figure(port, "waiting_answers") > 0, "there was a queue");
    drop(streams);
    settle(port, 0);
}

/// More than there is room for are turned away at once, and told when to come again.
#[test]
fn a_full_queue_says_so() {
    let server = crate::server::another(moestro_server::Settings::default());
    let port = server.address.port();
    let long = json!({ "prompts": vec!["count"; 64], "max_tokens": 100_000, "temperature": 5,
        "raw": true, "logit_bias": endless() });
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let long = &long;
            scope.spawn(move || {
                // Never answered: the server ends first.
                let reply = crate::http::post_to(port, "/api/v1/generate/batch", long);
                assert_eq!(reply.status, 503);
            });
        }
        let small = json!({ "prompt": "one", "max_tokens": 1 });
        let begin = Instant::now();
        while open_answers(port) < 128 {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "it is never full"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let reply = crate::http::post_to(port, "/v1/completions", &small);
        assert_eq!(reply.status, 503);
        assert_eq!(reply.json()["error"]["code"], "queue_full");
        assert!(reply.header("retry-after").is_some());
        server.end();
    });
    drop(server);
    assert_eq!(
        post(
            "/v1/completions",
            &json!({ "prompt": "one", "max_tokens": 1 })
        )
        .status,
        200
    );
}

/// Streams of a server that ends are told so and closed properly.
#[test]
fn a_server_that_ends_says_so() {
    let server = crate::server::another(moestro_server::Settings::default());
    let long = json!({ "prompt": [7, 8, 9], "max_tokens": 100_000, "stream": true,
        "logit_bias": endless(), "temperature": 5 });
    let mut stream = Lines::open(server.address.port(), "/v1/completions", &long);
    assert!(stream.any(|line| line.starts_with("data: ")));
    drop(server);
    let rest: Vec<String> = stream.collect();
    assert!(
        rest.iter().any(|l| l.contains("the server is ending")),
        "{rest:?}"
    );
    assert!(rest.iter().any(|l| l == "data: [DONE]"));
}
