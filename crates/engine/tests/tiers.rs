//! Slots decide how fast an answer comes, never what it says.

mod support;

use moestro_engine::Cancel;
use moestro_engine::protocol::MemorySettings;
use support::{Reference, greedy, load};

const MODELS: [&str; 2] = ["qwen3_next-realdims", "qwen3_moe-tiny"];
const TOKENS: usize = 48;

fn prompt(model: &str) -> Vec<u32> {
    Reference::read(&format!("{model}/reference/short.safetensors")).u32s("input_ids")
}

fn slots(experts_per_layer: usize) -> MemorySettings {
    MemorySettings {
        experts_per_layer: Some(experts_per_layer),
        context: Some(4096),
        ..MemorySettings::default()
    }
}

#[test]
fn one_four_and_all_slots_give_the_same_text() {
    for model in MODELS {
        let all = load(model, None, 2).info.experts_per_layer;
        let mut answers = Vec::new();
        for count in [1, 4, all] {
            let mut engine = load(model, Some(count), 2);
            assert_eq!(engine.placement().experts_per_layer, count);
            let mut session = engine.session();
            answers.push(greedy(
                &mut engine,
                &mut session,
                prompt(model),
                TOKENS,
                |_, _| {},
            ));
            let residency = engine.experts().residency();
            assert!(
                residency
                    .iter()
                    .all(|l| l.resident <= count && l.slots == count)
            );
            let totals = engine.experts().totals();
            assert!(totals.misses > 0 && totals.bytes_read > 0 && totals.uses > totals.tokens);
        }
        assert_eq!(answers[0].len(), TOKENS);
        assert!(
            answers.iter().all(|a| *a == answers[0]),
            "{model}: {answers:?}"
        );
    }
}

#[test]
fn ten_resizes_in_one_answer_change_nothing() {
    for model in MODELS {
        let mut fixed = load(model, None, 2);
        let mut session = fixed.session();
        let expected = greedy(&mut fixed, &mut session, prompt(model), TOKENS, |_, _| {});

        let mut engine = load(model, Some(3), 2);
        let mut session = engine.session();
        let counts = [16, 1, 5, 2, 16, 4, 1, 9, 3, 12];
        let mut resizes = 0;
        let answer = greedy(
            &mut engine,
            &mut session,
            prompt(model),
            TOKENS,
            |engine, step| {
                if step % 4 == 3 && resizes < counts.len() {
                    let count = counts[resizes];
                    let placement = engine.configure(&slots(count)).unwrap();
                    assert_eq!(placement.experts_per_layer, count);
                    let residency = engine.experts().residency();
                    assert!(
                        residency.iter().all(|l| l.resident <= count),
                        "obeyed at once"
                    );
                    resizes += 1;
                }
            },
        );
        assert_eq!(resizes, counts.len());
        assert_eq!(answer, expected, "{model}");
    }
}

#[test]
fn idle_time_fills_the_slots_and_a_smaller_budget_empties_them() {
    let mut engine = load("qwen3_next-realdims", Some(6), 1);
    while engine.fill_one_slot().unwrap() {}
    let rows = engine.info.moe_layers;
    let resident = |e: &moestro_engine::Engine| -> usize {
        e.experts().residency().iter().map(|l| l.resident).sum()
    };
    assert_eq!(resident(&engine), 6 * rows);
    let full = engine.experts().slot_bytes();
    engine.configure(&slots(2)).unwrap();
    assert_eq!(resident(&engine), 2 * rows);
    assert_eq!(engine.experts().slot_bytes(), full / 3);

    let budget = engine.placement().ram_min;
    let tight = MemorySettings {
        ram_budget: Some(budget),
        ..slots(32)
    };
    assert_eq!(engine.configure(&tight).unwrap().experts_per_layer, 1);
    let impossible = MemorySettings {
        ram_budget: Some(budget / 2),
        ..slots(32)
    };
    let refusal = engine.configure(&impossible).unwrap_err().to_string();
    assert!(refusal.contains("at least"), "{refusal}");
    assert_eq!(
        engine.placement().experts_per_layer,
        1,
        "the old placement stays"
    );
}

#[test]
fn a_checkpoint_that_vanishes_ends_the_answer_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("model.gguf");
    std::fs::copy(support::fixture("gguf/qwen3_next-tiny.gguf"), &copy).unwrap();
    let mut engine = load(copy.to_str().unwrap(), Some(1), 1);
    let file = std::fs::OpenOptions::new().write(true).open(&copy).unwrap();
    file.set_len(file.metadata().unwrap().len() / 3).unwrap();
    let mut session = engine.session();
    let request = support::greedy_request(prompt("qwen3_next-tiny"), 8);
    let mut answer = moestro_engine::Generation::new(&engine, &mut session, &request).unwrap();
    let error = loop {
        match answer.step(&mut engine, &mut session, &Cancel::new()) {
            Ok(_) => {}
            Err(error) => break error.failure(),
        }
    };
    assert!(error.message.contains("model.gguf"), "{}", error.message);
    assert_eq!(
        session.len(),
        0,
        "the session is back at a consistent point"
    );
}

#[test]
fn a_second_turn_and_a_repeated_prompt_reuse_the_session() {
    let mut engine = load("qwen3_next-tiny", None, 1);
    let first = prompt("qwen3_next-tiny");
    let mut session = engine.session();
    let answer = greedy(&mut engine, &mut session, first.clone(), 8, |_, _| {});
    assert_eq!(session.len(), first.len() + 7);

    let again = greedy(&mut engine, &mut session, first.clone(), 8, |_, _| {});
    assert_eq!(again, answer, "going back to the snapshot loses nothing");

    let mut second = first.clone();
    second.extend(&answer);
    second.extend([5, 6, 7]);
    let reused = session.rewind_to(&second);
    assert_eq!(reused, first.len() + 7);
    let continued = greedy(&mut engine, &mut session, second.clone(), 8, |_, _| {});
    let mut fresh = engine.session();
    assert_eq!(
        continued,
        greedy(&mut engine, &mut fresh, second, 8, |_, _| {})
    );
}
