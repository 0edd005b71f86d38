//! Hostile and damaged GGUF files: each kind must be refused with an error that
//! names the problem, within bounded memory and time.

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;

use support::*;

/// Writes each case to a file and asserts what the refusal says.
#[track_caller]
fn refuse_all<'a>(cases: impl IntoIterator<Item = (&'a str, Vec<u8>, &'a [&'a str])>) {
    let hub = Hub::empty();
    let path = hub.join("hostile.gguf");
    for (case, bytes, expected) in cases {
        write(&path, bytes);
        refused(case, &path, expected);
    }
}

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

#[test]
fn values() {
    let value = |v: Vec<u8>| Gguf::small().key("k", v).bytes();
    // A length of a string, with a few bytes of it.
    let cut_string = |n: u64| scalar(8, &[&n.to_le_bytes(), &b"ab"[..]].concat());
    refuse_all([
        (
            "value type 13",
            value(scalar(13, &[0; 8])),
            &["\"k\" has the unknown type 13"][..],
        ),
        (
            "value type max",
            value(scalar(u32::MAX, &[0; 8])),
            &["\"k\" has the unknown type 4294967295"],
        ),
        (
            "bool 2",
            value(scalar(7, &[2])),
            &["\"k\" holds the bool 2"],
        ),
        (
            "bool 2 in an array",
            value(array(7, 3, &[0, 1, 2])),
            &["\"k\" holds the bool 2"],
        ),
        (
            "bad UTF-8",
            value(string(b"ab\xc3(")),
            &["\"k\" is not UTF-8 (from its byte 2 on)"],
        ),
        (
            "bad UTF-8 in an array",
            value(string_array(&[&b"ok"[..], b"\xe2\x82"])),
            &["entry 1 of the value of \"k\" is not UTF-8"],
        ),
        (
            "UTF-8 cut between strings",
            value(string_array(&[&b"\xe2\x82"[..], b"\xac"])),
            &["entry 0 of the value of \"k\" is not UTF-8"],
        ),
        (
            "string of 2^30",
            value(cut_string(1 << 30)),
            &["\"k\" takes 1073741824 bytes"],
        ),
        (
            "string of max",
            value(cut_string(u64::MAX)),
            &["\"k\" takes 18446744073709551615 bytes"],
        ),
        (
            "value missing",
            Gguf::new()
                .key("k", vec![])
                .with(|g| g.alignment = 1)
                .bytes(),
            &["the type of the value of \"k\" takes 4 bytes, but the file has only"],
        ),
        (
            "number cut",
            Gguf::new()
                .key("k", scalar(10, &[0; 3]))
                .with(|g| g.alignment = 1)
                .bytes(),
            &["the value of \"k\" takes 8 bytes, but the file has only"],
        ),
    ]);
}

#[test]
fn arrays() {
    let value = |v: Vec<u8>| Gguf::small().key("k", v).bytes();
    let lengths = [1 << 30, 1 << 61, u64::MAX];
    for n in lengths {
        // u8, u32, u64, string, array; 2^61 of 8 bytes wraps to 0.
        for kind in [0, 4, 10, 8, 9] {
            let text = match kind {
                0 => format!("the value of \"k\" takes {n} bytes"),
                _ => format!("the value of \"k\" has {n} entries"),
            };
            let bytes = value(array(kind, n, &[0; 16]));
            refuse_all([(
                "array length",
                bytes,
                &[text.as_str(), "but the file has only"][..],
            )]);
        }
    }
    // An array in an array, 100,000 times.
    let mut deep = array(9, 1, &[]);
    for _ in 0..100_000 {
        deep.extend(9u32.to_le_bytes());
        deep.extend(1u64.to_le_bytes());
    }
    let inner_type = array(
        9,
        1,
        &[&99u32.to_le_bytes(), &1u64.to_le_bytes()[..]].concat(),
    );
    let inner_length = array(
        9,
        1,
        &[&4u32.to_le_bytes(), &(1u64 << 61).to_le_bytes()[..]].concat(),
    );
    refuse_all([
        (
            "element type 13",
            value(array(13, 1, &[0; 8])),
            &["unknown type 13"][..],
        ),
        (
            "nesting of 10^5",
            value(deep),
            &["\"k\" nests arrays more than 4 deep"],
        ),
        (
            "element type within",
            value(inner_type),
            &["unknown type 99"],
        ),
        (
            "length within",
            value(inner_length),
            &["has 2305843009213693952 entries"],
        ),
    ]);
}

#[test]
fn alignment() {
    let number = |kind, bytes: &[u8]| {
        let gguf = Gguf::small().key("general.alignment", scalar(kind, bytes));
        gguf.bytes()
    };
    let u32 = |n: u32| number(4, &n.to_le_bytes());
    let key = "general.alignment";
    refuse_all([
        (
            "alignment 0",
            u32(0),
            &["general.alignment is 0, not a power of two"][..],
        ),
        (
            "alignment 1",
            u32(1),
            &["general.alignment is 1, not a power of two from 8"],
        ),
        (
            "alignment 3",
            u32(3),
            &["general.alignment is 3, not a power of two"],
        ),
        (
            "alignment 48",
            u32(48),
            &["general.alignment is 48, not a power of two"],
        ),
        (
            "alignment 2^31",
            u32(1 << 31),
            &["general.alignment is 2147483648, not a power of two from 8 to 2097152"],
        ),
        (
            "alignment -32",
            number(5, &(-32i32).to_le_bytes()),
            &["\"general.alignment\" should be an integer from 0 to 2^64-1 but is -32"],
        ),
        (
            "alignment as text",
            Gguf::small().key(key, string("32")).bytes(),
            &["\"general.alignment\" should be an integer but is a string"],
        ),
        (
            "alignment as f32",
            number(6, &32f32.to_le_bytes()),
            &["\"general.alignment\" should be an integer but is of type f32"],
        ),
        (
            "alignment as array",
            Gguf::small().key(key, array(4, 1, &[32, 0, 0, 0])).bytes(),
            &["\"general.alignment\" should be an integer but is an array of u32"],
        ),
    ]);
}

#[test]
fn shapes() {
    let shape = |kind, d: &[u64]| Gguf::small().tensor("t", kind, d, &[0; 64]).bytes();
    let count = |n| {
        let gguf = Gguf::small().tensor("t", F32, &[4], &[0; 16]);
        gguf.with(|g| g.tensors[1].dimension_count = Some(n))
            .bytes()
    };
    let wraps = "takes more bytes than 64 bits can count";
    refuse_all([
        (
            "0 dimensions",
            count(0),
            &["tensor \"t\" has 0 dimensions"][..],
        ),
        (
            "5 dimensions",
            shape(F32, &[1, 1, 1, 1, 1]),
            &["tensor \"t\" has 5 dimensions"],
        ),
        (
            "100 dimensions",
            count(100),
            &["tensor \"t\" has 100 dimensions"],
        ),
        (
            "max dimensions",
            count(u32::MAX),
            &["tensor \"t\" has 4294967295 dimensions"],
        ),
        (
            "dimension 0",
            shape(F32, &[4, 0]),
            &["tensor \"t\" has a dimension of 0"],
        ),
        (
            "dimension -1",
            shape(F32, &[4, u64::MAX]),
            &["tensor \"t\" has a dimension of -1"],
        ),
        (
            "2^32 x 2^32",
            shape(F32, &[1 << 32, 1 << 32]),
            &["the shape 4294967296 x 4294967296 of tensor \"t\"", wraps],
        ),
        (
            "32 x (2^59 + 1)",
            shape(Q4_0, &[32, (1 << 59) + 1]),
            &["\"t\"", wraps],
        ),
        (
            "(2^59 + 1) x 32",
            shape(F32, &[(1 << 59) + 1, 32]),
            &["\"t\"", wraps],
        ),
        ("2^62 + 8", shape(F32, &[(1 << 62) + 8]), &["\"t\"", wraps]),
        (
            "2^16 to the 4th",
            shape(F32, &[1 << 16, 1 << 16, 1 << 16, 1 << 16]),
            &["\"t\"", wraps],
        ),
        (
            "Q4_0 rows of 33",
            shape(Q4_0, &[33, 2]),
            &[
                "the rows of tensor \"t\" have 33 columns, not a multiple of the 32 in a block of Q4_0",
            ],
        ),
        (
            "Q4_K rows of 32, 256 in all",
            shape(Q4_K, &[32, 8]),
            &["the rows of tensor \"t\" have 32 columns, not a multiple of the 256"],
        ),
        (
            "larger than the file",
            shape(F16, &[1 << 40]),
            &[
                "tensor \"t\" takes 2199023255552 bytes",
                "but the file has only",
            ],
        ),
    ]);
}

#[test]
fn tensor_types() {
    let kind = |n| Gguf::small().tensor("t", n, &[256], &[0; 1024]).bytes();
    refuse_all([
        (
            "type 4",
            kind(4),
            &["tensor \"t\" is of type Q4_2, which is not supported"][..],
        ),
        (
            "type 99",
            kind(99),
            &["tensor \"t\" has the unknown ggml type 99", "Q4_K"],
        ),
        (
            "type max",
            kind(u32::MAX),
            &["the unknown ggml type 4294967295"],
        ),
        (
            "IQ2_XXS",
            kind(16),
            &["tensor \"t\" is of type IQ2_XXS", "MXFP4"],
        ),
        (
            "I32",
            kind(26),
            &["tensor \"t\" is of type I32, which is not supported"],
        ),
    ]);
}

#[test]
fn names() {
    let name = |n: &[u8]| Gguf::small().tensor(n, F32, &[4], &[0; 16]).bytes();
    refuse_all([
        (
            "empty name",
            name(b""),
            &["the name of tensor 1 is 0 bytes long"][..],
        ),
        (
            "name of 10 kB",
            name(&[b'n'; 10_000]),
            &["the name of tensor 1 is 10000 bytes long, and 1 to 64 are allowed"],
        ),
        (
            "NUL in a name",
            name(b"a\0b"),
            &["the name of tensor 1 contains a NUL"],
        ),
        (
            "bad UTF-8 in a name",
            name(b"\xff"),
            &["the name of tensor 1 is not UTF-8"],
        ),
        (
            "name twice",
            Gguf::small()
                .tensor("output_norm.weight", F32, &[4], &[0; 16])
                .bytes(),
            &["two tensors named \"output_norm.weight\""],
        ),
    ]);
}

#[test]
fn offsets() {
    let two = |a: u64, b: u64| {
        let gguf = Gguf::new()
            .tensor_at("a", a, &[0; 64])
            .tensor_at("b", b, &[0; 64]);
        gguf.bytes()
    };
    let end = Gguf::small().bytes().len();
    refuse_all([
        (
            "misaligned",
            two(0, 65),
            &["the offset 65 of tensor \"b\" is not a multiple of the alignment 32"][..],
        ),
        (
            "past the end",
            two(0, 96),
            &["tensor \"b\" takes 64 bytes at offset 96"],
        ),
        (
            "far past the end",
            two(0, 1 << 40),
            &["tensor \"b\" takes 64 bytes at offset 1099511627776"],
        ),
        (
            "wrapping",
            two(0, u64::MAX - 31),
            &["tensor \"b\" takes 64 bytes at offset"],
        ),
        ("same", two(0, 0), &["the data of tensors", "overlap"]),
        (
            "overlapping",
            two(0, 32),
            &["the data of tensors \"a\" and \"b\" overlap"],
        ),
        (
            "overlapping, reversed",
            two(32, 0),
            &["the data of tensors \"b\" and \"a\" overlap"],
        ),
        (
            "no data",
            Gguf::small().with(|g| g.cut = 16).bytes(),
            &["tensor \"output_norm.weight\" takes 16 bytes", "download"],
        ),
        (
            "one byte short",
            Gguf::small().with(|g| g.cut = 1).bytes(),
            &[
                "tensor \"output_norm.weight\"",
                &format!("has only {} bytes", end - 1),
            ],
        ),
    ]);
}

/// Any cut of a file is noticed, wherever it falls.
#[test]
fn every_truncation() {
    let hub = Hub::empty();
    let whole = Gguf::small()
        .u32("a", 1)
        .key("tokens", string_array(&["x", "yz"]))
        .tensor("t", Q4_0, &[32, 2], &[3; 36])
        .bytes();
    let path = hub.join("cut.gguf");
    write(&path, &whole);
    open(&path).unwrap();
    for length in 0..whole.len() {
        write(&path, &whole[..length]);
        let message = error(&path);
        assert!(message.contains("cut.gguf"), "{length}: {message}");
    }
}

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
            "2^30 keys",
            cut(Gguf::small().with(|g| g.key_count = Some(1 << 20))),
            "has 1048576 metadata keys, more than 65536",
        ),
        (
            "2^30 tensors",
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

/// Wrong types and ranges where a model's key is expected come out of the getters.
#[test]
fn getters() {
    use moestro_checkpoint::Metadata;
    let hub = Hub::empty();
    let path = hub.join("types.gguf");
    let gguf = Gguf::small()
        .key("block_count", scalar(10, &(1u64 << 32).to_le_bytes()))
        .key("negative", scalar(5, &(-1i32).to_le_bytes()))
        .key("tokens", array(4, 2, &[0; 8]))
        .key("types", string_array(&["a"]))
        .key("ids", array(5, 2, &[1, 0, 0, 0, 255, 255, 255, 255]))
        .key(
            "nested",
            array(9, 1, &[&4u32.to_le_bytes()[..], &[0; 8]].concat()),
        );
    write(&path, gguf.bytes());
    let checkpoint = open(&path).unwrap();
    let Metadata::Gguf(m) = checkpoint.metadata() else {
        panic!("a GGUF has GGUF metadata");
    };
    let says = |error: String, text: &str| {
        assert!(error.contains(text), "no {text:?} in: {error}");
        assert!(error.contains("types.gguf"), "{error}");
    };
    says(
        m.u32("block_count").unwrap_err().to_string(),
        "\"block_count\" should be an integer from 0 to 2^32-1 but is 4294967296",
    );
    assert_eq!(m.u64("block_count").unwrap(), Some(1 << 32));
    says(
        m.u64("negative").unwrap_err().to_string(),
        "from 0 to 2^64-1 but is -1",
    );
    says(
        m.string_array("tokens").unwrap_err().to_string(),
        "\"tokens\" should be an array of strings but is an array of u32",
    );
    says(
        m.i32_array("types").unwrap_err().to_string(),
        "but is an array of strings",
    );
    says(
        m.u32_array("ids").unwrap_err().to_string(),
        "but is an array of i32 with -1",
    );
    says(
        m.f32("tokens").unwrap_err().to_string(),
        "a floating-point number",
    );
    says(
        m.bool("negative").unwrap_err().to_string(),
        "should be a bool but is of type i32",
    );
    says(
        m.u32_array("nested").unwrap_err().to_string(),
        "an array of arrays",
    );
    says(
        m.missing("absent").to_string(),
        "the metadata has no \"absent\"",
    );
    assert_eq!(m.u32("absent").unwrap(), None);
    assert_eq!(m.i32_array("ids").unwrap(), Some(vec![1, -1]));
}

/// Thousands of damaged files: none may panic, hang or take much memory, and what
/// is accepted must be readable.
#[test]
fn mutations() {
    let hub = Hub::empty();
    let path = hub.join("mutant.gguf");
    let seed = Gguf::small()
        .u32("general.alignment", 32)
        .key("general.name", string("seed"))
        .key("f", scalar(6, &1.5f32.to_le_bytes()))
        .key("b", scalar(7, &[1]))
        .key("tokens", string_array(&["one", "two", "three"]))
        .key("types", array(5, 3, &[1; 12]))
        .key(
            "nested",
            array(
                9,
                1,
                &[&4u32.to_le_bytes(), &1u64.to_le_bytes()[..], &[0; 4]].concat(),
            ),
        )
        .tensor("blk.0.ffn_down_exps.weight", Q4_0, &[32, 2, 2], &[5; 72])
        .tensor("blk.0.attn_norm.weight", F16, &[8], &[6; 16])
        .bytes();
    let mut random = Random(0x6d6f_6573_7472_6f21);
    let (mut accepted, mut rejected) = (0, 0);
    for _ in 0..6_000 {
        let mut bytes = seed.clone();
        random.damage(&mut bytes);
        write(&path, &bytes);
        match open(&path) {
            Err(_) => rejected += 1,
            Ok(checkpoint) => {
                accepted += 1;
                for t in checkpoint.tensors() {
                    let mut data = vec![0; t.bytes as usize];
                    checkpoint.read(t, 0, &mut data).unwrap();
                }
            }
        }
    }
    println!("{accepted} accepted, {rejected} rejected");
    assert!(accepted > 100 && rejected > 1_000);
}
