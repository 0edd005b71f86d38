//! Hostile and damaged Hugging Face directories: each kind must be refused with an
//! error that names the problem, within bounded memory and time.

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;

use support::*;

/// Writes each case as `name` into a good checkpoint and asserts what is said.
#[track_caller]
fn refuse_as<'a>(name: &str, cases: impl IntoIterator<Item = (&'a str, Vec<u8>, &'a [&'a str])>) {
    for (case, bytes, expected) in cases {
        let hub = Hub::small().file(name, bytes);
        let expected: Vec<&str> = [&[name], expected].concat();
        // The message names the file, which lies in the directory that was opened.
        refused(case, &hub.join("config.json"), &expected);
    }
}

fn weights(entries: &[String], data: usize) -> Vec<u8> {
    safetensors(format!("{{{}}}", entries.join(",")), &vec![0; data])
}

#[test]
fn safetensors_start() {
    let header = |length: u64, rest: &[u8]| [&length.to_le_bytes(), rest].concat();
    refuse_as(
        "model.safetensors",
        [
            ("empty", vec![], &["is empty"][..]),
            ("3 bytes", vec![1, 0, 0], &["has only 3 bytes"]),
            (
                "length alone",
                header(100, b""),
                &["takes 100 bytes", "only 0 more"],
            ),
            ("length 0", header(0, b""), &["the header is not valid"]),
            (
                "length 2^30",
                header(1 << 30, b"{}"),
                &["takes 1073741824 bytes"],
            ),
            (
                "length max",
                header(u64::MAX, b"{}"),
                &["takes 18446744073709551615 bytes", "only 2 more"],
            ),
            (
                "not JSON",
                header(8, b"\x80\x02}q\x00(X\n"),
                &["is not safetensors"],
            ),
            (
                "cut JSON",
                header(9, br#"{"w":{"dt"#),
                &["the header is not valid: EOF"],
            ),
            (
                "two objects",
                header(4, b"{}{}"),
                &["the header is not valid: trailing"],
            ),
            (
                "a list",
                header(2, b"[]"),
                &["is not safetensors: no header"],
            ),
            (
                "bad UTF-8",
                header(6, b"{\"\xff\":0"),
                &["the header is not valid"],
            ),
            (
                "git lfs",
                b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
                &["Git LFS pointer"],
            ),
        ],
    );
}

#[test]
fn safetensors_entries() {
    let one = |entry: &str, data| weights(&[entry.to_string()], data);
    let w = |dtype, shape, end| tensor_entry("w", dtype, shape, 0, end);
    let wraps = "takes more bytes than 64 bits can count";
    refuse_as(
        "model.safetensors",
        [
            (
                "no tensors",
                safetensors("{}", &[]),
                &["holds no tensors"][..],
            ),
            (
                "F8",
                one(&w("F8_E4M3", "[16]", 16), 16),
                &["\"w\" is stored as \"F8_E4M3\"", "BF16"],
            ),
            (
                "I32",
                one(&w("I32", "[4]", 16), 16),
                &["\"w\" is stored as \"I32\""],
            ),
            (
                "unknown dtype",
                one(&w("Q9", "[4]", 16), 16),
                &["\"w\" is stored as \"Q9\""],
            ),
            (
                "dimension 0",
                one(&w("F32", "[4,0]", 0), 0),
                &["\"w\" has a dimension of 0"],
            ),
            (
                "dimension -1",
                one(&w("F32", "[-1]", 4), 4),
                &["invalid value: integer `-1`"],
            ),
            (
                "2^32 x 2^32",
                one(&w("F32", "[4294967296,4294967296]", 16), 16),
                &["\"w\"", wraps],
            ),
            (
                "2^62 + 8",
                one(&w("F32", "[4611686018427387912]", 32), 32),
                &["\"w\"", wraps],
            ),
            (
                "9 dimensions",
                one(&w("F32", "[1,1,1,1,1,1,1,1,1]", 4), 4),
                &["more than 8 dimensions"],
            ),
            (
                "shape against bytes",
                one(&w("F32", "[4]", 12), 12),
                &["\"w\" of shape [4] in F32 takes 16 bytes, but its data_offsets are 0 and 12"],
            ),
            (
                "reversed offsets",
                one(&tensor_entry("w", "F32", "[4]", 16, 0), 16),
                &["its data_offsets are 16 and 0"],
            ),
            (
                "no dtype",
                one(r#""w":{"shape":[4],"data_offsets":[0,16]}"#, 16),
                &["missing field `dtype`"],
            ),
            (
                "not an object",
                one(r#""w":5"#, 0),
                &["the header is not valid"],
            ),
            (
                "empty name",
                one(&tensor_entry("", "F32", "[4]", 0, 16), 16),
                &["a tensor cannot be named \"\""],
            ),
            (
                "name of 10 kB",
                one(&tensor_entry(&"n".repeat(10_000), "F32", "[4]", 0, 16), 16),
                &["a tensor cannot be named \"nnnn"],
            ),
            (
                "NUL in a name",
                one(&tensor_entry("a\\u0000b", "F32", "[4]", 0, 16), 16),
                &["a tensor cannot be named \"a\\0b\""],
            ),
            (
                "name twice",
                weights(
                    &[w("F32", "[4]", 16), tensor_entry("w", "F32", "[4]", 16, 32)],
                    32,
                ),
                &["two tensors named \"w\""],
            ),
            (
                "nesting of 10^5",
                one(&format!(r#""w":{{"dtype":{}"#, "[".repeat(100_000)), 0),
                &["the header is not valid"],
            ),
        ],
    );
}

#[test]
fn safetensors_places() {
    let two = |b, e, data| {
        let entries = [
            tensor_entry("a", "F32", "[4]", 0, 16),
            tensor_entry("b", "F32", "[4]", b, e),
        ];
        weights(&entries, data)
    };
    refuse_as(
        "model.safetensors",
        [
            (
                "overlap",
                two(8, 24, 32),
                &["the data of tensor \"b\" overlap another's"][..],
            ),
            (
                "gap",
                two(20, 36, 36),
                &["4 bytes before the data of tensor \"b\""],
            ),
            (
                "past the end",
                two(16, 32, 16),
                &[
                    "tensor \"b\" ends at byte 32 of the data, but the file has only 16",
                    "download",
                ],
            ),
            ("one byte short", two(16, 32, 31), &["has only 31 bytes"]),
            ("no data", two(16, 32, 0), &["has only 0 bytes"]),
            (
                "bytes too many",
                two(16, 32, 33),
                &["1 bytes at its end belong to no tensor"],
            ),
            (
                "wrapping",
                two(u64::MAX - 15, u64::MAX, 32),
                &["its data_offsets are 18446744073709551600 and 18446744073709551615"],
            ),
        ],
    );
}

#[test]
fn config() {
    refuse_as(
        "config.json",
        [
            ("empty", vec![], &["is not valid: EOF"][..]),
            ("3 bytes", b"{\"m".to_vec(), &["is not valid: EOF"]),
            (
                "not an object",
                b"[1]".to_vec(),
                &["the top level is not an object"],
            ),
            (
                "bad UTF-8",
                b"{\"a\":\"\xff\"}".to_vec(),
                &["is not valid: invalid unicode"],
            ),
            (
                "nesting of 10^5",
                "[".repeat(100_000).into(),
                &["recursion limit exceeded"],
            ),
            (
                "number too large",
                b"{\"a\":1e999}".to_vec(),
                &["number out of range"],
            ),
            (
                "too large",
                vec![b' '; (1 << 20) + 1],
                &["is 1048577 bytes, more than the 1048576"],
            ),
            (
                "gptq",
                br#"{"quantization_config":{"quant_method":"gptq","bits":4}}"#.to_vec(),
                &[
                    "quantized with \"gptq\" (quantization_config)",
                    "BF16, F16 or F32",
                    "Q4_K",
                ],
            ),
            (
                "fp8 in text_config",
                br#"{"text_config":{"quantization_config":{"quant_method":"fp8"}}}"#.to_vec(),
                &["quantized with \"fp8\""],
            ),
            (
                "no method",
                br#"{"compression_config":{}}"#.to_vec(),
                &["are quantized (compression_config)"],
            ),
            ("web page", b"<html>404".to_vec(), &["is a web page"]),
        ],
    );
    refuse_as(
        "generation_config.json",
        [
            ("cut", b"{".to_vec(), &["is not valid"][..]),
            ("too large", vec![b' '; 70_000], &["is 70000 bytes"]),
        ],
    );
    refuse_as(
        "tokenizer_config.json",
        [
            (
                "template of another type",
                br#"{"chat_template":5}"#.to_vec(),
                &["chat_template is neither"][..],
            ),
            (
                "list without names",
                br#"{"chat_template":[{"template":"x"}]}"#.to_vec(),
                &["chat_template is neither"],
            ),
            ("too large", vec![b' '; 3 << 20], &["is 3145728 bytes"]),
        ],
    );
    refuse_as(
        "chat_template.jinja",
        [
            ("bad UTF-8", vec![0xff], &["is not UTF-8"][..]),
            ("too large", vec![b' '; 600_000], &["is 600000 bytes"]),
        ],
    );
    let no_config = Hub::small();
    std::fs::remove_file(no_config.join("config.json")).unwrap();
    refused(
        "no config",
        &no_config.join("model.safetensors"),
        &["no config.json"],
    );
}

#[test]
fn index() {
    let one = "model-00001-of-00002.safetensors";
    let two = "model-00002-of-00002.safetensors";
    let map = |a: &str, b: &str| format!(r#"{{"a":"{a}","b":"{b}"}}"#);
    assert_eq!(
        open(Hub::sharded(&map(one, two)).path())
            .unwrap()
            .tensors()
            .len(),
        2
    );

    let not_plain = "which is not a plain name in the same folder";
    let name = "model.safetensors.index.json";
    let cases: [(&str, String, &[&str]); 15] = [
        (
            "parent",
            map(one, "../m.safetensors"),
            &["\"../m.safetensors\"", not_plain],
        ),
        ("..", map(one, ".."), &["names the file \"..\"", not_plain]),
        (
            "absolute",
            map(one, "/etc/m.safetensors"),
            &["\"/etc/m.safetensors\"", not_plain],
        ),
        (
            "subfolder",
            map(one, "sub/m.safetensors"),
            &["\"sub/m.safetensors\"", not_plain],
        ),
        ("backslash", map(one, "..\\\\m.safetensors"), &[not_plain]),
        (
            "NUL",
            map(one, "m\\u0000.safetensors"),
            &["\"m\\0.safetensors\"", not_plain],
        ),
        (
            "empty name",
            map(one, ""),
            &["names the file \"\"", not_plain],
        ),
        (
            "pickle",
            map(one, "model.bin"),
            &["\"model.bin\", which is not safetensors"],
        ),
        (
            "wrong shard",
            map(one, one),
            &["places tensor \"b\" in model-00001-of-00002"],
        ),
        (
            "tensor in no shard",
            format!(r#"{{"a":"{one}","b":"{two}","c":"{two}"}}"#),
            &["places tensor \"c\" in model-00002-of-00002.safetensors, which does not hold it"],
        ),
        (
            "tensor twice",
            format!(r#"{{"a":"{one}","b":"{two}","a":"{two}"}}"#),
            &["lists the tensor \"a\" twice"],
        ),
        (
            "not an object",
            "[]".into(),
            &["is not valid", "weight_map"],
        ),
        (
            "a number for a file",
            r#"{"a":1}"#.into(),
            &["is not valid", "invalid type: integer"],
        ),
        ("no tensors", "{}".into(), &["lists no tensors"]),
        ("nesting of 10^5", "[".repeat(100_000), &["is not valid"]),
    ];
    for (case, map, expected) in cases {
        let hub = Hub::sharded(&map);
        refused(case, &hub.join(name), &[&[name], expected].concat());
    }
    let without = |missing: &str| {
        let hub = Hub::sharded(&map(one, two));
        std::fs::remove_file(hub.join(missing)).unwrap();
        hub
    };
    refused(
        "missing shard",
        &without(two).join(one),
        &[two, "it is missing", "download it into the folder"],
    );
    refused(
        "missing index",
        &without(name).join("config.json"),
        &["no model.safetensors.index.json"],
    );

    let in_both = Hub::sharded(&map(one, two)).file(
        two,
        weights(
            &[
                tensor_entry("a", "BF16", "[4]", 0, 8),
                tensor_entry("b", "BF16", "[4]", 8, 16),
            ],
            16,
        ),
    );
    refused(
        "tensor in two shards",
        &in_both.join(one),
        &[one, "\"a\" is also in", two],
    );

    let index = |text: &str| Hub::sharded("{}").file(name, text);
    let no_map = index(r#"{"metadata":{}}"#);
    refused(
        "no map",
        &no_map.join(one),
        &[name, "there is no weight_map"],
    );
    let twice = index(r#"{"weight_map":{},"weight_map":{}}"#);
    refused(
        "map twice",
        &twice.join(one),
        &[name, "weight_map is given twice"],
    );
}

/// What is no model at all, and what would block or misdirect.
#[test]
fn directories() {
    let empty = Hub::empty();
    assert!(error(empty.path()).contains("holds no model; choose"));
    assert!(error(&empty.join("gone")).contains("cannot be opened: No such file"));
    let pickle = Hub::empty().file("pytorch_model.bin", "x");
    assert!(error(pickle.path()).contains("PyTorch's pickle format"));
    let config_only = Hub::empty().file("config.json", "{}");
    assert!(error(config_only.path()).contains("no model.safetensors"));
    let weights_only = Hub::empty().file("model.safetensors", "x");
    assert!(error(weights_only.path()).contains("no config.json"));
    let text = Hub::empty().file("notes.txt", "hello");
    assert!(error(&text.join("notes.txt")).contains("neither GGUF nor safetensors"));
    let gguf = Gguf::small().bytes();
    let two = Hub::empty().file("a.gguf", &gguf).file("b.gguf", &gguf);
    assert!(error(two.path()).contains("holds 2 GGUF models; choose one of the files"));
    assert!(error(std::path::Path::new("/dev/zero")).contains("neither GGUF nor"));

    // A pipe that nobody writes to would block for ever.
    let pipe = Hub::empty();
    let path = pipe.join("model.gguf");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    refused("pipe", &path, &["is not a regular file"]);

    let other = Hub::small().file("adapter.safetensors", "x");
    refused(
        "another file of the folder",
        &other.join("adapter.safetensors"),
        &["does not belong to the model in its folder"],
    );
}

/// The largest files within the limits stay within the bounds on memory.
#[test]
fn largest_files() {
    // JSON that takes the most memory for its length.
    let object = |bytes: usize| format!("{{\"a\":[{}0]}}", r#"{"":0},"#.repeat(bytes / 7 - 2));
    let lists = |bytes: usize| format!("{{\"a\":[{}0]}}", "[0],".repeat(bytes / 4 - 4));
    for text in [object, lists] {
        let hub = Hub::small()
            .file("config.json", text(1 << 20))
            .file("generation_config.json", text(64 << 10))
            .file("tokenizer_config.json", text(2 << 20))
            .file("chat_template.json", text(512 << 10));
        open(hub.path()).unwrap();
    }

    let entries: Vec<String> = (0..600_000u64)
        .map(|i| tensor_entry(&format!("{i}"), "F32", "[1]", 4 * i, 4 * i + 4))
        .collect();
    let hub = Hub::small().file("model.safetensors", weights(&entries, 4 * 600_000));
    assert_eq!(open(hub.path()).unwrap().tensors().len(), 600_000);
    // Names that take a quarter of a gigabyte when kept, though the text allows them.
    let hub = Hub::small().file("model.safetensors", {
        let header = format!(
            "{{\"__metadata__\":{{\"a\":\"{}\"}}}}",
            "x".repeat(90_000_000)
        );
        safetensors(header, &[])
    });
    assert!(error(hub.path()).contains("larger than 80 MB"));
    // A list that would take eight bytes for two.
    let hub = Hub::small().file("model.safetensors", {
        let shape = format!("[{}1]", "1,".repeat(20_000_000));
        safetensors(
            format!("{{{}}}", tensor_entry("w", "F32", &shape, 0, 4)),
            &[0; 4],
        )
    });
    assert!(error(hub.path()).contains("more than 8 dimensions"));

    let shard = "model-00001-of-00002.safetensors";
    let list: Vec<String> = (0..1 << 20)
        .map(|i| format!(r#""tensor.{i}":"{shard}""#))
        .collect();
    let hub = Hub::sharded(&format!("{{{}}}", list.join(",")));
    assert!(error(hub.path()).contains("places tensor"));
    let hub = Hub::sharded(&format!("{{{},\"one.more\":\"{shard}\"}}", list.join(",")));
    assert!(error(hub.path()).contains("lists more than 1048576 tensors"));
    let list: Vec<String> = (0..600)
        .map(|i| format!(r#""{i}":"{i}.safetensors""#))
        .collect();
    let hub = Hub::sharded(&format!("{{{}}}", list.join(",")));
    assert!(error(hub.path()).contains("names more than 512 files"));
}

/// A huge file of a small kind is refused before it is read.
#[test]
fn huge_files() {
    let grow = |hub: &Hub, name: &str| {
        let file = File::create(hub.join(name)).unwrap();
        file.set_len(1 << 40).unwrap();
    };
    for name in [
        "config.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ] {
        let hub = Hub::small();
        grow(&hub, name);
        refused(
            name,
            &hub.join("config.json"),
            &[name, "is 1099511627776 bytes"],
        );
    }
    let hub = Hub::sharded("{}");
    grow(&hub, "model.safetensors.index.json");
    assert!(error(hub.path()).contains("is 1099511627776 bytes"));

    let hub = Hub::small();
    grow(&hub, "model.safetensors");
    let file = File::options()
        .write(true)
        .open(hub.join("model.safetensors"))
        .unwrap();
    file.write_all_at(&(1u64 << 39).to_le_bytes(), 0).unwrap();
    file.write_all_at(b"{", 8).unwrap();
    assert!(error(hub.path()).contains("larger than 80 MB"));

    let hub = Hub::small();
    grow(&hub, "tokenizer.json");
    let checkpoint = open(hub.path()).unwrap();
    let moestro_checkpoint::Metadata::HuggingFace(files) = checkpoint.metadata() else {
        panic!("a folder has Hugging Face metadata");
    };
    let message = files.read_tokenizer_json().unwrap_err().to_string();
    assert!(
        message.contains("tokenizer.json: is 1099511627776 bytes"),
        "{message}"
    );
}

/// Thousands of damaged files: none may panic, hang or take much memory, and what
/// is accepted must be readable.
#[test]
fn mutations() {
    let (one, two) = (
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    );
    let map = format!(r#"{{"a":"{one}","b":"{two}"}}"#);
    let hub = Hub::sharded(&map)
        .file(
            "tokenizer_config.json",
            r#"{"chat_template":[{"name":"default","template":"{{x}}"}]}"#,
        )
        .file(
            "generation_config.json",
            r#"{"top_p":0.8,"eos_token_id":[1,2]}"#,
        );
    open(hub.path()).unwrap();
    let mut random = Random(0x6875_6221);
    let (mut accepted, mut rejected) = (0, 0);
    for name in [
        one,
        "model.safetensors.index.json",
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
    ] {
        let path = hub.join(name);
        let seed = std::fs::read(&path).unwrap();
        for _ in 0..1_000 {
            let mut bytes = seed.clone();
            random.damage(&mut bytes);
            write(&path, &bytes);
            match open(hub.path()) {
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
        write(&path, &seed);
    }
    println!("{accepted} accepted, {rejected} rejected");
    assert!(accepted > 100 && rejected > 1_000);
}
