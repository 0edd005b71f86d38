//! What the tests share: a GPU that is none, random numbers, weights, comparison.

use moestro_cuda::{Array, Bytes, Gpu, Kernels, Matrix};
use moestro_cuda_emulator::{Emulator, load};
use moestro_kernels::{self as cpu, Compute, Format, pack, packed_bytes};

/// An open GPU. The stand-in, if it is none, is dropped last.
pub struct Fixture {
    pub gpu: Gpu,
    pub c: Compute,
    pub emulator: Option<Emulator>,
}

/// The number of an actual GPU that is to be tested in place of the stand-in, in the
/// variable `MOESTRO_TEST_GPU`; needs the feature `cuda`.
fn actual() -> Option<usize> {
    let number = std::env::var("MOESTRO_TEST_GPU").ok()?;
    Some(
        number
            .parse()
            .expect("MOESTRO_TEST_GPU is the number of a GPU"),
    )
}

/// The stand-in; `None` if an actual GPU is tested, which cannot be made to fail.
pub fn emulated(settings: &str) -> Option<Emulator> {
    actual().is_none().then(|| load(settings))
}

pub fn kernels() -> Kernels {
    Kernels::from_image(b"emulated".to_vec())
}

pub const BUDGET: u64 = 1 << 30;

/// A GPU whose streams go their ways as `seed` says.
pub fn fixture(seed: u64) -> Fixture {
    let emulator = emulated(&format!("seed={seed}"));
    let gpu = match actual() {
        Some(number) => Gpu::open(number, BUDGET),
        None => Gpu::open_with(0, BUDGET, &kernels()),
    };
    Fixture {
        gpu: gpu.expect("the GPU opens"),
        c: Compute::new(1),
        emulator,
    }
}

impl Fixture {
    /// Launches, copies and allocations so far; of an actual GPU nobody knows.
    pub fn counts(&self) -> [u64; 3] {
        self.emulator.as_ref().map_or([0; 3], |emulator| {
            ["launches", "copies", "allocations"].map(|what| emulator.count(what))
        })
    }
}

/// A small reproducible generator (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From -1 to 1.
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }

    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

/// A random matrix with values of about one, whatever the format, on both sides.
pub struct Weights {
    pub format: Format,
    pub rows: usize,
    pub cols: usize,
    pub packed: Vec<u8>,
    pub bytes: Bytes,
    /// The order of columns, four bytes each, behind the weights.
    pub order: Option<Vec<u8>>,
}

impl Weights {
    pub fn new(
        f: &Fixture,
        random: &mut Random,
        format: Format,
        rows: usize,
        cols: usize,
    ) -> Weights {
        Weights::with_order(f, random, format, [rows, cols], None)
    }

    pub fn with_order(
        f: &Fixture,
        random: &mut Random,
        format: Format,
        [rows, cols]: [usize; 2],
        order: Option<Vec<u32>>,
    ) -> Weights {
        let packed = random_matrix(random, format, rows, cols);
        let order = order.map(|o| o.iter().flat_map(|i| i.to_le_bytes()).collect::<Vec<u8>>());
        let mut all = packed.clone();
        all.extend(order.iter().flatten());
        let mut bytes = f.gpu.bytes(all.len()).unwrap();
        bytes.write(0, &all).unwrap();
        Weights {
            format,
            rows,
            cols,
            packed,
            bytes,
            order,
        }
    }

    pub fn on_gpu(&self) -> Matrix<'_> {
        let matrix = Matrix::new(self.format, self.rows, self.cols, &self.bytes, 0).unwrap();
        match self.order {
            Some(_) => matrix.ordered(self.packed.len()).unwrap(),
            None => matrix,
        }
    }

    pub fn on_cpu(&self) -> cpu::Matrix<'_> {
        let matrix = cpu::Matrix::new(self.format, self.rows, self.cols, &self.packed).unwrap();
        match &self.order {
            Some(order) => matrix.ordered(order).unwrap(),
            None => matrix,
        }
    }
}

/// Packed bytes of a matrix whose values are about one.
pub fn random_matrix(random: &mut Random, format: Format, rows: usize, cols: usize) -> Vec<u8> {
    let mut file = random.bytes(rows * format.row_bytes(cols).expect("whole blocks"));
    let half = |x: f32| half::f16::from_f32(x).to_le_bytes();
    for block in file.chunks_exact_mut(format.block_bytes()) {
        let mut set = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        let x = random.float();
        match format {
            Format::F32 => set(0, &x.to_le_bytes()),
            Format::F16 => set(0, &half(x)),
            Format::BF16 => set(0, &half::bf16::from_f32(x).to_le_bytes()),
            Format::Q4_0 | Format::Q5_0 | Format::IQ4NL => set(0, &half(x / 16.0)),
            Format::Q4_1 | Format::Q5_1 => set(0, &[half(x / 16.0), half(-x)].concat()),
            Format::Q8_0 => set(0, &half(x / 128.0)),
            Format::Q2K => set(80, &[half(x / 16.0), half(x / 16.0)].concat()),
            Format::Q3K => set(108, &half(x / 64.0)),
            Format::Q4K | Format::Q5K => set(0, &[half(x / 512.0), half(x / 64.0)].concat()),
            Format::Q6K => set(208, &half(x / 2048.0)),
            Format::IQ4XS => set(0, &half(x / 2048.0)),
            Format::MXFP4 => set(0, &[125]),
            Format::FP8 => set(0, &(x / 256.0).to_le_bytes()),
            Format::NF4 | Format::FP4 => set(0, &[half(x), half(-x)].concat()),
            Format::INT4_128 => set(0, &half(x / 16.0)),
            Format::INT4_64 => set(0, &[half(x / 16.0), half(x / 9.0)].concat()),
            Format::INT8_128 => set(0, &half(x / 128.0)),
            Format::INT4_32 | Format::INT8_32 => {
                let scales = [2.0, 3.0, 4.0, 7.0].map(|n| half(x / n / 32.0));
                set(0, &scales.concat());
            }
        }
    }
    let mut packed = vec![0; packed_bytes(format, rows, cols).expect("a small matrix")];
    pack(format, cols, &file, &mut packed);
    packed
}

/// Fails unless every value is within `tolerance` of `want`, as a part of the largest
/// value wanted.
#[track_caller]
pub fn assert_close(got: &[f32], want: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let largest = want.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got - want).abs();
        assert!(
            error <= tolerance * largest,
            "{what}: element {i} is {got}, not {want} (off by {error:.2e} of {largest:.2e})"
        );
    }
}

/// Fails unless the bits are equal.
#[track_caller]
pub fn assert_same(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(
            got.to_bits() == want.to_bits(),
            "{what}: element {i} is {got}, not exactly {want}"
        );
    }
}

/// `values` on the GPU.
pub fn put(f: &Fixture, values: &[f32]) -> Array {
    f.gpu.array(values).unwrap()
}
