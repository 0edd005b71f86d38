//! Any bytes as the files of a Hugging Face folder: opened or refused, never a panic.
//!
//! The input is cut at `\n--\n` into config.json, tokenizer_config.json,
//! generation_config.json, the index, and the header and data of two shards, whose
//! length field is written for them, since hitting on it would take too long.
#![no_main]

mod scratch;

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(scratch::folder);

const JSON: [&str; 4] = [
    "config.json",
    "tokenizer_config.json",
    "generation_config.json",
    "model.safetensors.index.json",
];
const SHARDS: [&str; 2] = [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
];

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let mut next = || {
        let end = rest.windows(4).position(|w| w == b"\n--\n");
        let (part, after) = match end {
            Some(at) => (&rest[..at], &rest[at + 4..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = after;
        part
    };
    let write = |name, content: &[u8]| {
        std::fs::write(FOLDER.join(name), content).expect("/dev/shm has room");
    };
    for name in JSON {
        write(name, next());
    }
    for name in SHARDS {
        let (header, data) = (next(), next());
        let length = (header.len() as u64).to_le_bytes();
        write(name, &[&length, header, data].concat());
    }
    scratch::open_and_read(&FOLDER, bytes.len());
});
