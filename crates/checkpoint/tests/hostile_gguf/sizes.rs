//! Headers that are too large, and the largest that are not.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::support::*;

/// In a file that is large (here: mostly a hole), what a header declares may fit
/// and still be too much.
#[test]
fn large_files() {
    let huge = |start: Vec<u8>| {
        let hub = Hub::empty();
        let file = File::create(hub.join("huge.gguf")).unwrap();
        file.write_all_at(&start, 0).unwrap();
        file.set_len(1 << 40).unwrap();
        hub
    };
    let cut = |g: Gguf| g.bytes();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        (
            "2^20 keys",
            cut(Gguf::small().with(|g| g.key_count = Some(1 << 20))),
            "has 1048576 metadata keys, more than 65536",
        ),
        (
            "2^21 + 1 tensors",
            cut(Gguf::small().with(|g| g.tensor_count = Some(1 << 21 | 1))),
            "the list of tensors would make the header larger than 64 MiB",
        ),
        (
            "2^20 + 1 tensors",
            cut(Gguf::small().with(|g| g.tensor_count = Some(1 << 20 | 1))),
            "has 1048577 tensors, more than 1048576",
        ),
        (
            "string of 2^30",
            cut(Gguf::new().key("k", scalar(8, &(1u64 << 30).to_le_bytes()))),
            "the value of \"k\" would make the header larger than 64 MiB",
        ),
        (
            "array of 2^36",
            cut(Gguf::new().key("k", array(0, 1 << 36, &[]))),
            "the value of \"k\" would make the header larger than 64 MiB",
        ),
        (
            "2^33 strings",
            cut(Gguf::new().key("k", array(8, 1 << 33, &[]))),
            "the value of \"k\" would make the header larger than 64 MiB",
        ),
        (
            "arrays of 2^33",
            cut(Gguf::new().key("k", array(9, 1 << 33, &[]))),
            "the value of \"k\" would make the header larger than 64 MiB",
        ),
    ];
    for (case, start, expected) in cases {
        // Only what comes before the hole matters: the rest of the file reads as 0.
        let hub = huge(start);
        refused(case, &hub.join("huge.gguf"), &[expected]);
    }
}

/// The largest headers within the limits stay within the bounds on memory.
#[test]
fn largest_headers() {
    let hub = Hub::empty();
    let path = hub.join("large.gguf");
    let refuse = |case, gguf: Gguf, expected: &[&str]| {
        write(&path, gguf.bytes());
        refused(case, &path, expected);
    };
    let accept = |gguf: Gguf| {
        write(&path, gguf.bytes());
        open(&path).unwrap()
    };
    let bytes = 60usize << 20;
    accept(Gguf::small().key("k", array(0, bytes as u64, &vec![1; bytes])));
    accept(Gguf::small().key("k", array(8, bytes as u64 / 8, &vec![0; bytes])));
    accept(Gguf::small().key("k", string(vec![b'x'; bytes])));
    let keys = (0..65_535u32).fold(Gguf::small(), |g, i| g.u32(&format!("key.{i}"), i));
    accept(keys.clone());
    refuse(
        "65,537 keys",
        keys.u32("one more", 1),
        &["has 65537 metadata keys"],
    );

    let mut many = Gguf::new();
    many.alignment = 8;
    many = many.u32("general.alignment", 8);
    for i in 0..1 << 20 {
        many = many.tensor(format!("{i}"), F32, &[1], &[0; 4]);
    }
    let checkpoint = accept(many);
    assert_eq!(checkpoint.tensors().len(), 1 << 20);
}
