//! A Hub on loopback that fails in the ways real ones do.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part")]

pub mod hub;
mod request;
pub mod server;

use std::path::Path;

use moestro_hub::{Digest, Environment};
use sha2::Digest as _;

pub use request::Request;
pub use server::{Answer, FaultServer};

/// Bytes without pattern, the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// This server, this cache, and `more` variables; nothing of the process's own.
pub fn environment(endpoint: &str, cache: &Path, more: &[(&str, &str)]) -> Environment {
    let cache = cache.to_str().unwrap();
    let usual = [
        ("HF_ENDPOINT", endpoint),
        ("HF_HOME", cache),
        ("HF_HUB_CACHE", cache),
    ];
    Environment::from_variables(&|name| {
        let mut all = more.iter().chain(&usual);
        Some(all.find(|(key, _)| *key == name)?.1.to_string())
    })
}

/// The checksum of a large file.
pub fn sha256(bytes: &[u8]) -> Digest {
    hex(&sha2::Sha256::digest(bytes)).parse().unwrap()
}

/// The checksum of a small file, as Git computes it.
pub fn git_blob(bytes: &[u8]) -> Digest {
    let mut sha = sha1::Sha1::new();
    sha.update(format!("blob {}\0", bytes.len()));
    sha.update(bytes);
    hex(&sha.finalize()).parse().unwrap()
}
