//! Metadata values: wrong in the file, or not what a reader asks for.

use crate::refuse_all;
use crate::support::*;

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
