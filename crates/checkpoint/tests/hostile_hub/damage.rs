//! Good folders with bytes missing or changed.

use crate::support::*;

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
