//! Any bytes as a GGUF file: opened or refused, never a panic, and what is accepted
//! can be read through every getter.
#![no_main]

mod scratch;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use moestro_checkpoint::Metadata;

static PATH: LazyLock<std::path::PathBuf> = LazyLock::new(|| scratch::folder().join("m.gguf"));

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*PATH, bytes).expect("/dev/shm has room");
    let Some(checkpoint) = scratch::open_and_read(&PATH, bytes.len()) else {
        return;
    };
    let Metadata::Gguf(metadata) = checkpoint.metadata() else {
        panic!("a GGUF has GGUF metadata");
    };
    assert!(!metadata.architecture().is_empty());
    for key in metadata.keys() {
        let _ = metadata.string(key);
        let _ = metadata.u32(key);
        let _ = metadata.u64(key);
        let _ = metadata.f32(key);
        let _ = metadata.bool(key);
        let _ = metadata.u32_array(key);
        let _ = metadata.i32_array(key);
        let _ = metadata.f32_array(key);
        let _ = metadata.bool_array(key);
        if let Ok(Some(strings)) = metadata.string_array(key) {
            assert_eq!(strings.iter().count(), strings.len());
        }
    }
});
