//! GGUF files as they should be: every allowed variant is read as it was written.

mod support;

use std::path::Path;

use moestro_checkpoint::{Checkpoint, GgufMetadata, Kind, Metadata};
use support::*;

fn metadata(checkpoint: &Checkpoint) -> &GgufMetadata {
    match checkpoint.metadata() {
        Metadata::Gguf(metadata) => metadata,
        Metadata::HuggingFace(_) => panic!("a GGUF has GGUF metadata"),
    }
}

fn bytes_of(checkpoint: &Checkpoint, name: &str) -> Vec<u8> {
    let t = checkpoint.tensor(name).unwrap();
    let mut data = vec![0; t.bytes as usize];
    checkpoint.read(t, 0, &mut data).unwrap();
    data
}

fn open_bytes(gguf: &Gguf) -> (Hub, Checkpoint) {
    let hub = Hub::empty().file("model.gguf", gguf.bytes());
    let checkpoint = open(&hub.join("model.gguf")).unwrap();
    (hub, checkpoint)
}

#[test]
fn every_value_type() {
    let array_of = |kind, size, n: u8| array(kind, u64::from(n), &vec![n; size * n as usize]);
    let (_hub, checkpoint) = open_bytes(
        &Gguf::small()
            .key("u8", scalar(0, &[200]))
            .key("i8", scalar(1, &[0xff]))
            .key("u16", scalar(2, &60_000u16.to_le_bytes()))
            .key("i16", scalar(3, &(-2i16).to_le_bytes()))
            .key("u32", scalar(4, &4_000_000_000u32.to_le_bytes()))
            .key("i32", scalar(5, &7i32.to_le_bytes()))
            .key("f32", scalar(6, &1e-6f32.to_le_bytes()))
            .key("bool", scalar(7, &[1]))
            .key("string", string("grüße"))
            .key("empty", string(""))
            .key("u64", scalar(10, &u64::MAX.to_le_bytes()))
            .key("i64", scalar(11, &9i64.to_le_bytes()))
            .key("f64", scalar(12, &0.25f64.to_le_bytes()))
            .key("u8s", array_of(0, 1, 3))
            .key("i16s", array(3, 2, &[0xff, 0xff, 5, 0]))
            .key("u64s", array(10, 1, &6u64.to_le_bytes()))
            .key(
                "f32s",
                array(6, 2, &[0.5f32, -1.0].map(f32::to_le_bytes).concat()),
            )
            .key("f64s", array(12, 1, &0.5f64.to_le_bytes()))
            .key("bools", array(7, 3, &[1, 0, 1]))
            .key("strings", string_array(&["", "a", "ü\0b", ""]))
            .key("no strings", string_array::<&str>(&[]))
            .key("no numbers", array(4, 0, &[]))
            .key(
                "nested",
                array(
                    9,
                    2,
                    &[array_in(4, 0, &[]), array_in(8, 2, &strings(&["x", "y"]))].concat(),
                ),
            ),
    );
    let m = metadata(&checkpoint);
    assert_eq!(m.architecture(), "qwen3next");
    assert_eq!(m.keys().count(), 24);
    assert!(m.contains("nested") && !m.contains("absent"));
    assert_eq!(m.u32("u8").unwrap(), Some(200));
    assert!(m.u32("i8").is_err());
    assert_eq!(m.u32("u16").unwrap(), Some(60_000));
    assert!(m.u64("i16").is_err());
    assert_eq!(m.u32("u32").unwrap(), Some(4_000_000_000));
    assert_eq!(m.u32("i32").unwrap(), Some(7));
    assert_eq!(m.f32("f32").unwrap(), Some(1e-6));
    assert_eq!(m.bool("bool").unwrap(), Some(true));
    assert_eq!(m.string("string").unwrap(), Some("grüße"));
    assert_eq!(m.string("empty").unwrap(), Some(""));
    assert_eq!(m.u64("u64").unwrap(), Some(u64::MAX));
    assert_eq!(m.u64("i64").unwrap(), Some(9));
    assert_eq!(m.f32("f64").unwrap(), Some(0.25));
    assert_eq!(m.u32_array("u8s").unwrap(), Some(vec![3; 3]));
    assert_eq!(m.i32_array("i16s").unwrap(), Some(vec![-1, 5]));
    assert_eq!(m.u32_array("u64s").unwrap(), Some(vec![6]));
    assert_eq!(m.f32_array("f32s").unwrap(), Some(vec![0.5, -1.0]));
    assert_eq!(m.f32_array("f64s").unwrap(), Some(vec![0.5]));
    assert_eq!(
        m.bool_array("bools").unwrap(),
        Some(vec![true, false, true])
    );
    assert_eq!(m.u32_array("no numbers").unwrap(), Some(vec![]));
    let list = m.string_array("strings").unwrap().unwrap();
    assert_eq!(list.iter().collect::<Vec<_>>(), ["", "a", "ü\0b", ""]);
    assert_eq!(
        (list.len(), list.get(2), list.get(4)),
        (4, Some("ü\0b"), None)
    );
    assert!(m.string_array("no strings").unwrap().unwrap().is_empty());
}

/// An array as an element of another: no type in front, since the outer one gives it.
fn array_in(kind: u32, count: u64, bytes: &[u8]) -> Vec<u8> {
    array(kind, count, bytes)[4..].to_vec()
}

#[test]
fn versions_and_alignments() {
    for version in [2, 3] {
        for alignment in [8, 32, 64, 4096] {
            let gguf = Gguf::small()
                .u32("general.alignment", alignment)
                .tensor("a", Q4_0, &[32], &[2; 18])
                .tensor("b", F16, &[3], &[3; 6])
                .with(|g| (g.version, g.alignment) = (version, alignment as usize));
            let (_hub, checkpoint) = open_bytes(&gguf);
            assert_eq!(*checkpoint.kind(), Kind::Gguf { version, parts: 1 });
            assert_eq!(bytes_of(&checkpoint, "output_norm.weight"), [1; 16]);
            assert_eq!(bytes_of(&checkpoint, "a"), [2; 18]);
            assert_eq!(bytes_of(&checkpoint, "b"), [3; 6]);
            assert_eq!(checkpoint.total_bytes(), 16 + 18 + 6);
        }
    }
    // Without the key it is 32; the key may be of any integer type.
    let other = Gguf::small()
        .key("general.alignment", scalar(10, &64u64.to_le_bytes()))
        .tensor("a", F16, &[3], &[3; 6])
        .with(|g| g.alignment = 64);
    assert_eq!(bytes_of(&open_bytes(&other).1, "a"), [3; 6]);
}

/// Shapes are turned round; data may lie in any order and with gaps.
#[test]
fn shapes_and_order() {
    let gguf = Gguf::new()
        .tensor("experts", Q4_0, &[64, 2, 3], &[4; 2 * 18 * 2 * 3])
        .tensor("last", F32, &[2], &[8; 8])
        .tensor("first", F32, &[2], &[9; 8])
        .with(|g| (g.tensors[1].offset, g.tensors[2].offset) = (Some(256), Some(224)));
    let (_hub, checkpoint) = open_bytes(&gguf);
    let experts = checkpoint.tensor("experts").unwrap();
    assert_eq!(experts.shape, [3, 2, 64]);
    assert_eq!(experts.bytes, 216);
    assert_eq!(bytes_of(&checkpoint, "experts"), [4; 216]);
    assert_eq!(bytes_of(&checkpoint, "first"), [8; 8]);
    assert_eq!(bytes_of(&checkpoint, "last"), [9; 8]);
    let names: Vec<&str> = checkpoint
        .tensors()
        .iter()
        .map(|t| t.name.as_str())
        .collect();
    assert_eq!(names, ["experts", "last", "first"]);
    assert!(checkpoint.tensor("middle").is_none());
}

#[test]
fn ranges() {
    let data: Vec<u8> = (0..64).collect();
    let (_hub, checkpoint) = open_bytes(&Gguf::new().tensor("t", F32, &[4, 4], &data));
    let t = checkpoint.tensor("t").unwrap();
    let mut out = [0; 5];
    checkpoint.read(t, 7, &mut out).unwrap();
    assert_eq!(out, [7, 8, 9, 10, 11]);
    checkpoint.read(t, 64, &mut []).unwrap();
    for from in [60, 65, u64::MAX] {
        let message = checkpoint.read(t, from, &mut out).unwrap_err().to_string();
        assert!(message.contains("tensor t has 64 bytes"), "{message}");
    }
}

/// A tensor of one checkpoint asked of another is an error, not another's bytes.
#[test]
fn foreign_tensor() {
    let split = open(&fixture("gguf/qwen3_next-tiny-split-00001-of-00003.gguf")).unwrap();
    let (_hub, small) = open_bytes(&Gguf::small());
    let last = split.tensors().last().unwrap();
    assert!(small.read(last, 0, &mut [0; 4]).is_err());
}

/// Three parts with a tensor each, as gguf-split writes them.
fn parts() -> Vec<Gguf> {
    let part = |gguf: Gguf, i: u16| {
        gguf.key("split.no", scalar(2, &i.to_le_bytes()))
            .key("split.count", scalar(2, &3u16.to_le_bytes()))
            .key("split.tensors.count", scalar(5, &3i32.to_le_bytes()))
            .tensor(format!("t{i}"), F32, &[2], &[i as u8; 8])
    };
    let bare = || Gguf::new().with(|g| g.keys.clear());
    vec![part(Gguf::new(), 0), part(bare(), 1), part(bare(), 2)]
}

fn part_name(i: usize) -> String {
    format!("m-{:05}-of-00003.gguf", i + 1)
}

fn write_parts(parts: &[Gguf]) -> Hub {
    let files = parts.iter().enumerate();
    files.fold(Hub::empty(), |hub, (i, gguf)| {
        hub.file(&part_name(i), gguf.bytes())
    })
}

#[test]
fn split() {
    let hub = write_parts(&parts());
    let by_part = (0..3).map(|i| hub.join(&part_name(i)));
    for path in by_part.chain([hub.path().to_path_buf()]) {
        let checkpoint = open(&path).unwrap();
        assert_eq!(
            *checkpoint.kind(),
            Kind::Gguf {
                version: 3,
                parts: 3
            }
        );
        assert_eq!(checkpoint.files().count(), 3);
        assert_eq!(checkpoint.path(), path);
        assert_eq!(metadata(&checkpoint).architecture(), "qwen3next");
        for i in 0..3 {
            assert_eq!(bytes_of(&checkpoint, &format!("t{i}")), [i; 8]);
        }
    }
    // The first part may hold metadata alone.
    let mut bare = parts();
    bare[0].tensors.clear();
    for part in &mut bare {
        part.keys
            .retain(|k| !k.windows(19).any(|w| w == b"split.tensors.count"));
    }
    assert_eq!(open(write_parts(&bare).path()).unwrap().tensors().len(), 2);
    // A model joined again keeps the keys, with 0; and a name with one part is whole.
    let joined = Gguf::small().key("split.count", scalar(2, &[0, 0])).bytes();
    let hub = Hub::empty()
        .file("joined.gguf", &joined)
        .file("x-00001-of-00001.gguf", &joined);
    open(&hub.join("joined.gguf")).unwrap();
    open(&hub.join("x-00001-of-00001.gguf")).unwrap();
}

#[test]
fn broken_splits() {
    let name = part_name;
    let hub = write_parts(&parts());
    std::fs::remove_file(hub.join(&name(1))).unwrap();
    refused(
        "part missing",
        &hub.join(&name(0)),
        &[
            &name(1),
            "part 2 of 3 is missing",
            "download it into the folder",
        ],
    );
    let change = |i: usize, key: &str, value: Vec<u8>| {
        let mut parts = parts();
        let length = key.len();
        let place = parts[i]
            .keys
            .iter_mut()
            .find(|k| k[8..].starts_with(key.as_bytes()));
        let entry = place.unwrap();
        entry.truncate(8 + length);
        entry.extend(value);
        write_parts(&parts)
    };
    let u16 = |n: u16| scalar(2, &n.to_le_bytes());
    let cases: [(&str, Hub, &[&str]); 5] = [
        (
            "part twice",
            change(1, "split.no", u16(0)),
            &[&name(1), "split.no is 0", "should be 1"],
        ),
        (
            "count differs",
            change(2, "split.count", u16(4)),
            &[&name(2), "split.count is 4"],
        ),
        (
            "other number of tensors",
            change(0, "split.tensors.count", scalar(5, &4i32.to_le_bytes())),
            &["split.tensors.count is 4, but the 3 parts hold 3 tensors"],
        ),
        (
            "number of another type",
            change(1, "split.no", string("1")),
            &[
                &name(1),
                "\"split.no\" should be an integer but is a string",
            ],
        ),
        (
            "negative number of tensors",
            change(0, "split.tensors.count", scalar(5, &(-1i32).to_le_bytes())),
            &["\"split.tensors.count\" should be an integer from 0 to 2^64-1 but is -1"],
        ),
    ];
    for (case, hub, expected) in cases {
        refused(case, &hub.join(&name(0)), expected);
    }
    let mut twice = parts();
    twice[2].tensors[0].name = b"t0".to_vec();
    let hub = write_parts(&twice);
    refused(
        "tensor in two parts",
        &hub.join(&name(1)),
        &["tensor \"t0\" is also in", &name(2)],
    );

    let hub = Hub::empty().file("renamed.gguf", parts()[1].bytes());
    refused(
        "part renamed",
        &hub.join("renamed.gguf"),
        &[
            "is part 2 of 3, but its name does not say so",
            "-00001-of-00003.gguf",
        ],
    );
    let hub = Hub::empty().file(&name(0), Gguf::small().bytes());
    refused(
        "whole model named as a part",
        &hub.join(&name(0)),
        &["is named as one of 3 parts"],
    );
    let hub = change(0, "split.count", u16(60_000));
    let many = "m-00001-of-60000.gguf";
    std::fs::rename(hub.join(&name(0)), hub.join(many)).unwrap();
    refused(
        "60,000 parts",
        &hub.join(many),
        &["is one of 60000 parts, and at most 512"],
    );
}

/// A file cut short after it was opened is an error; a removed one can still be read.
#[test]
fn changed_while_open() {
    let (hub, checkpoint) = open_bytes(&Gguf::new().tensor("t", F32, &[256], &[7; 1024]));
    let path = hub.join("model.gguf");
    let t = checkpoint.tensor("t").unwrap();
    let mut out = [0; 1024];
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let whole = file.metadata().unwrap().len();
    file.set_len(whole - 1).unwrap();
    let message = checkpoint.read(t, 0, &mut out).unwrap_err().to_string();
    assert!(message.starts_with(path.to_str().unwrap()), "{message}");
    for text in [
        "was cut while in use",
        &format!("it had {whole} bytes"),
        "load the model again",
    ] {
        assert!(message.contains(text), "no {text:?} in: {message}");
    }
    // What is still there can be read.
    checkpoint.read(t, 0, &mut out[..1000]).unwrap();
    file.set_len(whole).unwrap();
    std::fs::remove_file(&path).unwrap();
    checkpoint.read(t, 0, &mut out).unwrap();
    assert_eq!(out[..1023], [7; 1023]);
}

/// The committed model: the same tensors whole and in parts, as in its safetensors.
#[test]
fn fixtures() {
    let whole = open(&fixture("gguf/qwen3_next-tiny.gguf")).unwrap();
    let split = open(&fixture("gguf/qwen3_next-tiny-split-00002-of-00003.gguf")).unwrap();
    let hub = open(&fixture("qwen3_next-tiny")).unwrap();
    assert_eq!(
        *split.kind(),
        Kind::Gguf {
            version: 3,
            parts: 3
        }
    );
    assert_eq!(whole.total_bytes(), split.total_bytes());
    for t in split.tensors() {
        // The split file joins two projections of the experts in one tensor.
        if let Some(same) = whole.tensor(&t.name) {
            assert_eq!((&t.shape, t.format), (&same.shape, same.format));
            assert!(
                bytes_of(&split, &t.name) == bytes_of(&whole, &t.name),
                "{}",
                t.name
            );
        }
    }
    // F32 here, BF16 there: the upper half of every number.
    let conv = bytes_of(&whole, "blk.0.ssm_conv1d.weight");
    let name = "model.layers.0.linear_attn.conv1d.weight";
    let upper: Vec<u8> = conv.chunks(4).flat_map(|x| [x[2], x[3]]).collect();
    assert_eq!(upper, bytes_of(&hub, name));
    let (ours, theirs) = (
        whole.tensor("blk.0.ssm_conv1d.weight").unwrap(),
        hub.tensor(name).unwrap(),
    );
    assert_eq!([ours.shape[0], 1, ours.shape[1]], theirs.shape[..]);
    let experts = whole.tensor("blk.0.ffn_down_exps.weight").unwrap();
    let expert = hub
        .tensor("model.layers.0.mlp.experts.0.down_proj.weight")
        .unwrap();
    assert_eq!(experts.shape[1..], expert.shape);

    let m = metadata(&whole);
    assert_eq!(m.architecture(), "qwen3next");
    let tokens = m.string_array("tokenizer.ggml.tokens").unwrap().unwrap();
    assert_eq!(
        tokens.len(),
        whole.tensor("token_embd.weight").unwrap().shape[0]
    );
    for types in ["gguf/qwen3_next-types.gguf", "gguf/qwen3_moe-types.gguf"] {
        let checkpoint = open(&fixture(types)).unwrap();
        for t in checkpoint.tensors() {
            bytes_of(&checkpoint, &t.name);
        }
    }
    let message = error(&fixture("gguf"));
    assert!(message.contains("holds 5 GGUF models"), "{message}");
}

#[test]
fn shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let (_hub, checkpoint) = open_bytes(&Gguf::small());
    shared(&checkpoint);
    let t = checkpoint.tensor("output_norm.weight").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut out = [0; 16];
                checkpoint.read(t, 0, &mut out).unwrap();
                assert_eq!(out, [1; 16]);
            });
        }
    });
    assert_eq!(
        checkpoint.files().next().unwrap().0.extension(),
        Path::new("x.gguf").extension()
    );
}
