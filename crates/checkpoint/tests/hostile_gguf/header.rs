//! How a file starts, its counts and its keys.

use crate::refuse_all;
use crate::support::*;

#[test]
fn starts() {
    let start = |magic: &[u8; 4], version: u32| {
        let gguf = Gguf::small().with(|g| (g.magic, g.version) = (*magic, version));
        gguf.bytes()
    };
    refuse_all([
        ("empty", vec![], &["is empty", "download"][..]),
        ("3 bytes", b"GGU".to_vec(), &["has only 3 bytes"]),
        ("magic only", b"GGUF".to_vec(), &["has only 4 bytes"]),
        (
            "23 bytes",
            Gguf::small().bytes()[..23].to_vec(),
            &["has only 23 bytes"],
        ),
        (
            "wrong magic",
            start(b"GGUX", 3),
            &["is not a GGUF", "\"GGUX\""],
        ),
        (
            "control characters",
            start(b"\x1b[2J", 3),
            &["is not a GGUF", "\\u{1b}[2J"],
        ),
        ("swapped magic", start(b"FUGG", 3), &["big-endian", "-be"]),
        ("GGML of 2023", start(b"tjgg", 3), &["GGML format of 2023"]),
        ("version 0", start(b"GGUF", 0), &["version 0"]),
        ("version 1", start(b"GGUF", 1), &["version 1", "2 and 3"]),
        ("version 4", start(b"GGUF", 4), &["version 4", "2 and 3"]),
        (
            "version max",
            start(b"GGUF", u32::MAX),
            &["version 4294967295"],
        ),
        (
            "version 2 big-endian",
            start(b"GGUF", 2 << 24),
            &["big-endian"],
        ),
        (
            "version 3 big-endian",
            start(b"GGUF", 3 << 24),
            &["big-endian"],
        ),
        (
            "git lfs",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00".to_vec(),
            &["Git LFS pointer", "git lfs pull"],
        ),
        (
            "web page",
            b"<!DOCTYPE html><html>".to_vec(),
            &["is a web page"],
        ),
    ]);
}

#[test]
fn counts() {
    let keys = |n| Gguf::small().with(|g| g.key_count = Some(n)).bytes();
    let tensors = |n| Gguf::small().with(|g| g.tensor_count = Some(n)).bytes();
    refuse_all([
        (
            "2^30 keys",
            keys(1 << 30),
            &["the metadata has 1073741824 entries"][..],
        ),
        (
            "max keys",
            keys(u64::MAX),
            &["the metadata has 18446744073709551615 entries"],
        ),
        (
            "one key too many",
            keys(2),
            &["the name of tensor 0 is 0 bytes long"],
        ),
        (
            "2^30 tensors",
            tensors(1 << 30),
            &["the list of tensors has 1073741824 entries"],
        ),
        (
            "max tensors",
            tensors(u64::MAX),
            &["the list of tensors has 18446744073709551615 entries"],
        ),
        ("one tensor too many", tensors(2), &["name of tensor 1"]),
        ("no tensors", Gguf::new().bytes(), &["holds no tensors"]),
    ]);
}

#[test]
fn keys() {
    let length = |n: u64| {
        let entry = [&n.to_le_bytes(), &b"x"[..]].concat();
        Gguf::small().raw_key(entry).bytes()
    };
    let no_architecture = Gguf::small().with(|g| {
        g.keys.clear();
    });
    refuse_all([
        (
            "key length 0",
            length(0),
            &["metadata key 1 is 0 bytes long"][..],
        ),
        (
            "key length 2^30",
            length(1 << 30),
            &["metadata key 1 is 1073741824 bytes long"],
        ),
        (
            "key length max",
            length(u64::MAX),
            &["metadata key 1 is 18446744073709551615 bytes long"],
        ),
        (
            "key past the end",
            length(60_000),
            &["metadata key 1 takes 60000 bytes"],
        ),
        (
            "bad UTF-8 in a key",
            Gguf::small().key(b"a\xff", string("x")).bytes(),
            &["metadata key 1 is not UTF-8"],
        ),
        (
            "NUL in a key",
            Gguf::small().key("a\0b", string("x")).bytes(),
            &["metadata key 1 contains a NUL"],
        ),
        (
            "key twice",
            Gguf::small()
                .u32("twice", 1)
                .u32("other", 1)
                .u32("twice", 2)
                .bytes(),
            &["the key \"twice\" twice"],
        ),
        (
            "no architecture",
            no_architecture.bytes(),
            &["the metadata has no \"general.architecture\""],
        ),
        (
            "architecture of another type",
            no_architecture
                .clone()
                .u32("general.architecture", 5)
                .bytes(),
            &["\"general.architecture\" should be a string but is of type u32"],
        ),
    ]);
}
