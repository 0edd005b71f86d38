//! What the tests of this crate share: a writer of GGUF and safetensors that can
//! also write wrong ones, and a guard on memory and processor time.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its own part of this"
)]

mod bounds;
mod gguf;
mod hub;

use std::path::{Path, PathBuf};

use moestro_checkpoint::{Checkpoint, CheckpointError};

pub use bounds::bounded;
pub use gguf::{F16, F32, Gguf, Q4_0, Q4_K, array, scalar, string, string_array, strings};
pub use hub::{Hub, safetensors, tensor_entry};

/// `tests/fixtures` of the repository.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures")
        .join(name)
}

/// Writes a new file. One of the same name is removed, not overwritten: that would
/// make some file systems wait for the disk.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    let _ = std::fs::remove_file(path);
    std::fs::write(path, bytes).unwrap();
}

/// Opens a checkpoint under the bounds that hold for every file.
pub fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    bounded(|| Checkpoint::open(path))
}

/// Asserts that opening `path` fails with a message in which every one of
/// `expected` stands, that it names a file and a way out, and stays readable.
#[track_caller]
pub fn refused(case: &str, path: &Path, expected: &[&str]) {
    let message = match open(path) {
        Ok(_) => panic!("{case}: was accepted"),
        Err(e) => e.to_string(),
    };
    println!("{case}: {message}");
    for text in expected {
        assert!(message.contains(text), "{case}: no {text:?} in: {message}");
    }
    let directory = path.parent().unwrap().to_str().unwrap();
    assert!(
        message.starts_with(directory),
        "{case}: names no file: {message}"
    );
    assert!(message.contains("; "), "{case}: no way out in: {message}");
    assert!(
        message.len() < 900,
        "{case}: {} bytes of message",
        message.len()
    );
    assert!(!message.contains(char::is_control), "{case}: {message:?}");
}

/// The error of opening `path`, for those who look at it themselves.
#[track_caller]
pub fn error(path: &Path) -> String {
    match open(path) {
        Ok(_) => panic!("{} was accepted", path.display()),
        Err(e) => e.to_string(),
    }
}

/// Numbers that look random and are the same in every run (xorshift64*).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Damages `bytes` in one to four places, as a fuzzer would.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        const TELLING: [u64; 10] = [
            0,
            1,
            0x7f,
            0xff,
            1 << 31,
            (1 << 32) - 1,
            1 << 32,
            1 << 61,
            i64::MAX as u64,
            u64::MAX,
        ];
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes.truncate(at),
                1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                2 if at < bytes.len() => bytes[at] = self.next() as u8,
                3 => {
                    let value = TELLING[self.below(TELLING.len())].to_le_bytes();
                    let width = [1, 2, 4, 8][self.below(4)];
                    for (byte, new) in bytes[at..].iter_mut().zip(&value[..width]) {
                        *byte = *new;
                    }
                }
                4 => {
                    let end = (at + 1 + self.below(16)).min(bytes.len());
                    bytes.drain(at..end);
                }
                _ => {
                    let end = (at + 1 + self.below(64)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, copy);
                }
            }
        }
    }
}
