//! The distribution that is drawn from, by its definition.

mod common;

use std::collections::BTreeMap;

use common::Random;
use moestro_text::{Sampler, Sampling, TextError};
use serde_json::json;

fn plain() -> Sampling {
    Sampling {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        ..Sampling::default()
    }
}

fn logits(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.unit() * 12.0 - 6.0).collect()
}

/// The probabilities after all filters, sorted and filtered the slow way.
fn reference(s: &Sampling, logits: &[f32]) -> BTreeMap<u32, f64> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    if s.top_k > 0 {
        order.truncate(s.top_k as usize);
    }
    let weight = |i: usize| (f64::from(logits[i]) / f64::from(s.temperature)).exp();
    let total: f64 = order.iter().map(|&i| weight(i)).sum();
    let mut sum = 0.0;
    let mut kept = Vec::new();
    for &i in &order {
        kept.push(i);
        sum += weight(i) / total;
        if s.top_p < 1.0 && sum >= f64::from(s.top_p) {
            break;
        }
    }
    let largest = weight(kept[0]);
    kept.retain(|&i| weight(i) >= f64::from(s.min_p) * largest);
    let total: f64 = kept.iter().map(|&i| weight(i)).sum();
    kept.iter()
        .map(|&i| (i as u32, weight(i) / total))
        .collect()
}

#[test]
fn draws_follow_the_filtered_distribution() {
    let base = plain();
    let settings = [
        base.clone(),
        Sampling {
            temperature: 0.5,
            ..base.clone()
        },
        Sampling {
            top_k: 5,
            ..base.clone()
        },
        Sampling {
            top_p: 0.6,
            ..base.clone()
        },
        Sampling {
            min_p: 0.2,
            ..base.clone()
        },
        Sampling {
            temperature: 0.7,
            top_k: 20,
            top_p: 0.8,
            min_p: 0.05,
            ..base
        },
    ];
    let logits = logits(&mut Random(3), 400);
    for s in settings {
        let expected = reference(&s, &logits);
        let mut sampler = Sampler::new(&s, 5).unwrap();
        const DRAWS: usize = 20_000;
        let mut counts = BTreeMap::new();
        for _ in 0..DRAWS {
            let choice = sampler.sample(&mut logits.clone(), &[]).unwrap();
            *counts.entry(choice.token).or_insert(0usize) += 1;
        }
        for token in counts.keys() {
            assert!(
                expected.contains_key(token),
                "{token} is filtered out by {s:?}"
            );
        }
        for (token, probability) in expected {
            let seen = *counts.get(&token).unwrap_or(&0) as f64 / DRAWS as f64;
            // Five standard deviations of a share.
            let tolerance = 5.0 * (probability / DRAWS as f64).sqrt() + 1e-4;
            assert!(
                (seen - probability).abs() < tolerance,
                "{token}: {seen} {probability} {s:?}"
            );
        }
    }
}

#[test]
fn a_wide_nucleus_is_found_without_sorting() {
    // Nearly flat: the nucleus has thousands of tokens.
    let mut random = Random(9);
    let logits: Vec<f32> = (0..20_000).map(|_| random.unit() * 0.01).collect();
    let s = Sampling {
        top_p: 0.5,
        ..plain()
    };
    let expected = reference(&s, &logits);
    assert!(expected.len() > 9000);
    let mut sampler = Sampler::new(&s, 1).unwrap();
    for _ in 0..500 {
        let token = sampler.sample(&mut logits.clone(), &[]).unwrap().token;
        assert!(expected.contains_key(&token), "{token}");
    }
}

#[test]
fn temperature_zero_takes_the_first_of_the_likeliest() {
    let s = Sampling {
        temperature: 0.0,
        ..Sampling::default()
    };
    let mut sampler = Sampler::new(&s, 0).unwrap();
    let choice = sampler.sample(&mut [1.0, 3.0, 3.0, 2.0], &[]).unwrap();
    assert_eq!(choice.token, 1);
    let sum = 1f32.exp() + 2.0 * 3f32.exp() + 2f32.exp();
    assert!((choice.logprob - (3.0 - sum.ln())).abs() < 1e-6);
}

#[test]
fn equal_seeds_give_equal_tokens() {
    let draw = |seed| {
        let mut sampler = Sampler::new(&Sampling::default(), seed).unwrap();
        let mut random = Random(4);
        (0..200)
            .map(|_| {
                sampler
                    .sample(&mut logits(&mut random, 1000), &[])
                    .unwrap()
                    .token
            })
            .collect::<Vec<u32>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn logprobs_are_the_models_own() {
    let mut random = Random(8);
    let s = Sampling {
        repetition_penalty: 1.5,
        presence_penalty: 0.5,
        ..Sampling::default()
    };
    let mut sampler = Sampler::new(&s, 2).unwrap();
    for _ in 0..50 {
        let logits = logits(&mut random, 5000);
        let history: Vec<u32> = (0..200).map(|_| random.below(6000) as u32).collect();
        let choice = sampler.sample(&mut logits.clone(), &history).unwrap();
        let sum: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
        let expected = f64::from(logits[choice.token as usize]) - sum.ln();
        assert!((f64::from(choice.logprob) - expected).abs() < 1e-5);
    }
}

#[test]
fn penalties_change_the_logits_as_defined() {
    let s = Sampling {
        temperature: 0.0,
        repetition_penalty: 2.0,
        presence_penalty: 0.25,
        frequency_penalty: 0.5,
        ..Sampling::default()
    };
    let mut sampler = Sampler::new(&s, 0).unwrap();
    let mut logits = [4.0, -1.0, 2.0, 0.0];
    // Ids outside the vocabulary are ignored.
    let choice = sampler.sample(&mut logits, &[0, 1, 0, 0, 99]).unwrap();
    assert_eq!(logits, [2.0 - 0.25 - 1.5, -2.0 - 0.25 - 0.5, 2.0, 0.0]);
    assert_eq!(choice.token, 2);
    // The counts are forgotten again.
    let mut logits = [4.0, -1.0, 2.0, 0.0];
    sampler.sample(&mut logits, &[2]).unwrap();
    assert_eq!(logits, [4.0, -1.0, 1.0 - 0.75, 0.0]);
}

#[test]
fn damaged_logits_are_survived() {
    let mut sampler = Sampler::new(&Sampling::default(), 0).unwrap();
    let choice = sampler
        .sample(&mut [f32::NAN, 1.0, f32::NEG_INFINITY], &[])
        .unwrap();
    assert_eq!(choice.token, 1);
    assert!(choice.logprob.abs() < 1e-6);
    let choice = sampler.sample(&mut [0.0, f32::INFINITY, 5.0], &[]).unwrap();
    assert_eq!(choice.token, 1);
    assert!(choice.logprob.is_finite());
    let extreme = Sampling {
        temperature: 1e-30,
        repetition_penalty: 1e-30,
        ..plain()
    };
    let mut sampler = Sampler::new(&extreme, 0).unwrap();
    let choice = sampler
        .sample(&mut [f32::MAX, f32::MIN, 3.0], &[0, 1, 2])
        .unwrap();
    assert!(choice.logprob.is_finite() && choice.token < 3);
    for bad in [vec![], vec![f32::NAN; 4], vec![f32::NEG_INFINITY; 4]] {
        let result = sampler.sample(&mut bad.clone(), &[]);
        assert_eq!(result, Err(TextError::NoUsableLogit));
    }
}

#[test]
fn values_out_of_range_are_named() {
    let cases = [
        (
            Sampling {
                temperature: f32::NAN,
                ..plain()
            },
            "temperature",
        ),
        (
            Sampling {
                temperature: -0.1,
                ..plain()
            },
            "temperature",
        ),
        (
            Sampling {
                temperature: f32::INFINITY,
                ..plain()
            },
            "temperature",
        ),
        (
            Sampling {
                top_p: 0.0,
                ..plain()
            },
            "top_p",
        ),
        (
            Sampling {
                top_p: 1.1,
                ..plain()
            },
            "top_p",
        ),
        (
            Sampling {
                min_p: -0.1,
                ..plain()
            },
            "min_p",
        ),
        (
            Sampling {
                repetition_penalty: 0.0,
                ..plain()
            },
            "repetition_penalty",
        ),
        (
            Sampling {
                presence_penalty: 3.0,
                ..plain()
            },
            "presence_penalty",
        ),
        (
            Sampling {
                frequency_penalty: f32::NAN,
                ..plain()
            },
            "frequency_penalty",
        ),
    ];
    for (s, name) in cases {
        match Sampler::new(&s, 0).map(drop) {
            Err(TextError::Sampling { field, .. }) => assert_eq!(field, name),
            other => panic!("{s:?}: {other:?}"),
        }
    }
    plain().validate().unwrap();
    Sampling::default().validate().unwrap();
}

#[test]
fn generation_configs() {
    let fixture =
        Sampling::from_generation_config(&common::json("tokenizer/generation_config.json"));
    assert_eq!(fixture, Sampling::default());
    assert_eq!(
        Sampling::from_generation_config(&json!({})),
        Sampling::default()
    );
    assert_eq!(
        Sampling::from_generation_config(&json!("text")),
        Sampling::default()
    );
    let greedy = Sampling::from_generation_config(&json!({"do_sample": false, "temperature": 0.9}));
    assert_eq!(greedy.temperature, 0.0);
    let odd = json!({
        "temperature": -1, "top_p": 7, "top_k": -3, "min_p": "x", "repetition_penalty": 1.05,
        "presence_penalty": 1e300, "seed": 3
    });
    let read = Sampling::from_generation_config(&odd);
    assert_eq!(
        read,
        Sampling {
            repetition_penalty: 1.05,
            ..Sampling::default()
        }
    );
}
