//! The tensor list: shapes, types, names and offsets.

use crate::refuse_all;
use crate::support::*;

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
