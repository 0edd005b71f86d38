//! Where the server listens and who may come, checked before it starts.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a person can choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[cfg_attr(feature = "typescript", ts(rename = "ApiSettings"))]
#[serde(default)]
pub struct Settings {
    pub host: String,
    /// 0 takes any free port.
    pub port: u16,
    /// Clients must know it; needed to listen beyond this machine.
    pub api_key: Option<String>,
    /// Web pages that may call the server, such as `https://chat.example`.
    pub origins: Vec<String>,
    /// Seconds after which an answer is ended.
    pub timeout_seconds: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            host: "127.0.0.1".into(),
            port: 8000,
            api_key: None,
            origins: Vec::new(),
            timeout_seconds: 3600,
        }
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{0:?} is no address to listen on; use 127.0.0.1, or 0.0.0.0 with an API key")]
    Host(String),
    #[error(
        "listening on {0} lets other machines in, and that needs an API key of at least {MIN_KEY} \
         characters"
    )]
    KeyNeeded(IpAddr),
    #[error("the API key must have from 1 to {MAX_KEY} visible ASCII characters")]
    Key,
    #[error("{0:?} is no origin; write it like https://chat.example or http://localhost:3000")]
    Origin(String),
    #[error("{}", bind_problem(address, source))]
    Bind {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("the server cannot start: {0}")]
    Start(#[from] std::io::Error),
}

fn bind_problem(address: &SocketAddr, source: &std::io::Error) -> String {
    let (ip, port) = (address.ip(), address.port());
    match source.kind() {
        ErrorKind::AddrInUse => format!(
            "port {port} on {ip} is taken by another program; choose another port, or end that \
             program"
        ),
        ErrorKind::PermissionDenied => {
            format!("port {port} is for the system alone; choose one from 1024 to 65535")
        }
        ErrorKind::AddrNotAvailable => {
            format!("{ip} is no address of this machine; use 127.0.0.1")
        }
        _ => format!("cannot listen on {address}: {source}; choose another port"),
    }
}

/// Least characters of a key for others than this machine.
const MIN_KEY: usize = 8;
const MAX_KEY: usize = 512;

/// Settings that were checked.
#[derive(Debug, Clone)]
pub struct Rules {
    pub address: SocketAddr,
    /// SHA-256 of the key, so that comparing takes the same time for every length.
    pub key: Option<[u8; 32]>,
    pub origins: Vec<String>,
    pub timeout: Duration,
}

impl Settings {
    /// Are these settings safe? For those who want to know before a model is loaded.
    pub fn check_safe(&self) -> Result<(), ServerError> {
        self.check().map(drop)
    }

    /// Errors: a host that is no address of a machine, a missing or bad key, a bad origin.
    pub fn check(&self) -> Result<Rules, ServerError> {
        let host = match self.host.as_str() {
            "localhost" => "127.0.0.1",
            other => other.trim_start_matches('[').trim_end_matches(']'),
        };
        let ip: IpAddr = host
            .parse()
            .map_err(|_| ServerError::Host(self.host.clone()))?;
        let key = self.api_key.as_deref();
        let is_fine = |key: &str| {
            (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
        };
        if key.is_some_and(|key| !is_fine(key)) {
            return Err(ServerError::Key);
        }
        if !ip.is_loopback() && key.is_none_or(|key| key.len() < MIN_KEY) {
            return Err(ServerError::KeyNeeded(ip));
        }
        let origins = self.origins.iter().map(|o| origin(o));
        Ok(Rules {
            address: SocketAddr::new(ip, self.port),
            key: key.map(digest),
            origins: origins.collect::<Result<_, _>>()?,
            timeout: Duration::from_secs(u64::from(self.timeout_seconds.clamp(1, 86_400))),
        })
    }
}

/// What keys are compared by.
pub fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// `scheme://host[:port]` in lower case, as browsers send it.
fn origin(text: &str) -> Result<String, ServerError> {
    let wrong = || ServerError::Origin(text.to_string());
    let lower = text.trim().trim_end_matches('/').to_ascii_lowercase();
    let uri: hyper::Uri = lower.parse().map_err(|_| wrong())?;
    let plain = uri.path() == "/" && uri.query().is_none();
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if plain && !authority.as_str().contains('@') => {
            Ok(lower)
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Settings)) -> Result<Rules, ServerError> {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.check()
    }

    #[test]
    fn beyond_this_machine_a_key_is_needed() {
        assert!(with(|_| {}).unwrap().address.ip().is_loopback());
        assert!(with(|s| s.host = "::1".into()).is_ok());
        for host in ["0.0.0.0", "::", "192.168.1.7"] {
            let bare = with(|s| s.host = host.into()).unwrap_err();
            assert!(matches!(bare, ServerError::KeyNeeded(_)), "{bare}");
            let key = |key: &str| with(|s| (s.host, s.api_key) = (host.into(), Some(key.into())));
            assert!(key("short").is_err() && key("").is_err());
            assert!(key("long enough").is_err(), "a blank cannot be in a header");
            assert!(key("long-enough").is_ok());
        }
        assert!(matches!(
            with(|s| s.host = "example.org".into()),
            Err(ServerError::Host(_))
        ));
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let source = std::net::TcpListener::bind(address).unwrap_err();
        let said = ServerError::Bind { address, source }.to_string();
        let port = address.port().to_string();
        assert!(said.contains(&port) && said.contains("taken"), "{said}");
    }

    #[test]
    fn origins_are_named_exactly() {
        let ok = with(|s| s.origins = vec!["https://Chat.Example/".into()]).unwrap();
        assert_eq!(ok.origins, ["https://chat.example"]);
        for wrong in [
            "*",
            "null",
            "chat.example",
            "https://a/b",
            "ftp://a",
            "http://u@a",
        ] {
            assert!(with(|s| s.origins = vec![wrong.into()]).is_err(), "{wrong}");
        }
    }
}
