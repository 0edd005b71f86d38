//! Slots decide how fast an answer comes, never what it says.

mod support;

use moestro_engine::protocol::{CachePolicy, Component, MemorySettings};
use moestro_engine::{Cancel, LoadOptions, generate_batch};
use support::{Reference, greedy, load};

const MODELS: [&str; 2] = ["qwen3_next-realdims", "qwen3_moe-tiny"];
const TOKENS: usize = 48;

fn prompt(model: &str) -> Vec<u32> {
    Reference::read(&format!("{model}/reference/short.safetensors")).u32s("input_ids")
}

fn slots(experts_per_layer: usize) -> MemorySettings {
    MemorySettings {
        cached_experts_per_layer: Some(experts_per_layer),
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
            let mut session = engine.session().unwrap();
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
        let mut session = fixed.session().unwrap();
        let expected = greedy(&mut fixed, &mut session, prompt(model), TOKENS, |_, _| {});

        let mut engine = load(model, Some(3), 2);
        let mut session = engine.session().unwrap();
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

/// Slots, budgets and policies change at random between any two tokens of many
/// answers: not a token differs and the bytes of slots never exceed the budget.
#[test]
fn a_thousand_changes_between_tokens_change_nothing() {
    let model = "qwen3_next-tiny";
    let mut fixed = load(model, None, 1);
    let mut session = fixed.session().unwrap();
    let expected = greedy(&mut fixed, &mut session, prompt(model), TOKENS, |_, _| {});

    let mut engine = load(model, Some(2), 1);
    let (least, most) = (engine.placement().ram_min, engine.placement().ram_max);
    let all = engine.info.experts_per_layer;
    let policies = [CachePolicy::Learned, CachePolicy::Lru, CachePolicy::Static];
    let mut number = 7u64;
    let mut random = move |end: u64| {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (number >> 33) % end
    };
    let mut changes = 0;
    while changes < 1000 {
        let mut session = engine.session().unwrap();
        let answer = greedy(
            &mut engine,
            &mut session,
            prompt(model),
            TOKENS,
            |engine, _| {
                let settings = MemorySettings {
                    cached_experts_per_layer: (random(2) == 0)
                        .then(|| 1 + random(all as u64) as usize),
                    ram_budget: (random(2) == 0).then(|| least + random(most - least)),
                    policy: Some(policies[random(3) as usize]),
                    context: Some(4096),
                    ..MemorySettings::default()
                };
                let placement = engine.configure(&settings).unwrap().clone();
                let slots = &placement
                    .rows
                    .iter()
                    .find(|r| r.component == Component::ExpertSlots);
                assert!(
                    engine.experts().slot_bytes() <= slots.unwrap().bytes,
                    "obeyed at once"
                );
                let waiting = engine.experts().transit_bytes();
                let allowed = placement
                    .rows
                    .iter()
                    .find(|r| r.component == Component::ReadBuffers);
                assert!(waiting <= allowed.unwrap().bytes);
                changes += 1;
            },
        );
        assert_eq!(answer, expected, "after {changes} changes");
    }
}

#[test]
fn a_batch_answers_as_one_by_one_and_reads_less() {
    let model = "qwen3_next-tiny";
    let requests: Vec<_> = (0..6u32)
        .map(|i| {
            let mut ids = prompt(model);
            ids.truncate(4 + i as usize);
            support::greedy_request(ids, 12 + i as usize)
        })
        .collect();
    let mut engine = load(model, Some(1), 1);
    let mut alone = Vec::new();
    for request in &requests {
        let mut session = engine.session().unwrap();
        let mut answer = moestro_engine::Generation::new(&engine, &mut session, request).unwrap();
        let mut text = String::new();
        loop {
            match answer
                .step(&mut engine, &mut session, &Cancel::new())
                .unwrap()
            {
                moestro_engine::Step::Prefill { .. } => {}
                moestro_engine::Step::Token { text: t, .. } => text.push_str(&t),
                moestro_engine::Step::Finished { text: t, stats, .. } => {
                    text.push_str(&t);
                    alone.push((text, stats.generated_tokens));
                    break;
                }
            }
        }
    }
    let read_alone = engine.experts().totals().bytes_read;

    let mut engine = load(model, Some(1), 1);
    let mut together = vec![None; requests.len()];
    generate_batch(&mut engine, &requests, &Cancel::new(), &mut |answer| {
        let entry = (answer.text, answer.stats.generated_tokens);
        assert!(
            together[answer.request].replace(entry).is_none(),
            "one answer each"
        );
    })
    .unwrap();
    let together: Vec<_> = together.into_iter().map(Option::unwrap).collect();
    assert_eq!(together, alone);
    let read_together = engine.experts().totals().bytes_read;
    assert!(
        read_together < read_alone,
        "{read_together} of {read_alone}"
    );
}

#[test]
fn a_profile_is_kept_and_fills_the_next_cold_start() {
    let folder = tempfile::tempdir().unwrap();
    let load = || {
        let options = LoadOptions {
            memory: slots(3),
            threads: Some(1),
            profiles: Some(folder.path().join("profiles")),
            ..LoadOptions::default()
        };
        let path = support::fixture("gguf/qwen3_next-tiny.gguf");
        let hardware = moestro_engine::hardware::probe();
        moestro_engine::Engine::load(&path, &options, hardware, &Cancel::new(), &mut |_, _, _| {})
            .unwrap()
    };
    let mut engine = load();
    assert_eq!(engine.experts().telemetry().profile_tokens, 0);
    let mut session = engine.session().unwrap();
    greedy(
        &mut engine,
        &mut session,
        prompt("qwen3_next-tiny"),
        TOKENS,
        |_, _| {},
    );
    let used: Vec<Vec<u64>> = engine
        .experts()
        .counters()
        .map(|row| row.iter().map(|c| c.uses).collect())
        .collect();
    engine.experts_mut().save_profile().unwrap();
    drop(engine);

    let mut engine = load();
    assert!(engine.experts().telemetry().profile_tokens > 0);
    while engine.fill_slots().unwrap() {}
    let heat = engine.experts().heat();
    for (row, uses) in used.iter().enumerate() {
        let held = |e: usize| heat[row * uses.len() + e] & 0x80 != 0;
        let least_held = (0..uses.len()).filter(|e| held(*e)).map(|e| uses[e]).min();
        let most_left = (0..uses.len()).filter(|e| !held(*e)).map(|e| uses[e]).max();
        assert!(
            least_held >= most_left,
            "the most used are there before the first question"
        );
    }

    // A damaged one is no reason not to start.
    for file in std::fs::read_dir(folder.path().join("profiles")).unwrap() {
        std::fs::write(file.unwrap().path(), "{").unwrap();
    }
    assert_eq!(load().experts().telemetry().profile_tokens, 0);
}

#[test]
fn a_forecast_comes_with_the_answer() {
    let mut engine = load("qwen3_next-realdims", Some(4), 1);
    assert!(engine.forecast().is_none(), "nothing is known yet");
    let mut session = engine.session().unwrap();
    let ids = prompt("qwen3_next-realdims");
    greedy(&mut engine, &mut session, ids, TOKENS, |_, _| {});
    let forecast = engine.forecast().unwrap();
    assert!(forecast.tokens_per_second > 0.0 && forecast.measured > 0.0);
    assert!(
        forecast.bottleneck.contains("of a token"),
        "{}",
        forecast.bottleneck
    );
    for curve in [&forecast.ram, &forecast.experts] {
        assert!(curve.len() > 1 && curve.is_sorted_by_key(|p| p.value));
        assert!(curve.is_sorted_by_key(|p| p.slots), "more room, more slots");
        let rates: Vec<f64> = curve.iter().map(|p| p.hit_rate).collect();
        assert!(rates.is_sorted(), "{rates:?}");
    }
    assert_eq!(forecast.experts.last().map(|p| p.hit_rate), Some(1.0));
}

#[test]
fn idle_time_fills_the_slots_and_a_smaller_budget_empties_them() {
    let mut engine = load("qwen3_next-realdims", Some(6), 1);
    while engine.fill_slots().unwrap() {}
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
    let mut session = engine.session().unwrap();
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
    let mut session = engine.session().unwrap();
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
    let mut fresh = engine.session().unwrap();
    assert_eq!(
        continued,
        greedy(&mut engine, &mut fresh, second, 8, |_, _| {})
    );
}
