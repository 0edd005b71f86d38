//! HTTP by hand, so that a test can also be rude.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Far longer than anything here takes; only a hang reaches it.
pub const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Default)]
pub struct Reply {
    /// 0 if the connection was closed without an answer.
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {} {text}", self.status))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends these very bytes and reads until the server closes.
pub fn raw(port: u16, request: &[u8]) -> Reply {
    let mut stream = connect(port);
    // A server that refuses early need not read all.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Reply {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Reply::default();
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|l| l.split(' ').nth(1)?.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|l| l.split_once(':'))
        .map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_string()))
        .collect();
    let body = bytes[end + 4..].to_vec();
    let chunked = headers
        .iter()
        .any(|(n, v)| n == "transfer-encoding" && v == "chunked");
    Reply {
        status: status.unwrap_or(0),
        headers,
        body: if chunked { unchunk(&body) } else { body },
    }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).unwrap_or("0");
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        let rest = &bytes[end + 2..];
        if size == 0 || rest.len() < size {
            break;
        }
        out.extend_from_slice(&rest[..size]);
        bytes = rest.get(size + 2..).unwrap_or_default();
    }
    out
}

/// A proper POST of JSON.
pub fn request(path: &str, body: &str, more: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{more}\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub fn post_to(port: u16, path: &str, body: &Value) -> Reply {
    raw(port, &request(path, &body.to_string(), ""))
}

pub fn post(path: &str, body: &Value) -> Reply {
    post_to(crate::server::port(), path, body)
}

/// The answer to a POST that must succeed.
pub fn ask(path: &str, body: &Value) -> Value {
    let reply = post(path, body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

pub fn get_from(port: u16, path: &str, more: &str) -> Reply {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{more}Connection: close\r\n\r\n");
    raw(port, request.as_bytes())
}

pub fn get(path: &str) -> Reply {
    get_from(crate::server::port(), path, "")
}

/// The data of all events of a stream, `[DONE]` left out.
pub fn events(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.text();
    let data = text.lines().filter_map(|l| l.strip_prefix("data: "));
    data.filter(|d| *d != "[DONE]")
        .map(|d| serde_json::from_str(d).unwrap_or_else(|e| panic!("{e}: {d}")))
        .collect()
}

/// A stream that is read line by line, and can be left.
pub struct Lines(BufReader<TcpStream>);

impl Lines {
    pub fn open(port: u16, path: &str, body: &Value) -> Lines {
        let mut stream = connect(port);
        let request = request(path, &body.to_string(), "");
        stream.write_all(&request).unwrap();
        Lines(BufReader::new(stream))
    }
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_string()),
        }
    }
}
