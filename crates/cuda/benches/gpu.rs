//! How fast the first GPU is: `cargo bench -p moestro-cuda --features cuda`.
//!
//! Weights are taken from many copies in turn, so that no cache holds them. Times are
//! those of a queue of many operations, divided by their number.

use std::time::Instant;

use moestro_cuda::*;
use moestro_kernels::{DeltaShape, Format, packed_bytes};

/// The dimensions of Qwen3-Next-80B-A3B.
const HIDDEN: usize = 2048;
const INTERMEDIATE: usize = 512;
const CHOSEN: usize = 10;

/// More bytes of weights than any cache holds.
const UNCACHED: usize = 512 << 20;

fn main() -> Result<()> {
    let gpus = probe().unwrap_or_else(|error| {
        println!("{error}");
        Vec::new()
    });
    let Some(info) = gpus.first() else {
        println!("no GPU, nothing to measure");
        return Ok(());
    };
    println!("{info:?}");
    let gpu = Gpu::open(info.ordinal, free_vram(info.ordinal)?)?;
    let rates = gpu.measure()?;
    println!(
        "upload {:.1} GB/s, memory {:.0} GB/s, launch and wait {:.1} us",
        rates.upload / 1e9,
        rates.memory / 1e9,
        rates.launch * 1e6
    );
    queue(&gpu)?;
    products(&gpu)?;
    experts(&gpu)?;
    attend(&gpu)?;
    recur(&gpu)
}

/// Seconds per call of `f`, which queues operations.
fn time(gpu: &Gpu, calls: usize, mut f: impl FnMut(usize) -> Result<()>) -> Result<f64> {
    f(0)?;
    gpu.wait()?;
    let start = Instant::now();
    for call in 0..calls {
        f(call)?;
    }
    gpu.wait()?;
    Ok(start.elapsed().as_secs_f64() / calls as f64)
}

/// What a launch costs in a row of them.
fn queue(gpu: &Gpu) -> Result<()> {
    let mut x = gpu.zeros(HIDDEN)?;
    let y = gpu.zeros(HIDDEN)?;
    let seconds = time(gpu, 2000, |_| add(gpu, &mut x, &y))?;
    println!("a launch among many: {:.2} us", seconds * 1e6);
    Ok(())
}

/// Weights of finite scales, `copies` times.
fn weights(gpu: &Gpu, bytes: usize, copies: usize) -> Result<Bytes> {
    let mut random = 1u64;
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 56) as u8 & 0xbf
    };
    let one: Vec<u8> = (0..bytes).map(|_| next()).collect();
    let mut all = gpu.bytes(bytes * copies)?;
    for copy in 0..copies {
        all.write(copy * bytes, &one)?;
    }
    Ok(all)
}

fn products(gpu: &Gpu) -> Result<()> {
    const ROWS: usize = 8192;
    println!("{ROWS} x {HIDDEN}: one row, GB/s of weights; 512 rows, Tops");
    for format in Format::all() {
        let bytes = packed_bytes(*format, ROWS, HIDDEN).expect("whole blocks");
        let copies = UNCACHED.div_ceil(bytes);
        let all = weights(gpu, bytes, copies)?;
        let matrix = |call: usize| {
            let at = call % copies * bytes;
            Matrix::new(*format, ROWS, HIDDEN, &all, at).expect("it fits")
        };
        let one = gpu.zeros(HIDDEN)?;
        let many = gpu.zeros(512 * HIDDEN)?;
        let decode = time(gpu, 200, |i| matmul(gpu, matrix(i), &one).map(drop))?;
        let prefill = time(gpu, 10, |i| matmul(gpu, matrix(i), &many).map(drop))?;
        let operations = (2 * 512 * ROWS * HIDDEN) as f64;
        println!(
            "  {:10} {:7.0} {:7.2}",
            format.name(),
            bytes as f64 / decode / 1e9,
            operations / prefill / 1e12
        );
    }
    Ok(())
}

/// The chosen experts of one layer and one token.
fn experts(gpu: &Gpu) -> Result<()> {
    let bytes = packed_bytes(Format::Q4K, INTERMEDIATE, HIDDEN).expect("whole blocks");
    let layers = UNCACHED.div_ceil(3 * bytes * CHOSEN);
    let all = weights(gpu, bytes, 3 * CHOSEN * layers)?;
    let x = gpu.zeros(HIDDEN)?;
    let mut out = gpu.zeros(CHOSEN * HIDDEN)?;
    let seconds = time(gpu, 200, |call| {
        let matrix = |i: usize, rows, cols| {
            let at = (call % layers * 3 * CHOSEN + i) * bytes;
            Matrix::new(Format::Q4K, rows, cols, &all, at).expect("it fits")
        };
        let task = |i: usize| ExpertTask {
            gate: matrix(3 * i, INTERMEDIATE, HIDDEN),
            up: matrix(3 * i + 1, INTERMEDIATE, HIDDEN),
            down: matrix(3 * i + 2, HIDDEN, INTERMEDIATE),
            tokens: &[0],
            first_row: i,
        };
        let tasks: Vec<ExpertTask> = (0..CHOSEN).map(task).collect();
        swiglu(gpu, &x, &tasks, &mut out)
    })?;
    let rate = (3 * CHOSEN * bytes) as f64 / seconds / 1e9;
    println!(
        "{CHOSEN} experts of Q4_K: {:.1} us, {rate:.0} GB/s",
        seconds * 1e6
    );
    Ok(())
}

fn attend(gpu: &Gpu) -> Result<()> {
    let (nq, nkv, d) = (16, 2, 256);
    for positions in [1024, 8192, 32768] {
        let rows = gpu.zeros(1024 * nkv * d)?;
        let mut cache = KvCache::new(gpu, nkv * d, KvFormat::F16);
        for _ in 0..positions / 1024 {
            cache.append(&rows, &rows, 0..1024)?;
        }
        for tokens in [1, 512] {
            let q = gpu.zeros(tokens * nq * d)?;
            let mut out = gpu.zeros(q.len())?;
            let first = positions - tokens;
            let calls = if tokens == 1 { 100 } else { 5 };
            let seconds = time(gpu, calls, |_| {
                attention(gpu, &q, 0..tokens, &cache, nq, nkv, d, first, &mut out)
            })?;
            println!(
                "attention of {tokens} over {positions}: {:.1} us, keys and values {:.0} GB/s",
                seconds * 1e6,
                (positions * nkv * d * 4) as f64 / seconds / 1e9
            );
        }
    }
    Ok(())
}

fn recur(gpu: &Gpu) -> Result<()> {
    let shape = DeltaShape {
        key_heads: 16,
        value_heads: 32,
        key_dim: 128,
        value_dim: 128,
    };
    let (width, taps) = (8192, 4);
    let mut state = gpu.zeros(32 * 128 * 128)?;
    let mut past = gpu.zeros((taps - 1) * width)?;
    let weight = gpu.zeros(taps * width)?;
    let per_head = gpu.zeros(32)?;
    for tokens in [1, 512] {
        let x = gpu.zeros(tokens * width)?;
        let mut qkv = gpu.zeros(tokens * width)?;
        let (a, b) = (gpu.zeros(tokens * 32)?, gpu.zeros(tokens * 32)?);
        let gates = DeltaGates {
            a: &a,
            b: &b,
            a_log: &per_head,
            dt_bias: &per_head,
        };
        let mut out = gpu.zeros(tokens * 4096)?;
        let all = 0..tokens;
        let rule = time(gpu, 50, |_| {
            delta_rule(gpu, shape, &qkv, gates, all.clone(), &mut state, &mut out)
        })?;
        let conv = time(gpu, 50, |_| {
            causal_conv_silu(gpu, &x, all.clone(), &mut past, &weight, taps, &mut qkv)
        })?;
        println!(
            "delta rule of {tokens}: {:.1} us, convolution {:.1} us",
            rule * 1e6,
            conv * 1e6
        );
    }
    Ok(())
}
