//! Moestro's own endpoints.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocket};

use crate::answers::cases;
use crate::crowd::{crowd, endless, settle};
use crate::http::{PATIENCE, ask, connect, events, get, post};
use crate::server::port;

#[test]
fn questions_are_answered_with_figures() {
    let body = json!({ "prompt": "What is 2+2?", "temperature": 0, "max_tokens": 20 });
    let whole = ask("/api/v1/generate", &body);
    let text = whole["text"].as_str().unwrap();
    assert!(text.contains('4'), "{text}");
    assert!(whole["stats"]["generated_tokens"].as_u64().unwrap() > 0);

    let mut stream = body.clone();
    stream["stream"] = json!(true);
    let reply = post("/api/v1/generate", &stream);
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    let body_text = reply.text();
    let lines: Vec<Value> = body_text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let deltas = lines.iter().filter_map(|l| l["text"].as_str());
    assert_eq!(deltas.collect::<String>(), text);
    assert_eq!(lines.last().unwrap()["type"], "done");

    let body = json!({ "prompts": ["What is 2+2?", "What is 1+2?"], "temperature": 0,
        "max_tokens": 20 });
    let answers = ask("/api/v1/generate/batch", &body);
    assert_eq!(answers["answers"][0]["text"], text);
    assert!(
        answers["answers"][1]["text"]
            .as_str()
            .unwrap()
            .contains('3')
    );
    assert_eq!(post("/api/v1/generate", &json!({})).status, 400);
}

#[test]
fn memory_and_experts_are_told() {
    ask(
        "/api/v1/generate",
        &json!({ "prompt": "hi", "max_tokens": 2 }),
    );
    let memory = get("/api/v1/memory").json();
    let tiers = memory["tiers"].as_array().unwrap();
    assert!(
        tiers
            .iter()
            .any(|t| t["tier"] == "ram" && t["used"].as_u64().unwrap() > 0)
    );
    let stats = get("/api/v1/expert-stats").json();
    assert_eq!(stats["layers"].as_array().unwrap().len(), 8);
    assert!(stats["totals"]["uses"].as_u64().unwrap() > 0);
    let info = get("/api/v1/model-info").json();
    assert_eq!(info["architecture"], "qwen3_next");
    assert!(info["path"].is_null(), "where it lies is nobody's business");

    let text = get("/metrics").text();
    for name in [
        "moestro_requests_total{",
        "moestro_generated_tokens_total ",
        "moestro_first_token_seconds_bucket{le=\"0.01\"}",
        "moestro_memory_bytes{tier=\"ram\"}",
        "moestro_hit_ratio ",
    ] {
        assert!(text.contains(name), "{name}");
    }
    let is_sample = |l: &str| {
        let value = l.rsplit(' ').next().unwrap();
        l.starts_with("moestro_") && value.parse::<f64>().is_ok()
    };
    assert!(text.lines().all(|l| l.starts_with('#') || is_sample(l)));
    assert!(get("/openapi.json").json()["paths"].is_object());
}

/// Settings change between two tokens, and no answer does.
#[test]
fn the_cache_is_changed_while_answers_are_written() {
    let (messages, text) = cases().remove(1);
    let body = json!({ "messages": messages, "temperature": 0, "max_tokens": 64, "stream": true });
    std::thread::scope(|scope| {
        let answers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let all = events(&post("/v1/chat/completions", &body));
                    let parts = all
                        .iter()
                        .filter_map(|c| c["choices"][0]["delta"]["content"].as_str());
                    parts.collect::<String>()
                })
            })
            .collect();
        for experts in [2, 9, 32] {
            let change = json!({ "experts_per_layer": experts });
            let now = ask("/api/v1/optimize", &change);
            assert_eq!(now["cached_experts_per_layer"], experts);
        }
        for answer in answers {
            assert_eq!(answer.join().unwrap(), text);
        }
    });
    assert_eq!(
        ask("/api/v1/optimize", &json!({ "cache": false }))["cached_experts_per_layer"],
        1
    );
    assert_eq!(
        ask("/api/v1/optimize", &json!({ "cache": true }))["cached_experts_per_layer"],
        32
    );
    let reply = post("/api/v1/optimize", &json!({ "ram_budget": 1 }));
    assert_eq!(reply.status, 400, "{}", reply.text());
}

type Client = WebSocket<TcpStream>;

/// Every read has an end, see [`connect`].
fn hear(socket: &mut Client) -> Value {
    loop {
        let heard = socket.read();
        let heard = heard.unwrap_or_else(|e| panic!("nothing came for {PATIENCE:?}: {e}"));
        if let Message::Text(text) = heard {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

fn say(socket: &mut Client, body: &Value) {
    socket.send(Message::text(body.to_string())).unwrap();
}

/// All events up to one of this type.
fn hear_until(socket: &mut Client, kind: &str) -> Vec<Value> {
    let mut heard = Vec::new();
    loop {
        let event = hear(socket);
        let is_last = event["type"] == kind;
        assert!(is_last || event["type"] != "error", "{event}");
        heard.push(event);
        if is_last {
            return heard;
        }
    }
}

fn long_question() -> Value {
    json!({ "prompt": "x", "raw": true, "max_tokens": 100_000, "temperature": 5,
        "logit_bias": endless() })
}

#[test]
fn a_websocket_answers_and_can_be_cancelled() {
    let mut socket = websocket(port(), "").expect("the handshake of RFC 6455");
    let (messages, text) = cases().remove(0);
    let question = json!({ "messages": messages, "temperature": 0, "max_tokens": 64 });
    say(&mut socket, &question);
    let heard = hear_until(&mut socket, "done");
    let tokens = heard.iter().filter_map(|e| e["text"].as_str());
    assert_eq!(tokens.collect::<String>(), text);
    // The next may be asked as soon as the end of the last is told.
    let short = json!({ "prompt": "x", "raw": true, "max_tokens": 2 });
    for _ in 0..100 {
        say(&mut socket, &short);
        hear_until(&mut socket, "done");
    }
    say(&mut socket, &long_question());
    let first = hear(&mut socket);
    assert_eq!(first["type"], "token", "{first}");
    say(&mut socket, &json!({ "prompt": "another" }));
    while hear(&mut socket)["type"] != "error" {}
    say(&mut socket, &json!({ "type": "cancel" }));
    hear_until(&mut socket, "cancelled");
    say(&mut socket, &json!({ "prompt": 3 }));
    assert_eq!(hear(&mut socket)["type"], "error");
    say(&mut socket, &question);
    hear_until(&mut socket, "done");
    socket.close(None).unwrap();

    assert!(websocket(port(), "Origin: https://evil.example\r\n").is_none());
    assert_eq!(get("/api/v1/stream").status, 426);
}

/// Every cancel is answered once, whatever it finds: nothing, a question that waits, a
/// prompt that is read, an answer that is written or one that has just ended.
#[test]
fn every_cancel_is_answered() {
    let (_host, server) = crate::server::alone();
    let port = server.address.port();
    let cancel = json!({ "type": "cancel" });
    let mut socket = websocket(port, "").unwrap();
    say(&mut socket, &cancel);
    assert_eq!(hear(&mut socket)["type"], "cancelled", "nothing was asked");

    // Sent at once, so that it comes before, while or after the answer is written.
    for tokens in [1, 2, 3, 5, 8, 40] {
        let short = json!({ "prompt": "x", "raw": true, "max_tokens": tokens,
            "logit_bias": endless() });
        say(&mut socket, &short);
        say(&mut socket, &cancel);
        hear_until(&mut socket, "cancelled");
        say(&mut socket, &short);
        hear_until(&mut socket, "done");
        say(&mut socket, &cancel);
        assert_eq!(
            hear(&mut socket)["type"],
            "cancelled",
            "the answer has ended"
        );
    }
    let prompt = "word ".repeat(1500);
    say(
        &mut socket,
        &json!({ "prompt": prompt, "raw": true, "max_tokens": 5 }),
    );
    say(&mut socket, &cancel);
    hear_until(&mut socket, "cancelled");
    settle(port, 0);

    let streams = crowd(port);
    say(&mut socket, &long_question());
    settle(port, 25);
    say(&mut socket, &cancel);
    assert_eq!(
        hear(&mut socket)["type"],
        "cancelled",
        "it waited in the queue"
    );
    settle(port, 24);
    // One that leaves the queue without a word leaves nothing there.
    say(&mut socket, &long_question());
    settle(port, 25);
    drop(socket);
    settle(port, 24);
    drop(streams);
    settle(port, 0);
}

/// The handshake with the key and answer of RFC 6455, section 1.3.
fn websocket(port: u16, more: &str) -> Option<Client> {
    let mut stream = connect(port);
    let request = format!(
        "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n{more}Upgrade: websocket\r\n\
         Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let accepted = head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(accepted, head.starts_with("HTTP/1.1 101"), "{head}");
    accepted.then(|| WebSocket::from_raw_socket(stream, Role::Client, None))
}
