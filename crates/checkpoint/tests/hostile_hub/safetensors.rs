//! Headers of safetensors files.

use crate::support::*;
use crate::{refuse_as, weights};

#[test]
fn start() {
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
fn entries() {
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
                &["\"w\" is stored as F8_E4M3", "on its own", "BF16"],
            ),
            (
                "I32",
                one(&w("I32", "[4]", 16), 16),
                &["\"w\" is stored as I32"],
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
fn places() {
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
