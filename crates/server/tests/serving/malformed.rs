//! Bodies broken at random: refused or answered, never a fault, never kept.

use serde_json::json;

use crate::http::{get, raw, request};
use crate::server::{port, scaled};

/// A small generator with a fixed beginning, so that a failure comes again.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }
}

pub fn process_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

fn whole_bodies() -> Vec<(&'static str, String)> {
    let hello = json!([{ "role": "user", "content": "hi" }]);
    let tools = json!([{ "type": "function", "function": { "name": "f", "parameters": {
        "type": "object", "properties": { "a": { "type": "integer" } } } } }]);
    let chat = json!({ "messages": hello, "max_tokens": 1, "temperature": 0.5, "stop": ["x"],
        "tools": tools, "logit_bias": { "5": 1.5 }, "response_format": { "type": "text" } });
    vec![
        ("/v1/chat/completions", chat.to_string()),
        (
            "/v1/completions",
            json!({ "prompt": [1, 2], "max_tokens": 1, "n": 1 }).to_string(),
        ),
        (
            "/v1/messages",
            json!({ "max_tokens": 1, "messages": [{ "role": "user", "content": [
                { "type": "text", "text": "hi" }] }] })
            .to_string(),
        ),
        (
            "/v1/messages/count_tokens",
            json!({ "system": "short", "messages": hello }).to_string(),
        ),
        (
            "/v1/responses",
            json!({ "input": hello, "max_output_tokens": 1 }).to_string(),
        ),
        (
            "/api/v1/generate",
            json!({ "prompt": "hi", "max_tokens": 1 }).to_string(),
        ),
        (
            "/api/v1/generate/batch",
            json!({ "prompts": ["a"], "max_tokens": 1 }).to_string(),
        ),
        (
            "/api/v1/optimize",
            json!({ "predictive_preloading": false }).to_string(),
        ),
    ]
}

fn broken(random: &mut Random, text: &str) -> Vec<u8> {
    const PIECES: [&str; 16] = [
        "null",
        "-1",
        "1e999",
        "NaN",
        "[]",
        "{}",
        "\"",
        "\\u0000",
        "\\ud800",
        "18446744073709551616",
        "true",
        "\u{1F600}",
        "[[[[",
        "}}",
        "1.5",
        "\"\"",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1));
        match random.below(5) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => {
                let end = (at + random.below(8)).min(bytes.len());
                let piece = PIECES[random.below(PIECES.len())].bytes();
                bytes.splice(at.min(end)..end, piece);
            }
            _ => {
                let copy = bytes[at..(at + 20).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

#[test]
fn broken_bodies_do_no_harm() {
    let bodies = whole_bodies();
    let mut random = Random(7);
    let mut before = 0;
    let count = scaled(1_000, 10_000);
    let mut refused = 0;
    for i in 0..count {
        if i == count / 10 {
            // What is made once is there by now.
            before = process_bytes();
        }
        let (path, whole) = &bodies[random.below(bodies.len())];
        let bytes = broken(&mut random, whole);
        let mut post = request(path, "", "");
        let text = String::from_utf8(post).unwrap();
        post = text
            .replace(
                "Content-Length: 0",
                &format!("Content-Length: {}", bytes.len()),
            )
            .into();
        post.extend_from_slice(&bytes);
        let reply = raw(port(), &post);
        let shown = String::from_utf8_lossy(&bytes);
        assert!(
            (200..500).contains(&reply.status),
            "{path} {shown}: {}",
            reply.text()
        );
        refused += usize::from(reply.status >= 400);
    }
    assert!(refused > count / 2);
    let grown = process_bytes().saturating_sub(before);
    println!("{refused} of {count} refused; grew by {grown} bytes");
    assert!(grown < 64 << 20, "it grew by {grown} bytes");
    assert_eq!(get("/api/v1/health").status, 200);
}
