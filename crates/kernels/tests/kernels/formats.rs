//! Every weight format of GGUF files against the values that gguf-py gives for the
//! same bytes.

use crate::common::{Random, assert_same, every_compute};
use moestro_kernels::{Format, Matrix, pack, packed_bytes, rows};
use safetensors::SafeTensors;
use std::path::Path;

/// Raw blocks and their values.
fn fixture(format: Format) -> (Vec<u8>, Vec<f32>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/dequantize");
    let path = folder.join(format!("{format}.safetensors"));
    let file = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let tensors = SafeTensors::deserialize(&file).expect("a safetensors file");
    let blocks = tensors.tensor("blocks").expect("blocks").data().to_vec();
    let values = tensors.tensor("values").expect("values");
    let values = values.data().chunks_exact(4);
    let values = values.map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")));
    (blocks, values.collect())
}

fn of_gguf() -> impl Iterator<Item = &'static Format> {
    Format::all().iter().filter(|f| f.is_gguf())
}

#[test]
fn values_equal_those_of_gguf_py_on_every_instruction_set() {
    for format in of_gguf() {
        let (blocks, values) = fixture(*format);
        let mut got = vec![f32::NAN; values.len()];
        format.dequantize(&blocks, &mut got);
        assert_same(&got, &values, format.name());

        let count = 48;
        let cols = values.len() / count;
        let mut packed = vec![0; blocks.len()];
        pack(*format, cols, &blocks, &mut packed);
        let w = Matrix::new(*format, count, cols, &packed).expect("rows of one block");
        let ids: Vec<u32> = (0..count as u32).rev().collect();
        let reversed: Vec<f32> = values.chunks_exact(cols).rev().flatten().copied().collect();
        for c in every_compute() {
            got.fill(f32::NAN);
            rows(&c, w, &ids, &mut got);
            assert_same(&got, &reversed, &format!("{format}, {c:?}"));
        }
    }
}

#[test]
fn a_row_is_its_blocks_one_after_the_other() {
    for format in of_gguf() {
        let (blocks, values) = fixture(*format);
        let mut got = vec![0.0; values.len()];
        // In three unequal runs.
        let (len, bytes) = (format.block_len(), format.block_bytes());
        let total = values.len() / len;
        for run in [0..5, 5..6, 6..total] {
            let out = &mut got[run.start * len..run.end * len];
            format.dequantize(&blocks[run.start * bytes..run.end * bytes], out);
        }
        assert_same(&got, &values, format.name());
    }
}

#[test]
fn names_and_numbers_are_those_of_ggml() {
    let expected = [
        ("F32", 0, 1, 4),
        ("F16", 1, 1, 2),
        ("BF16", 30, 1, 2),
        ("Q4_0", 2, 32, 18),
        ("Q4_1", 3, 32, 20),
        ("Q5_0", 6, 32, 22),
        ("Q5_1", 7, 32, 24),
        ("Q8_0", 8, 32, 34),
        ("Q2_K", 10, 256, 84),
        ("Q3_K", 11, 256, 110),
        ("Q4_K", 12, 256, 144),
        ("Q5_K", 13, 256, 176),
        ("Q6_K", 14, 256, 210),
        ("IQ4_NL", 20, 32, 18),
        ("IQ4_XS", 23, 256, 136),
        ("MXFP4", 39, 32, 17),
    ];
    assert_eq!(of_gguf().count(), expected.len());
    for (format, (name, id, len, bytes)) in of_gguf().zip(expected) {
        assert_eq!(format.to_string(), name);
        assert_eq!(format.ggml(), id);
        assert_eq!(Format::from_ggml(id), Some(*format));
        assert_eq!(
            (format.block_len(), format.block_bytes()),
            (len, bytes),
            "{name}"
        );
    }
    assert_eq!(Format::from_ggml(16), None);
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    assert_eq!(Format::Q4K.row_bytes(512), Some(288));
    assert_eq!(Format::Q4K.row_bytes(500), None);
    assert_eq!(Format::F32.row_bytes(usize::MAX), None);
    assert_eq!(Format::F16.row_bytes(0), Some(0));
    // Three rows fill a tile of sixteen.
    let data = Random::new(1).bytes(288 * 16);
    assert_eq!(packed_bytes(Format::Q4K, 3, 512), Some(data.len()));
    assert!(Matrix::new(Format::Q4K, 3, 512, &data).is_some());
    assert!(Matrix::new(Format::Q4K, 17, 512, &data).is_none());
    assert!(Matrix::new(Format::Q4K, 3, 256, &data).is_none());
    assert!(Matrix::new(Format::Q4K, usize::MAX, 512, &data).is_none());
    assert_eq!(packed_bytes(Format::F16, 3, 5), Some(30));
}

#[test]
#[should_panic(expected = "Q8_0: 33 bytes do not hold 32 values")]
fn a_wrong_length_panics_with_the_numbers() {
    Format::Q8_0.dequantize(&[0; 33], &mut [0.0; 32]);
}
