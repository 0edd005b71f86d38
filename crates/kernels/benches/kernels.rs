//! Speed of the kernels that decide tokens per second, beside the memory read
//! bandwidth measured in the same run.
//!
//! `cargo bench -p moestro-kernels [-- THREADS] [CODE ...] [KERNEL ...]`, where CODE is
//! `portable`, `AVX2`, `AVX-512 (256 bits)` or `AVX-512`. Weights are spread over more
//! memory than the caches hold, as they are in a model. Figures are medians (of single
//! products: the best of hundreds, which other work on the machine disturbs least) by
//! the clock and, in brackets, by the processor time of the calling thread: on a
//! machine that is busy with other things the latter says more.

use moestro_kernels::{
    AlignedBytes, Compute, DeltaShape, ExpertTask, Format, Isa, KvSlice, Matrix, Rows, attention,
    delta_rule, matmul, swiglu,
};
use std::time::Instant;

const ROUNDS: usize = 5;
const WEIGHT_BYTES: usize = 256 << 20;

fn main() {
    let threads: Option<usize> = std::env::args().find_map(|a| a.parse().ok());
    let (codes, names): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .filter(|a| a.starts_with(char::is_alphabetic))
        .partition(|a| Isa::ALL.iter().any(|isa| isa.to_string() == *a));
    let among = |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let wanted = |name: &str| among(&names, name);
    let available = std::thread::available_parallelism().map_or(1, |n| n.get());
    let counts = threads.map_or(vec![1, available], |n| vec![n]);
    let data = random_bytes(WEIGHT_BYTES);
    for threads in counts {
        for isa in Isa::ALL {
            if !among(&codes, &isa.to_string()) {
                continue;
            }
            let Some(c) = Compute::with_isa(threads, isa) else {
                continue;
            };
            println!("\n{threads} threads, {isa}");
            bandwidth(&c, &data);
            for shape in [[512, 2048], [2048, 512]] {
                for t in [1, 8, 10, 64] {
                    // Beside the format that most models are in.
                    let mut usual = None;
                    for format in [Format::Q4K].iter().chain(Format::all()) {
                        let first = usual.is_none() && names_any(wanted);
                        if first || wanted("matmul") || wanted(format.name()) {
                            let speed = products(&c, *format, shape, t, &data, usual);
                            usual = usual.or(Some(speed));
                        }
                    }
                }
            }
            for n in [1, 10] {
                if wanted("swiglu") {
                    experts(&c, n, &data);
                }
            }
            if wanted("delta") {
                delta(&c);
            }
            if wanted("attention") {
                heads(&c);
            }
            bandwidth(&c, &data);
        }
    }
}

/// Random bytes in which every scale of every format is a small number.
fn random_bytes(len: usize) -> AlignedBytes {
    let mut bytes = AlignedBytes::try_new(len).expect("memory for the weights");
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for word in bytes.as_chunks_mut::<8>().0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // The upper byte of whatever is read as a half or a bfloat: a normal
        // number well below one.
        *word = ((state & 0x87ff_87ff_87ff_87ff) | 0x2000_2000_2000_2000).to_le_bytes();
    }
    bytes
}

fn floats(n: usize) -> Vec<f32> {
    (0..n)
        .map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0)
        .collect()
}

/// Seconds of processor time that the calling thread has used.
fn processor_time() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes to `time`, which it may.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "every Linux has this clock");
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The median time of a call in seconds, by the clock and by the processor.
fn time(mut f: impl FnMut()) -> [f64; 2] {
    f();
    let mut times = [[0.0; ROUNDS]; 2];
    let [clock, processor] = &mut times;
    for (clock, processor) in clock.iter_mut().zip(processor) {
        let (start, before) = (Instant::now(), processor_time());
        f();
        *clock = start.elapsed().as_secs_f64();
        *processor = processor_time() - before;
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    })
}

fn bandwidth(c: &Compute, data: &[u8]) {
    const PIECE: usize = 1 << 20;
    let seconds = time(|| {
        c.parallel(data.len() / PIECE, &|i| {
            let (words, _) = data[i * PIECE..][..PIECE].as_chunks::<64>();
            let mut sum = [0u64; 8];
            for word in words {
                for (sum, b) in sum.iter_mut().zip(word.as_chunks::<8>().0) {
                    *sum ^= u64::from_le_bytes(*b);
                }
            }
            std::hint::black_box(sum);
        });
    });
    report("read bandwidth", seconds, data.len(), 0);
}

/// Is any format, or all of them, to be measured?
fn names_any(wanted: impl Fn(&str) -> bool) -> bool {
    wanted("matmul") || Format::all().iter().any(|f| wanted(f.name()))
}

/// Bytes of weights per second and activation rows, as a share of `usual` if given.
fn products(
    c: &Compute,
    format: Format,
    [rows, cols]: [usize; 2],
    t: usize,
    data: &[u8],
    usual: Option<f64>,
) -> f64 {
    let bytes = rows * format.row_bytes(cols).expect("whole blocks");
    // Fewer matrices for more rows of input: these are bound by arithmetic.
    let count = (data.len() / bytes) / if t > 1 { 8 } else { 1 };
    let x = floats(t * cols);
    let mut out = vec![0.0; t * rows];
    let mut seconds = [f64::MAX; 2];
    for data in data.chunks_exact(bytes).take(count) {
        let w = Matrix::new(format, rows, cols, data).expect("the size was computed");
        let (start, before) = (Instant::now(), processor_time());
        matmul(c, w, &x, &mut out);
        seconds[0] = seconds[0].min(start.elapsed().as_secs_f64());
        seconds[1] = seconds[1].min(processor_time() - before);
    }
    let speed = bytes as f64 / seconds[1];
    let share = usual.map_or(1.0, |usual| speed / usual);
    report(
        &format!("{share:4.2} {format} [{rows}, {cols}] x {t}"),
        seconds,
        bytes,
        2 * rows * cols * t,
    );
    speed
}

fn experts(c: &Compute, n: usize, data: &[u8]) {
    let (hidden, intermediate, used) = (2048, 512, 10);
    let bytes = |f: Format| intermediate * f.row_bytes(hidden).expect("whole blocks");
    let (wide, narrow) = (Format::Q4K, Format::Q6K);
    let expert = 2 * bytes(wide) + bytes(narrow);
    let x = floats(n * hidden);
    let tokens: Vec<u32> = (0..n as u32).collect();
    let mut outs = vec![vec![0.0; n * hidden]; used];
    let layers = data.len() / (used * expert);
    let seconds = time(|| {
        for layer in data.chunks_exact(used * expert) {
            let mut tasks: Vec<ExpertTask> = layer
                .chunks_exact(expert)
                .zip(&mut outs)
                .map(|(data, out)| {
                    let (gate, rest) = data.split_at(bytes(wide));
                    let (up, down) = rest.split_at(bytes(wide));
                    let matrix =
                        |f, rows, cols, data| Matrix::new(f, rows, cols, data).expect("fits");
                    ExpertTask {
                        gate: matrix(wide, intermediate, hidden, gate),
                        up: matrix(wide, intermediate, hidden, up),
                        down: matrix(narrow, hidden, intermediate, down),
                        tokens: &tokens,
                        out,
                    }
                })
                .collect();
            swiglu(c, &x, &mut tasks);
        }
    })
    .map(|s| s / layers as f64);
    let flops = used * n * 6 * hidden * intermediate;
    report(
        &format!("swiglu {used} experts Q4_K/Q6_K x {n}"),
        seconds,
        used * expert,
        flops,
    );
}

fn report(what: &str, seconds: [f64; 2], bytes: usize, flops: usize) {
    let [clock, processor] = seconds;
    let giga = |n: usize, s: f64| n as f64 / s / 1e9;
    println!(
        "  {what:<44} {:6.1} ({:5.1}) GB/s {:9.1} ({:8.1}) us {:6.1} ({:6.1}) GFLOP/s",
        giga(bytes, clock),
        giga(bytes, processor),
        clock * 1e6,
        processor * 1e6,
        giga(flops, clock),
        giga(flops, processor)
    );
}

fn delta(c: &Compute) {
    let shape = DeltaShape {
        key_heads: 16,
        value_heads: 32,
        key_dim: 128,
        value_dim: 128,
    };
    for t in [1, 16, 32, 64, 512] {
        let qkv = floats(t * 8192);
        let g = vec![-0.1; t * 32];
        let beta = vec![0.5; t * 32];
        let mut state = vec![0.0; 32 * 128 * 128];
        let mut out = vec![0.0; t * 4096];
        let q = Rows::strided(&qkv, 2048, 8192, 0);
        let k = Rows::strided(&qkv, 2048, 8192, 2048);
        let v = Rows::strided(&qkv, 4096, 8192, 4096);
        let repeat = 512 / t;
        let [clock, processor] = time(|| {
            for _ in 0..repeat {
                delta_rule(c, shape, q, k, v, &g, &beta, &mut state, &mut out);
            }
        })
        .map(|seconds| seconds * 1e6 / (repeat * t) as f64);
        println!(
            "  delta rule, 32 heads of 128 x 128, {t:3} tokens: {clock:.1} ({processor:.1}) us/token"
        );
    }
}

fn heads(c: &Compute) {
    let (nq, nkv, d) = (16, 2, 256);
    for (t, first) in [(1, 1023), (1, 32767), (512, 0), (512, 8192)] {
        let len = first + t;
        let q = floats(t * nq * d);
        let kv: Vec<half::f16> = floats(len * nkv * d)
            .into_iter()
            .map(half::f16::from_f32)
            .collect();
        let mut out = vec![0.0; t * nq * d];
        let seconds = time(|| {
            let (k, v) = (KvSlice::F16(&kv), KvSlice::F16(&kv));
            attention(c, &q, k, v, nq, nkv, d, first, &mut out);
        });
        let flops = 4 * t * nq * d * (first + t / 2);
        report(
            &format!("attention 16/2 heads of 256, {t} after {first}"),
            seconds,
            4 * len * nkv * d,
            flops,
        );
    }
}
