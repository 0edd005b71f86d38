//! What a client asked.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    /// The server that a proxy is asked to reach, such as `hub.example`.
    pub proxied: Option<String>,
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The next request of a connection; `None` at its end.
    pub fn read(from: &mut BufReader<TcpStream>) -> Option<Request> {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let mut parts = line.split_whitespace();
        let (method, target) = (parts.next()?.to_string(), parts.next()?);
        // To a proxy go whole addresses, or only the server's for encrypted ones.
        let (proxied, path) = match target.strip_prefix("http://") {
            Some(address) => {
                let slash = address.find('/').unwrap_or(address.len());
                (Some(address[..slash].to_string()), &address[slash..])
            }
            None if method == "CONNECT" => (Some(target.to_string()), ""),
            None => (None, target),
        };
        let path = path.to_string();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            from.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().into()));
        }
        let request = Request {
            method,
            path,
            proxied,
            headers,
        };
        if let Some(length) = request.header("content-length") {
            let mut body = vec![0; length.parse().ok()?];
            from.read_exact(&mut body).ok()?;
        }
        Some(request)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name)?;
        Some(&found.1)
    }

    /// First and last byte asked for.
    pub fn range(&self) -> Option<(u64, Option<u64>)> {
        let (start, end) = self
            .header("range")?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        Some((start.parse().ok()?, end.parse().ok()))
    }
}
