//! Files that are too large, and the largest that are not.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::support::*;
use crate::weights;

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
    // A header that is large only by what it says besides the tensors.
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
