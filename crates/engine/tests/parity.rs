//! Logits, router choices and greedy text equal those of Hugging Face
//! Transformers in float32, for every architecture and kind of checkpoint; as users
//! run a model, with rounded activations, they stay close.

mod support;

use moestro_engine::{Cancel, Precision};
use support::{Reference, greedy, load, load_in};

/// Router choices are compared where the reference's margin between the last
/// chosen and the first rejected expert exceeds this.
const CLEAR_MARGIN: f32 = 1e-4;

/// Worst differences over one prompt.
#[derive(Debug, Default)]
struct Parity {
    logits: f32,
    routes_compared: usize,
    tokens_compared: usize,
}

fn check(checkpoint: &str, reference: &str, threads: usize, tolerance: f32) -> Parity {
    let mut engine = load(checkpoint, None, threads);
    let expected = Reference::read(reference);
    let ids = expected.u32s("input_ids");
    let mut parity = Parity::default();

    let positions = expected.u32s("logits_pos");
    let wanted = expected.f32s("logits");
    let argmax = expected.u32s("argmax");
    let vocabulary = engine.info.vocabulary;
    engine.experts_mut().record_routes();
    engine
        .each_logits(&ids, &Cancel::new(), &mut |first, logits| {
            let rows = logits.to_vec2::<f32>()?;
            for (row, logits) in rows.iter().enumerate() {
                let position = first + row;
                let Some(at) = positions.iter().position(|p| *p as usize == position) else {
                    continue;
                };
                let wanted = &wanted[at * vocabulary..(at + 1) * vocabulary];
                for (got, want) in logits.iter().zip(wanted) {
                    parity.logits = parity.logits.max((got - want).abs());
                }
                let best = (0..vocabulary).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
                assert_eq!(
                    best,
                    Some(argmax[position] as usize),
                    "{reference}: at {position}"
                );
            }
            Ok(())
        })
        .unwrap();
    assert!(
        parity.logits <= tolerance,
        "{reference}: logits differ by {}",
        parity.logits
    );

    let routes = engine.experts_mut().take_routes();
    let chosen = expected.u16s("router_topk");
    let margins = expected.f32s("router_margin");
    let k = engine.info.experts_per_token;
    assert_eq!(routes.iter().map(Vec::len).sum::<usize>(), chosen.len());
    for (i, (got, want)) in routes.concat().chunks(k).zip(chosen.chunks(k)).enumerate() {
        if margins[i] <= CLEAR_MARGIN {
            continue;
        }
        let sorted = |ids: &[u32]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        assert_eq!(
            sorted(got),
            sorted(want),
            "{reference}: layer row {}",
            i / ids.len()
        );
        parity.routes_compared += 1;
    }

    let mut session = engine.session().unwrap();
    let generated = greedy(&mut engine, &mut session, ids, 32, |_, _| {});
    // Where the reference's two best tokens are closer to each other than these logits
    // are to its own, either may come first, and all that follows with it.
    let margins = expected.f32s("greedy_margin");
    let sure = |margin: &f32| *margin > 2.0 * parity.logits;
    parity.tokens_compared = margins.iter().take_while(|m| sure(m)).count();
    assert_eq!(
        generated[..parity.tokens_compared],
        expected.u32s("greedy_ids")[..parity.tokens_compared],
        "{reference}: greedy text"
    );
    assert!(parity.tokens_compared > 15, "{reference}: {parity:?}");
    println!("{reference}: {parity:?}");
    parity
}

/// BF16 weights computed in float32, prompts of 18, 300 and 2,000 tokens.
fn hub(name: &str) {
    for prompt in ["short", "p300", "p2000"] {
        let reference = format!("{name}/reference/{prompt}.safetensors");
        let parity = check(name, &reference, 2, 1e-4);
        assert!(parity.routes_compared > 10, "{parity:?}");
    }
}

#[test]
fn qwen3_next_tiny() {
    hub("qwen3_next-tiny");
}

#[test]
fn qwen3_next_with_dense_layers_and_tied_head() {
    hub("qwen3_next-variants");
}

#[test]
fn qwen3_next_with_real_head_sizes() {
    hub("qwen3_next-realdims");
}

#[test]
fn qwen3_moe() {
    hub("qwen3_moe-tiny");
}

/// GGUF files against the logits of their dequantized weights.
fn gguf(file: &str, reference: &str) {
    for prompt in ["short", "p300"] {
        let reference = format!("gguf/reference/{reference}/{prompt}.safetensors");
        check(&format!("gguf/{file}"), &reference, 2, 2e-3);
    }
}

#[test]
fn gguf_with_split_projections() {
    gguf("qwen3_next-tiny.gguf", "qwen3_next-tiny");
}

#[test]
fn gguf_with_the_older_fused_projections() {
    gguf("qwen3_next-tiny-legacy.gguf", "qwen3_next-tiny");
}

#[test]
fn gguf_in_three_files() {
    gguf(
        "qwen3_next-tiny-split-00001-of-00003.gguf",
        "qwen3_next-tiny",
    );
}

#[test]
fn gguf_in_every_weight_format() {
    gguf("qwen3_next-types.gguf", "qwen3_next-types");
}

#[test]
fn gguf_of_qwen3_moe() {
    gguf("qwen3_moe-types.gguf", "qwen3_moe-types");
}

/// Quantized safetensors against the logits of their dequantized weights.
#[test]
fn safetensors_packed_in_every_way() {
    for name in support::packed_fixtures() {
        let folder = support::packed(&name);
        let checkpoint = folder.path().to_str().expect("a readable path");
        for prompt in ["short", "p300"] {
            let reference = format!("packed/{name}/reference/{prompt}.safetensors");
            check(checkpoint, &reference, 2, 2e-3);
        }
    }
}

/// How far the logits are from the reference's when weights are used as stored,
/// activations rounded to bytes, and keys and values kept in half precision: the
/// root of the mean square difference, as a share of the logits' own.
fn distance_as_stored(checkpoint: &str, reference: &str) -> f64 {
    let mut engine = load_in(Precision::Stored, checkpoint, None, 2);
    let expected = Reference::read(reference);
    let positions = expected.u32s("logits_pos");
    let wanted = expected.f32s("logits");
    let vocabulary = engine.info.vocabulary;
    let (mut error, mut size) = (0.0, 0.0);
    let ids = expected.u32s("input_ids");
    engine
        .each_logits(&ids, &Cancel::new(), &mut |first, logits| {
            for (row, logits) in logits.to_vec2::<f32>()?.iter().enumerate() {
                let position = (first + row) as u32;
                let Some(at) = positions.iter().position(|p| *p == position) else {
                    continue;
                };
                let wanted = &wanted[at * vocabulary..(at + 1) * vocabulary];
                for (got, want) in logits.iter().zip(wanted) {
                    error += f64::from(got - want).powi(2);
                    size += f64::from(*want).powi(2);
                }
            }
            Ok(())
        })
        .unwrap();
    let distance = (error / size).sqrt();
    println!("{reference} as stored: {distance:.2e}");
    distance
}

#[test]
fn as_stored_the_logits_stay_close() {
    let cases = [
        // BF16 weights: only keys and values are rounded.
        (
            "qwen3_next-tiny",
            "qwen3_next-tiny/reference/p300.safetensors",
            1e-3,
        ),
        (
            "qwen3_moe-tiny",
            "qwen3_moe-tiny/reference/p300.safetensors",
            1e-3,
        ),
        (
            "gguf/qwen3_next-tiny.gguf",
            "gguf/reference/qwen3_next-tiny/p300.safetensors",
            0.02,
        ),
        (
            "gguf/qwen3_next-types.gguf",
            "gguf/reference/qwen3_next-types/p300.safetensors",
            0.02,
        ),
        (
            "gguf/qwen3_moe-types.gguf",
            "gguf/reference/qwen3_moe-types/p300.safetensors",
            0.02,
        ),
    ];
    for (checkpoint, reference, tolerance) in cases {
        let distance = distance_as_stored(checkpoint, reference);
        assert!(distance <= tolerance, "{reference}: {distance}");
    }
}

#[test]
fn one_thread_computes_the_same() {
    check(
        "qwen3_next-tiny",
        "qwen3_next-tiny/reference/p300.safetensors",
        1,
        1e-4,
    );
}
