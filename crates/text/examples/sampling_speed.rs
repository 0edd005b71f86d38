//! Prints the processor time that choosing a token takes with Qwen3's vocabulary
//! (Linux). Run with
//! `cargo run --release -p moestro-text --example sampling_speed`.

use moestro_text::{Sampler, Sampling};

const VOCABULARY: usize = 151_936;
const TOKENS: usize = 200;

fn main() {
    // A bell curve with a few likely tokens, as models give.
    let mut state = 1u64;
    let mut unit = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let logits: Vec<f32> = (0..VOCABULARY)
        .map(|_| (0..6).map(|_| unit()).sum::<f32>() * 8.0 - 24.0)
        .collect();
    let history: Vec<u32> = (0..8192).map(|i| i * 18).collect();
    let default = Sampling::default();
    let settings = [
        (
            "greedy",
            Sampling {
                temperature: 0.0,
                ..default.clone()
            },
        ),
        ("top-k 20, top-p 0.8", default.clone()),
        (
            "the same with penalties over 8,192 tokens",
            Sampling {
                repetition_penalty: 1.1,
                presence_penalty: 0.5,
                ..default.clone()
            },
        ),
        (
            "top-p 0.95 alone",
            Sampling {
                top_k: 0,
                top_p: 0.95,
                ..default.clone()
            },
        ),
        (
            "min-p 0.05 alone",
            Sampling {
                top_k: 0,
                top_p: 1.0,
                min_p: 0.05,
                ..default.clone()
            },
        ),
        (
            "no filter",
            Sampling {
                top_k: 0,
                top_p: 1.0,
                ..default
            },
        ),
    ];
    for (name, sampling) in settings {
        let mut sampler = Sampler::new(&sampling, 1).expect("valid values");
        let mut copies: Vec<Vec<f32>> = (0..TOKENS).map(|_| logits.clone()).collect();
        let start = processor_nanos();
        for copy in &mut copies {
            sampler.sample(copy, &history).expect("usable logits");
        }
        let micros = (processor_nanos() - start) as f64 / 1e3 / TOKENS as f64;
        println!("{name}: {micros:.0} us per token");
    }
}

/// Time this thread has run, not counting what other processes took.
fn processor_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .expect("a number")
}
