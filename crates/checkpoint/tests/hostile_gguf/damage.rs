//! Good files with bytes missing or changed.

use crate::support::*;

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
