//! Requests that must not reach a handler: wrong names, foreign pages, wrong keys,
//! broken HTTP, and bodies that are too much.

use std::io::Write;
use std::time::{Duration, Instant};

use moestro_server::Settings;
use serde_json::json;

use crate::http::{Reply, connect, get, get_from, raw, request};
use crate::server::{another, port};

const CHAT: &str = "/v1/chat/completions";

/// What must have been refused, with what it was.
fn refused(what: &str, reply: &Reply, statuses: &[u16]) {
    let fine = statuses.contains(&reply.status);
    assert!(fine, "{what}: {} {}", reply.status, reply.text());
    let body = reply.text();
    assert!(!body.contains("choices"), "{what} was answered");
}

fn with_header(lines: &str) -> Vec<u8> {
    format!("GET /v1/models HTTP/1.1\r\n{lines}Connection: close\r\n\r\n").into_bytes()
}

#[test]
fn other_names_and_foreign_pages_are_refused() {
    let mut count = 0;
    for host in [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.168.1.1",
        "0.0.0.0",
        "[::]",
        "user@127.0.0.1",
        "127.0.0.1@evil.example",
        "2130706433",
        "evil.example#localhost",
        "",
        " ",
        "127.0.0.1, evil.example",
    ] {
        let reply = raw(port(), &with_header(&format!("Host: {host}\r\n")));
        refused(&format!("host {host:?}"), &reply, &[400, 403]);
        count += 1;
    }
    let twice = with_header("Host: 127.0.0.1\r\nHost: evil.example\r\n");
    refused("two hosts", &raw(port(), &twice), &[400]);
    refused("no host", &raw(port(), &with_header("")), &[400]);
    let line = b"GET http://evil.example/v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\
        Connection: close\r\n\r\n";
    refused("another name in the line", &raw(port(), line), &[400, 403]);
    for origin in [
        "null",
        "https://evil.example",
        "http://localhost",
        "http://127.0.0.1:8000",
        "file://",
        "chrome-extension://abc",
        "http://localhost.evil.example",
        "HTTPS://EVIL.EXAMPLE",
        "*",
        "tauri://localhost",
    ] {
        let lines = format!("Host: 127.0.0.1\r\nOrigin: {origin}\r\n");
        refused(origin, &raw(port(), &with_header(&lines)), &[403]);
        let body = json!({ "messages": [{ "role": "user", "content": "hi" }] }).to_string();
        let post = request(CHAT, &body, &format!("Origin: {origin}\r\n"));
        refused(origin, &raw(port(), &post), &[403]);
        count += 2;
    }
    for site in ["cross-site", "same-site", "x"] {
        let lines = format!("Host: 127.0.0.1\r\nSec-Fetch-Site: {site}\r\n");
        refused(site, &raw(port(), &with_header(&lines)), &[403]);
        count += 1;
    }
    // What a page can send without asking first.
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
    ] {
        let body = "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}";
        let post = String::from_utf8(request(CHAT, body, "")).unwrap();
        let post = post.replace("application/json", kind);
        refused(kind, &raw(port(), post.as_bytes()), &[415]);
        count += 1;
    }
    assert!(count + 3 >= 41, "{count}");
    assert_eq!(get("/v1/models").status, 200, "the right name is let in");
}

#[test]
fn broken_http_is_refused() {
    let host = "Host: 127.0.0.1\r\nContent-Type: application/json\r\n";
    let post = format!("POST {CHAT} HTTP/1.1\r\n{host}");
    let many: String = (0..200).map(|i| format!("X-{i}: 1\r\n")).collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "no HTTP",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        ),
        ("zeros", vec![0; 4096]),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        (
            "long line",
            [b"GET /".to_vec(), vec![b'a'; 200_000]].concat(),
        ),
        (
            "long header",
            [
                post.clone().into_bytes(),
                b"X: ".to_vec(),
                vec![b'a'; 200_000],
            ]
            .concat(),
        ),
        ("many headers", format!("{post}{many}\r\n").into_bytes()),
        (
            "bad length",
            format!("{post}Content-Length: -1\r\n\r\n{{}}").into_bytes(),
        ),
        (
            "huge length",
            format!("{post}Content-Length: 99999999999999999999\r\n\r\n").into_bytes(),
        ),
        (
            "two lengths",
            format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}").into_bytes(),
        ),
        (
            "bad chunk",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nZZ\r\n{{}}\r\n0\r\n\r\n").into_bytes(),
        ),
        (
            "length and chunks",
            format!(
                "{post}Connection: close\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n\
                 2\r\n{{}}\r\n0\r\n\r\n"
            )
            .into_bytes(),
        ),
        (
            "space in a name",
            format!("{post}Bad Name: 1\r\n\r\n").into_bytes(),
        ),
        ("a NUL", format!("{post}X: \0\r\n\r\n").into_bytes()),
        ("no version", b"GET /v1/models\r\n\r\n".to_vec()),
        (
            "odd method",
            format!("BREW /v1/models HTTP/1.1\r\n{host}Connection: close\r\n\r\n").into_bytes(),
        ),
        (
            "path up",
            format!("GET /../../etc/passwd HTTP/1.1\r\n{host}Connection: close\r\n\r\n")
                .into_bytes(),
        ),
    ];
    for (what, bytes) in cases {
        // Nothing but a refusal or a closed door.
        refused(
            what,
            &raw(port(), &bytes),
            &[0, 400, 404, 405, 413, 414, 431],
        );
    }
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    refused("deep", &raw(port(), &request(CHAT, &deep, "")), &[400]);
    let large = format!("{{\"messages\": \"{}\"}}", "x".repeat(9 << 20));
    refused("large", &raw(port(), &request(CHAT, &large, "")), &[413, 0]);
    assert_eq!(get("/api/v1/health").status, 200);
}

#[test]
fn a_key_is_asked_for_where_there_is_one() {
    let key = "a-long-secret";
    let server = another(Settings {
        api_key: Some(key.into()),
        origins: vec!["https://chat.example".into()],
        ..Settings::default()
    });
    let port = server.address.port();
    let ask = |more: &str| get_from(port, "/v1/models", more);
    for wrong in [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Bearer a-long-secre\r\n",
        "Authorization: Bearer a-long-secrett\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Basic a-long-secret\r\n",
        "Authorization: a-long-secret\r\n",
        "X-Api-Key: A-LONG-SECRET\r\n",
        "Cookie: key=a-long-secret\r\n",
    ] {
        let reply = ask(wrong);
        refused(wrong, &reply, &[401]);
        assert_eq!(reply.json()["error"]["code"], "invalid_api_key");
    }
    for right in [
        "Authorization: Bearer a-long-secret\r\n",
        "X-Api-Key: a-long-secret\r\n",
    ] {
        assert_eq!(ask(right).status, 200, "{right}");
    }
    assert_eq!(
        get_from(port, "/api/v1/health", "").status,
        200,
        "open to all"
    );
    assert_eq!(get_from(port, "/metrics", "").status, 401);
    // What programs look for before they ask; it says no more than that it is there.
    for path in ["/", "/health"] {
        assert_eq!(get_from(port, path, "").status, 200, "{path}");
        let head = format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let reply = raw(port, head.as_bytes());
        assert_eq!((reply.status, reply.text().as_str()), (200, ""), "{path}");
    }

    // The named page may ask, by the rules of browsers.
    let preflight = format!(
        "OPTIONS {CHAT} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://chat.example\r\n\
         Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
    );
    let reply = raw(port, preflight.as_bytes());
    assert_eq!(reply.status, 204);
    // What OpenAI's library for browsers sends beside the usual headers.
    let asking = preflight.replace(
        "Connection",
        "Access-Control-Request-Headers: authorization,x-stainless-os\r\n\
         Access-Control-Request-Private-Network: true\r\nConnection",
    );
    let reply_to_all = raw(port, asking.as_bytes());
    let header = |name: &str| reply_to_all.header(name);
    let allowed = header("access-control-allow-headers");
    assert_eq!(allowed, Some("authorization,x-stainless-os"));
    let private = header("access-control-allow-private-network");
    assert_eq!(private, Some("true"));
    let stranger = raw(port, asking.replace("chat.example", "x.example").as_bytes());
    assert_eq!(stranger.status, 403);
    assert_eq!(stranger.header("access-control-allow-headers"), None);
    let allowed = reply.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://chat.example"));
    let page = format!("Origin: https://chat.example\r\nAuthorization: Bearer {key}\r\n");
    let reply = ask(&page);
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("access-control-allow-origin"),
        Some("https://chat.example")
    );
}

#[test]
fn slow_clients_do_not_stop_others() {
    let slow: Vec<_> = (0..200)
        .map(|i| {
            let mut stream = connect(port());
            // Half a line, half of the headers, half a body.
            let begun = [
                "GET /v1/mod",
                "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
                "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: \
                 application/json\r\nContent-Length: 5000\r\n\r\n{\"prompt\": \"",
            ][i % 3];
            stream.write_all(begun.as_bytes()).unwrap();
            stream
        })
        .collect();
    let body = json!({ "prompt": "one", "max_tokens": 3 });
    crate::http::ask("/v1/completions", &body);
    // Those without headers are let go; one second is for the scheduler.
    let begin = Instant::now();
    let mut first = &slow[0];
    let mut end = Vec::new();
    let _ = std::io::Read::read_to_end(&mut first, &mut end);
    assert!(begin.elapsed() < Duration::from_secs(40));
    drop(slow);
}
