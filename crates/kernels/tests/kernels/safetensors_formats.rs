//! The formats of quantized safetensors against their definitions, value by value.

use crate::common::{Random, assert_same, every_compute};
use moestro_kernels::{Format, Matrix, pack, packed_bytes, rows};

const BLOCKS: usize = 64;

fn half_at(block: &[u8], at: usize) -> f32 {
    half::f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Number `j` of nibbles that are ordered within 32 as in Q4_0.
fn nibble(q: &[u8], j: usize) -> u8 {
    let byte = q[16 * (j / 32) + j % 16];
    if j % 32 < 16 { byte & 15 } else { byte >> 4 }
}

/// S.EEEE.MMM with a bias of 7.
fn e4m3(bits: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 3 & 15), f32::from(bits & 7));
    let magnitude = match exponent {
        0 => mantissa / 8.0 * 2f32.powi(-6),
        e => (1.0 + mantissa / 8.0) * 2f32.powi(e - 7),
    };
    if bits & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// bitsandbytes' `create_normal_map`, to its digits.
#[expect(clippy::excessive_precision, reason = "as they are published")]
const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_800_998_687_7,
    -0.525_073_051_452_636_7,
    -0.394_917_488_098_144_53,
    -0.284_441_381_692_886_35,
    -0.184_773_430_228_233_34,
    -0.091_050_036_251_544_95,
    0.0,
    0.079_580_299_556_255_34,
    0.160_930_201_411_247_25,
    0.246_112_301_945_686_34,
    0.337_915_241_718_292_24,
    0.440_709_829_330_444_34,
    0.562_617_003_917_694_1,
    0.722_956_836_223_602_3,
    1.0,
];

fn fp4(q: u8) -> f32 {
    let magnitude = [0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0];
    let value = match q & 7 {
        0 => 0.0,
        n => magnitude[usize::from(n) - 1] / 12.0,
    };
    if q & 8 == 0 { value } else { 0.0 - value }
}

fn value(format: Format, block: &[u8], j: usize) -> f32 {
    let grouped = |groups: usize, bits: usize| {
        let group = j / (128 / groups);
        let at = (3 * groups).next_multiple_of(4);
        let (q, zero) = (&block[at..], block[2 * groups + group]);
        let above = match bits {
            4 => i32::from(nibble(q, j)) - i32::from(zero),
            _ => i32::from(q[j].cast_signed()) - i32::from(zero.cast_signed()),
        };
        half_at(block, 2 * group) * above as f32
    };
    match format {
        Format::NF4 => NF4[usize::from(nibble(&block[4..], j))] * half_at(block, j / 64 * 2),
        Format::FP4 => fp4(nibble(&block[4..], j)) * half_at(block, j / 64 * 2),
        Format::INT4_128 => grouped(1, 4),
        Format::INT4_64 => grouped(2, 4),
        Format::INT4_32 => grouped(4, 4),
        Format::INT8_128 => grouped(1, 8),
        Format::INT8_32 => grouped(4, 8),
        Format::FP8 => {
            let scale = f32::from_le_bytes(block[..4].try_into().expect("four bytes"));
            e4m3(block[4 + j]) * scale
        }
        other => panic!("{other} is ggml's"),
    }
}

#[test]
fn values_are_those_of_their_definitions() {
    let mut random = Random::new(11);
    for format in Format::all().iter().filter(|f| !f.is_gguf()) {
        assert_eq!(format.block_len(), 128);
        let bytes = format.block_bytes();
        let mut blocks = random.bytes(BLOCKS * bytes);
        for block in blocks.chunks_exact_mut(bytes) {
            // Scales that are numbers; all other bits may be anything.
            let scale = random.float() / 30.0;
            let scales = match format {
                Format::FP8 => {
                    block[..4].copy_from_slice(&scale.to_le_bytes());
                    0
                }
                Format::INT4_128 | Format::INT8_128 => 1,
                Format::INT4_32 | Format::INT8_32 => 4,
                _ => 2,
            };
            for i in 0..scales {
                let d = half::f16::from_f32(scale * (1 + i) as f32).to_le_bytes();
                block[2 * i..][..2].copy_from_slice(&d);
            }
        }
        let want: Vec<f32> = blocks
            .chunks_exact(bytes)
            .flat_map(|block| (0..128).map(|j| value(*format, block, j)))
            .collect();
        let mut got = vec![f32::NAN; want.len()];
        format.dequantize(&blocks, &mut got);
        assert_same(&got, &want, format.name());

        let cols = 256;
        let count = want.len() / cols;
        let mut packed = vec![0; packed_bytes(*format, count, cols).expect("small")];
        pack(*format, cols, &blocks, &mut packed);
        let w = Matrix::new(*format, count, cols, &packed).expect("whole blocks");
        let ids: Vec<u32> = (0..count as u32).collect();
        for c in every_compute() {
            got.fill(f32::NAN);
            rows(&c, w, &ids, &mut got);
            assert_same(&got, &want, &format!("{format}, {c:?}"));
        }
    }
}

/// As much memory as the files take, to a few percent: bits per weight.
#[test]
fn blocks_are_as_small_as_what_they_come_from() {
    // NF4 with a byte per 64 and a float per 16384; the others with half scales and
    // zero points of their own width per group.
    let cases = [
        (Format::NF4, 4.0 + 8.0 / 64.0 + 32.0 / 16384.0),
        (Format::FP4, 4.0 + 32.0 / 64.0),
        (Format::INT4_128, 4.0 + 16.0 / 128.0),
        (Format::INT4_64, 4.0 + 16.0 / 64.0),
        (Format::INT4_32, 4.0 + 16.0 / 32.0),
        (Format::INT8_128, 8.0 + 16.0 / 128.0),
        (Format::INT8_32, 8.0 + 16.0 / 32.0),
        (Format::FP8, 8.0),
    ];
    for (format, file) in cases {
        let memory = (8 * format.block_bytes()) as f64 / format.block_len() as f64;
        assert!(memory <= 1.06 * file, "{format}: {memory} for {file} bits");
    }
}
