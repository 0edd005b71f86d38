//! The JSON files of a folder, and folders that are no model.

use crate::support::*;
use crate::{refuse_as, weights};

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
                    "quantized with \"gptq\" (quantization_config), but no tensor is",
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
                &["quantized in a way that is not named (compression_config)"],
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
    let cases: [(&str, String, &[&str]); 18] = [
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
            "control characters",
            map(one, "\\u001b[2J.safetensors"),
            &["\"\\u{1b}[2J.safetensors\"", not_plain],
        ),
        (
            "file name of 10 kB",
            map(one, &"m".repeat(10_000)),
            &["names the file \"mmm", not_plain],
        ),
        (
            "a text of 100 kB for the map",
            format!("\"{}\"", "\\u001b".repeat(100_000)),
            &["invalid type: string", "… at line 1"],
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
