//! Quantized safetensors with rows of real lengths: what is read, in the kernels'
//! formats, has the values that each scheme's definition gives its codes.

mod support;

use moestro_checkpoint::{Checkpoint, DIRECT_ALIGNMENT, DirectFiles, TensorInfo, scratch_for};
use moestro_kernels::Format;
use support::{Hub, Random, safetensors, tensor_entry};

const ROWS: usize = 48;
const COLS: usize = 384;

/// Tensors of a file under way.
#[derive(Default)]
struct Tensors {
    entries: Vec<String>,
    data: Vec<u8>,
}

impl Tensors {
    fn add(mut self, name: &str, dtype: &str, shape: &[usize], bytes: Vec<u8>) -> Tensors {
        let begin = self.data.len() as u64;
        self.data.extend(&bytes);
        let end = self.data.len() as u64;
        let shape = format!("{shape:?}");
        self.entries
            .push(tensor_entry(name, dtype, &shape, begin, end));
        self
    }

    fn words(self, name: &str, shape: &[usize], words: Vec<u32>) -> Tensors {
        let bytes = words.into_iter().flat_map(u32::to_le_bytes).collect();
        self.add(name, "I32", shape, bytes)
    }

    fn halves(self, name: &str, shape: &[usize], values: &[f32]) -> Tensors {
        let half = |v: &f32| half::f16::from_f32(*v).to_le_bytes();
        self.add(name, "F16", shape, values.iter().flat_map(half).collect())
    }

    fn floats(self, name: &str, shape: &[usize], values: &[f32]) -> Tensors {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.add(name, "F32", shape, bytes)
    }

    fn hub(self, config: &str) -> Hub {
        let header = format!("{{{}}}", self.entries.join(","));
        Hub::empty()
            .file(
                "config.json",
                format!(r#"{{"model_type":"x","quantization_config":{config}}}"#),
            )
            .file("model.safetensors", safetensors(header, &self.data))
    }
}

/// Reads the tensor "m.weight" in every way and compares it with `value(row, column)`.
fn check(hub: &Hub, format: Format, tolerance: f32, value: impl Fn(usize, usize) -> f32) {
    let mut checkpoint = Checkpoint::open(hub.path()).unwrap();
    checkpoint.give_columns(&|_| Some(COLS)).unwrap();
    let t = checkpoint.tensor("m.weight").expect("put together").clone();
    assert_eq!((t.format, t.shape.as_slice()), (format, &[ROWS, COLS][..]));
    let stored = t.stored_bytes() as f64;
    println!("{format}: {} of {stored} bytes", t.bytes);
    let mut whole = vec![0; t.bytes as usize];
    checkpoint.read(&t, 0, &mut whole).unwrap();

    let mut order = vec![0; t.order_bytes()];
    checkpoint.read_order(&t, &mut order).unwrap();
    let order: Vec<usize> = match order.len() {
        0 => (0..COLS).collect(),
        _ => {
            let number = |b: &[u8; 4]| u32::from_le_bytes(*b) as usize;
            order.as_chunks::<4>().0.iter().map(number).collect()
        }
    };
    let mut values = vec![0.0; ROWS * COLS];
    format.dequantize(&whole, &mut values);
    for (row, values) in values.chunks_exact(COLS).enumerate() {
        for (column, got) in order.iter().zip(values) {
            let want = value(row, *column);
            assert!(
                (got - want).abs() <= tolerance * want.abs().max(1e-3),
                "{format} [{row}, {column}]: {got} instead of {want}"
            );
        }
    }
    in_pieces(&checkpoint, &t, &whole);
}

/// Parts of a matrix are the same as in the whole, past the page cache too.
fn in_pieces(checkpoint: &Checkpoint, t: &TensorInfo, whole: &[u8]) {
    let row = whole.len() / ROWS;
    let direct = DirectFiles::open(checkpoint);
    let mut scratch = vec![0; scratch_for(t, whole.len()) + DIRECT_ALIGNMENT];
    let start = scratch.as_ptr().align_offset(DIRECT_ALIGNMENT);
    for (from, len) in [
        (0, whole.len()),
        (3 * row, 7 * row),
        (16 * row, 16 * row),
        (40 * row, 8 * row),
        (5, 3 * row),
        (47 * row + 1, row - 1),
    ] {
        let mut part = vec![0; len];
        checkpoint.read(t, from as u64, &mut part).unwrap();
        assert!(part == whole[from..from + len], "{from} + {len}");
        let reader = direct.reader(checkpoint);
        let part = reader.read(t, from as u64, len, &mut scratch[start..]);
        assert!(
            part.unwrap() == &whole[from..from + len],
            "{from} + {len}, directly"
        );
    }
}

/// Integers of `bits` with scales and zero points per group of columns.
struct Integers {
    bits: usize,
    group: usize,
    codes: Vec<u32>,
    scales: Vec<f32>,
    zeros: Vec<u32>,
}

impl Integers {
    fn random(bits: usize, group: usize, zero: Option<u32>) -> Integers {
        let mut random = Random(7);
        let groups = ROWS * COLS / group;
        let most = 1 << bits;
        Integers {
            bits,
            group,
            codes: (0..ROWS * COLS)
                .map(|_| random.below(most) as u32)
                .collect(),
            scales: (0..groups)
                .map(|_| half::f16::from_f32(0.001 + random.below(99) as f32 / 5e3).to_f32())
                .collect(),
            zeros: (0..groups)
                .map(|_| zero.unwrap_or(1 + random.below(most - 2) as u32))
                .collect(),
        }
    }

    fn groups(&self) -> usize {
        COLS / self.group
    }

    fn code(&self, row: usize, column: usize) -> u32 {
        self.codes[row * COLS + column]
    }

    /// With column `column` in group `group`.
    fn value(&self, row: usize, column: usize, group: usize) -> f32 {
        let at = row * self.groups() + group;
        let above = self.code(row, column) as f32 - self.zeros[at] as f32;
        above * self.scales[at]
    }

    /// Packs numbers, the first in the lowest bits of a word.
    fn packed(&self, numbers: impl Iterator<Item = u32>) -> Vec<u32> {
        let numbers: Vec<u32> = numbers.collect();
        let word = |numbers: &[u32]| {
            let shifted = numbers.iter().enumerate();
            shifted.fold(0, |word, (i, n)| word | n << (self.bits * i))
        };
        numbers.chunks(32 / self.bits).map(word).collect()
    }

    /// `[groups, rows]` of what is kept `[rows, groups]`.
    fn across<T: Copy>(&self, of: &[T]) -> Vec<T> {
        let groups = self.groups();
        (0..groups)
            .flat_map(|g| (0..ROWS).map(move |r| of[r * groups + g]))
            .collect()
    }

    /// GPTQ, whose zero points are less by `less`.
    fn gptq(&self, less: u32, g_idx: Option<Vec<u32>>) -> Tensors {
        let per_word = 32 / self.bits;
        let words = (0..COLS / per_word).flat_map(|w| (0..ROWS).map(move |row| (w, row)));
        let codes = words
            .flat_map(|(w, row)| (0..per_word).map(move |i| (row, w * per_word + i)))
            .map(|(row, column)| self.code(row, column));
        let mask = (1 << self.bits) - 1;
        let zeros = self.across(&self.zeros).into_iter();
        let zeros = self.packed(zeros.map(|z| z.wrapping_sub(less) & mask));
        let tensors = Tensors::default()
            .words("m.qweight", &[COLS / per_word, ROWS], self.packed(codes))
            .words("m.qzeros", &[self.groups(), ROWS / per_word], zeros)
            .halves(
                "m.scales",
                &[self.groups(), ROWS],
                &self.across(&self.scales),
            );
        match g_idx {
            None => tensors,
            Some(g_idx) => tensors.words("m.g_idx", &[COLS], g_idx),
        }
    }
}

#[test]
fn gptq_in_all_its_ways() {
    let cases = [
        (4, 128, Some(8), 1, "gptq", Format::INT4_128),
        (4, 64, None, 0, "gptq_v2", Format::INT4_64),
        (4, 32, None, 1, "gptq", Format::INT4_32),
        (8, 128, Some(128), 1, "gptq", Format::INT8_128),
        (8, 32, None, 0, "gptq_v2", Format::INT8_32),
        (4, 384, Some(8), 1, "gptq", Format::INT4_128),
    ];
    for (bits, group, zero, less, kind, format) in cases {
        let integers = Integers::random(bits, group, zero);
        let in_order = (0..COLS).map(|c| (c / group) as u32).collect();
        let hub = integers.gptq(less, Some(in_order)).hub(&format!(
            r#"{{"quant_method":"gptq","bits":{bits},"group_size":{group},"checkpoint_format":"{kind}"}}"#
        ));
        check(&hub, format, 0.0, |row, column| {
            integers.value(row, column, column / group)
        });
    }
}

#[test]
fn gptq_with_columns_in_the_order_of_their_activations() {
    for bits in [4, 8] {
        let integers = Integers::random(bits, 128, None);
        // 5 has no factor in common with the number of columns.
        let g_idx: Vec<u32> = (0..COLS).map(|c| (5 * c % COLS / 128) as u32).collect();
        let hub = integers
            .gptq(1, Some(g_idx.clone()))
            .hub(r#"{"quant_method":"gptq","group_size":128,"desc_act":true}"#);
        let format = if bits == 4 {
            Format::INT4_128
        } else {
            Format::INT8_128
        };
        check(&hub, format, 0.0, |row, column| {
            integers.value(row, column, g_idx[column] as usize)
        });
    }
}

#[test]
fn awq() {
    const ORDER: [usize; 8] = [0, 2, 4, 6, 1, 3, 5, 7];
    let integers = Integers::random(4, 128, None);
    let interleaved = |of: &dyn Fn(usize) -> u32| {
        let numbers = (0..ROWS).map(|i| of(i / 8 * 8 + ORDER[i % 8]));
        integers.packed(numbers)
    };
    let codes = (0..COLS).flat_map(|c| interleaved(&|row| integers.code(row, c)));
    let zeros = (0..3).flat_map(|g| interleaved(&|row| integers.zeros[row * 3 + g]));
    let hub = Tensors::default()
        .words("m.qweight", &[COLS, ROWS / 8], codes.collect())
        .words("m.qzeros", &[3, ROWS / 8], zeros.collect())
        .halves("m.scales", &[3, ROWS], &integers.across(&integers.scales))
        .hub(r#"{"quant_method":"awq","bits":4,"version":"gemm"}"#);
    check(&hub, Format::INT4_128, 0.0, |row, column| {
        integers.value(row, column, column / 128)
    });
}

#[test]
fn compressed_tensors() {
    for (bits, group, zero, format) in [
        (4, 128, Some(8), Format::INT4_128),
        (4, 32, None, Format::INT4_32),
        (8, 384, Some(128), Format::INT8_128),
        (8, 64, None, Format::INT8_32),
    ] {
        let integers = Integers::random(bits, group, zero);
        let groups = integers.groups();
        let per_word = 32 / bits;
        let codes = integers.packed(integers.codes.iter().copied());
        let mut tensors = Tensors::default()
            .words("m.weight_packed", &[ROWS, COLS / per_word], codes)
            .halves("m.weight_scale", &[ROWS, groups], &integers.scales)
            .add(
                "m.weight_shape",
                "I64",
                &[2],
                [ROWS as i64, COLS as i64].map(i64::to_le_bytes).concat(),
            );
        if zero.is_none() {
            let words = (0..ROWS / per_word).flat_map(|w| (0..groups).map(move |g| (w, g)));
            let zeros = words
                .flat_map(|(w, g)| (0..per_word).map(move |i| (w * per_word + i) * groups + g))
                .map(|at| integers.zeros[at]);
            let zeros = integers.packed(zeros);
            tensors = tensors.words("m.weight_zero_point", &[ROWS / per_word, groups], zeros);
        }
        let hub = tensors.hub(&format!(
            r#"{{"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{{"group_0":{{"weights":{{"num_bits":{bits}}}}}}}}}"#
        ));
        check(&hub, format, 0.0, |row, column| {
            integers.value(row, column, column / group)
        });
    }
}

fn e4m3(bits: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 3 & 15), f32::from(bits & 7));
    let magnitude = match exponent {
        0 => mantissa * 2f32.powi(-9),
        e => (8.0 + mantissa) * 2f32.powi(e - 10),
    };
    if bits & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

#[test]
fn fp8() {
    let mut random = Random(3);
    let number = |random: &mut Random| match random.next() as u8 {
        bits if bits & 0x7f == 0x7f => 0,
        bits => bits,
    };
    let codes: Vec<u8> = (0..ROWS * COLS).map(|_| number(&mut random)).collect();
    let scales: Vec<f32> = (0..ROWS).map(|i| 1e-5 * (1 + i) as f32).collect();
    let with = |name: &str, shape: &[usize], scales: &[f32], config: &str| {
        Tensors::default()
            .add("m.weight", "F8_E4M3", &[ROWS, COLS], codes.clone())
            .floats(name, shape, scales)
            .hub(config)
    };
    let of = |row: usize, column: usize| e4m3(codes[row * COLS + column]);
    let block = with(
        "m.weight_scale_inv",
        &[1, 3],
        &scales[..3],
        r#"{"quant_method":"fp8","weight_block_size":[128,128]}"#,
    );
    check(&block, Format::FP8, 0.0, |r, c| of(r, c) * scales[c / 128]);
    let config = r#"{"quant_method":"compressed-tensors","format":"float-quantized"}"#;
    let channel = with("m.weight_scale", &[ROWS, 1], &scales, config);
    check(&channel, Format::FP8, 0.0, |r, c| of(r, c) * scales[r]);
    let tensor = with("m.weight_scale", &[1], &scales[..1], config);
    check(&tensor, Format::FP8, 0.0, |r, c| of(r, c) * scales[0]);
}

#[test]
fn bitsandbytes() {
    let mut random = Random(5);
    let codes: Vec<u8> = (0..ROWS * COLS / 2).map(|_| random.next() as u8).collect();
    let blocks = ROWS * COLS / 64;
    for (double, kind, format) in [(true, "nf4", Format::NF4), (false, "fp4", Format::FP4)] {
        let table = format.codebook().expect("one of the two");
        let state = format!(
            r#"{{"quant_type":"{kind}","blocksize":64,"shape":[{ROWS},{COLS}],"nested_blocksize":256,"nested_offset":0.25}}"#
        );
        let tensors = Tensors::default()
            .add("m.weight", "U8", &[codes.len(), 1], codes.clone())
            .add(
                &format!("m.weight.quant_state.bitsandbytes__{kind}"),
                "U8",
                &[state.len()],
                state.clone().into_bytes(),
            )
            .floats("m.weight.quant_map", &[16], table);
        let (tensors, absmax): (_, Vec<f32>) = if double {
            let bytes: Vec<u8> = (0..blocks).map(|_| random.next() as u8).collect();
            let map: Vec<f32> = (0..256).map(|i| i as f32 / 200.0 - 0.6).collect();
            let nested = [0.3, 0.1];
            let absmax = (0..blocks).map(|i| map[usize::from(bytes[i])] * nested[i / 256] + 0.25);
            let absmax = absmax.collect();
            let tensors = tensors
                .add("m.weight.absmax", "U8", &[blocks], bytes)
                .floats("m.weight.nested_absmax", &[2], &nested)
                .floats("m.weight.nested_quant_map", &[256], &map);
            (tensors, absmax)
        } else {
            let absmax: Vec<f32> = (0..blocks).map(|i| 0.01 * (1 + i) as f32).collect();
            (
                tensors.floats("m.weight.absmax", &[blocks], &absmax),
                absmax,
            )
        };
        let hub = tensors.hub(r#"{"quant_method":"bitsandbytes","load_in_4bit":true}"#);
        // Scales become halves.
        check(&hub, format, 5e-4, |row, column| {
            let at = row * COLS + column;
            let code = codes[at / 2] >> (4 - 4 * (at % 2)) & 15;
            table[usize::from(code)] * absmax[at / 64]
        });
    }
}

/// Experts one over the other in one tensor, as newer checkpoints store them.
#[test]
fn stacked_experts() {
    let codes: Vec<u8> = (0..2 * 128 * 128).map(|i| (i % 119) as u8).collect();
    let hub = Tensors::default()
        .add(
            "experts.gate_up_proj",
            "F8_E4M3",
            &[2, 128, 128],
            codes.clone(),
        )
        .floats("experts.gate_up_proj_scale_inv", &[2, 1, 1], &[0.5, 2.0])
        .hub(r#"{"quant_method":"fp8"}"#);
    let checkpoint = Checkpoint::open(hub.path()).unwrap();
    let t = checkpoint.tensor("experts.gate_up_proj").unwrap();
    assert_eq!(
        (t.format, t.shape.as_slice()),
        (Format::FP8, &[2, 128, 128][..])
    );
    let mut second = vec![0; 128 * 132];
    checkpoint.read(t, 128 * 132, &mut second).unwrap();
    let mut values = vec![0.0; 128 * 128];
    t.format.dequantize(&second, &mut values);
    for (value, code) in values.iter().zip(&codes[128 * 128..]) {
        assert_eq!(*value, 2.0 * e4m3(*code));
    }
}
