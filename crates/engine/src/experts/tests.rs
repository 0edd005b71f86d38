//! Budgets, failures and giving up, with a source that can be told to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use moestro_checkpoint::CheckpointError;
use moestro_kernels::Format;
use moestro_residency::{Policy, Random};

use super::source::Source;
use super::{Experts, in_flight};
use crate::cancel::Cancel;
use crate::error::EngineError;
use crate::weights::{ExpertLayout, ExpertPart, ExpertSegment, LayerExperts};

const EXPERTS: usize = 24;
const CHOSEN: usize = 4;
const ROWS: usize = 3;

/// Every matrix is filled with the number of its layer, expert and part.
#[derive(Default)]
struct Numbered {
    broken: AtomicBool,
}

fn number(layer: usize, expert: u32, part: usize) -> u8 {
    (layer * 101 + expert as usize * 7 + part) as u8
}

impl Source for Numbered {
    fn read(
        &self,
        layer: &LayerExperts,
        expert: u32,
        part: usize,
        _scratch: &mut [u8],
        out: &mut [u8],
    ) -> Result<(), CheckpointError> {
        if self.broken.load(Ordering::SeqCst) && expert % 2 == 1 {
            // As a sector that cannot be read.
            return Err(CheckpointError::OutsideTensor {
                name: format!("expert {expert}"),
                bytes: 0,
                from: 0,
                length: out.len(),
            });
        }
        out.fill(number(layer.layer, expert, part));
        Ok(())
    }
}

fn layer(number: usize) -> LayerExperts {
    let part = |offset| ExpertPart {
        format: Format::F32,
        kept_as: Format::F32,
        rows: 16,
        cols: 32,
        offset,
        bytes: 2048,
        file_bytes: 2048,
        scratch: 0,
        order: 0,
    };
    LayerExperts {
        layer: number,
        layout: ExpertLayout {
            gate: part(0),
            up: part(2048),
            down: part(4096),
            slot_bytes: 6144,
        },
        experts: vec![
            [ExpertSegment {
                tensor: 0,
                offset: 0
            }; 3];
            EXPERTS
        ],
    }
}

fn experts(slots: usize) -> (Experts, Arc<Numbered>) {
    let source = Arc::new(Numbered::default());
    let layers = (0..ROWS).map(layer).collect();
    let policy = Policy::Learned;
    let experts = Experts::with_source(source.clone(), layers, CHOSEN, slots, policy).unwrap();
    (experts, source)
}

fn distinct(random: &mut Random, count: usize) -> Vec<u32> {
    let mut chosen: Vec<u32> = Vec::new();
    while chosen.len() < count {
        let e = random.below(EXPERTS) as u32;
        if !chosen.contains(&e) {
            chosen.push(e);
        }
    }
    chosen
}

/// Runs a step and checks that every wanted expert is handed out once, with the
/// right contents.
fn step(e: &mut Experts, row: usize, wanted: &[u32]) -> crate::error::Result<()> {
    let never = Cancel::new();
    let mut seen = vec![false; wanted.len()];
    e.begin(row, wanted);
    while let Some(ready) = e.ready(&never)? {
        for at in ready {
            assert!(!std::mem::replace(&mut seen[at], true), "handed out twice");
            for (part, matrix) in e.matrices(row, wanted[at]).iter().enumerate() {
                let expected = number(row, wanted[at], part);
                assert!(matrix.data().iter().all(|b| *b == expected));
            }
        }
        assert!(
            e.slot_bytes() + e.transit_bytes() <= budget(e),
            "the budget is kept"
        );
    }
    assert!(seen.iter().all(|s| *s), "all were handed out");
    e.copy_up()
}

fn budget(e: &Experts) -> u64 {
    let slots: usize = (0..ROWS).map(|row| e.slots(row)).sum();
    (slots + in_flight(CHOSEN, EXPERTS)) as u64 * 6144
}

fn decode(e: &mut Experts, random: &mut Random) -> crate::error::Result<()> {
    for row in 0..ROWS {
        let mut ids = distinct(random, CHOSEN);
        e.record_routing(row, &mut ids, CHOSEN);
        step(e, row, &ids)?;
    }
    Ok(())
}

#[test]
fn a_thousand_resizes_never_exceed_the_budget_or_mix_up_experts() {
    let mut random = Random::new(4);
    let (mut e, _) = experts(8);
    for _ in 0..1000 {
        let slots = random.below(EXPERTS + 1);
        let even = random.below(2) == 0;
        e.resize(slots, even);
        assert!(
            e.slot_bytes() <= (slots * ROWS) as u64 * 6144,
            "obeyed at once"
        );
        if random.below(4) == 0 {
            // A prompt: more experts than may be on their way at once.
            let tokens = 1 + random.below(6);
            for row in 0..ROWS {
                let mut ids: Vec<u32> = (0..tokens)
                    .flat_map(|_| distinct(&mut random, CHOSEN))
                    .collect();
                e.record_routing(row, &mut ids, CHOSEN);
                ids.sort_unstable();
                ids.dedup();
                step(&mut e, row, &ids).unwrap();
            }
        } else {
            decode(&mut e, &mut random).unwrap();
        }
        if random.below(8) == 0 {
            e.fill().unwrap();
        }
        e.reallocate();
    }
    let (totals, resident) = (e.totals(), e.residency());
    assert!(totals.hits > 0 && totals.misses > 0);
    assert!(resident.iter().all(|l| l.resident <= l.slots));
    e.resize(0, true);
    assert_eq!(e.slot_bytes(), 0);
}

#[test]
fn a_failed_read_ends_the_step_and_nothing_else() {
    let mut random = Random::new(5);
    let (mut e, source) = experts(6);
    for _ in 0..20 {
        decode(&mut e, &mut random).unwrap();
    }
    source.broken.store(true, Ordering::SeqCst);
    let mut failures = 0;
    for _ in 0..50 {
        match decode(&mut e, &mut random) {
            Err(EngineError::ExpertRead(cause)) => {
                assert!(cause.to_string().contains("expert"), "{cause}");
                failures += 1;
            }
            other => other.unwrap(),
        }
        assert!(e.slot_bytes() + e.transit_bytes() <= budget(&e));
    }
    assert!(failures > 10);
    source.broken.store(false, Ordering::SeqCst);
    for _ in 0..20 {
        decode(&mut e, &mut random).unwrap();
    }
}

#[test]
fn a_cancelled_step_leaves_everything_in_order() {
    let mut random = Random::new(6);
    let (mut e, _) = experts(4);
    for round in 0..200 {
        let wanted = distinct(&mut random, 12);
        e.begin(0, &wanted);
        let cancel = Cancel::new();
        for _ in 0..round % 3 {
            e.ready(&cancel).unwrap();
        }
        cancel.cancel();
        assert!(matches!(e.ready(&cancel), Err(EngineError::Cancelled)));
        assert!(e.slot_bytes() + e.transit_bytes() <= budget(&e));
        decode(&mut e, &mut random).unwrap();
    }
}

#[test]
fn free_slots_fill_in_the_order_of_use() {
    let mut random = Random::new(7);
    let (mut e, _) = experts(0);
    (0..10).for_each(|_| decode(&mut e, &mut random).unwrap());
    e.resize(5, true);
    while e.fill().unwrap() {}
    for row in 0..ROWS {
        let resident = e.layers[row].resident();
        let best = &resident.ranking().order()[..5];
        assert!(best.iter().all(|expert| resident.slots().holds(*expert)));
    }
    let hits = e.totals().hits;
    let wanted = e.layers[1].resident().ranking().order()[..CHOSEN].to_vec();
    step(&mut e, 1, &wanted).unwrap();
    assert_eq!(e.totals().hits, hits + CHOSEN as u64);
}

/// What is foretold for other numbers of slots from one run is what those runs do.
#[test]
fn foretold_hits_are_measured_hits() {
    // Long enough for every expert to have been used before the last of them.
    const TOKENS: usize = 1500;
    let trace = Arc::new(moestro_residency::local(
        ROWS,
        EXPERTS,
        CHOSEN,
        TOKENS,
        &moestro_residency::Locality::published(),
        9,
    ));
    // Recency alone: a rule that changes on the way would be another cache.
    let run = |slots: usize| {
        let (mut e, _) = experts(slots);
        e.set_policy(Policy::Lru);
        e.replay(Some(trace.clone())).unwrap();
        let mut before = 0;
        for token in 0..TOKENS {
            if token == TOKENS - super::REMEMBERED {
                before = e.totals().hits;
            }
            for row in 0..ROWS {
                let mut ids = vec![0; CHOSEN];
                e.record_routing(row, &mut ids, CHOSEN);
                step(&mut e, row, &ids).unwrap();
            }
            e.note_token(0.01);
        }
        let uses = (super::REMEMBERED * ROWS * CHOSEN) as f64;
        let rate = (e.totals().hits - before) as f64 / uses;
        (e, rate)
    };
    let (seen, _) = run(5);
    let forecaster = seen.forecaster().unwrap();
    for slots in [4, 8, 12, 20, 24] {
        let (_, told) = forecaster.at(slots);
        let (_, measured) = run(slots);
        assert!(
            (told - measured).abs() < 1e-9,
            "{slots}: {told} for {measured}"
        );
    }
}

/// A tier above changes no result, keeps its budget, and on its own clock is never
/// slower than none by more than 2%.
#[test]
fn a_stand_in_for_vram_is_exact_within_budget_and_never_slower() {
    use moestro_residency::{Link, Locality, adversarial, local, uniform};
    let near = || local(ROWS, EXPERTS, CHOSEN, 800, &Locality::published(), 3);
    let traces = [
        (near(), true),
        (uniform(ROWS, EXPERTS, CHOSEN, 800, 3), false),
        (adversarial(ROWS, EXPERTS, CHOSEN, 800), false),
    ];
    for (trace, friendly) in traces {
        for bus in [25e9, 50e9] {
            let (mut e, _) = experts(EXPERTS);
            let link = Link::bus(1_769_472, bus, 60e9, 700e9, 10e-6);
            e.stand_in(8, link);
            e.replay(Some(Arc::new(trace.clone()))).unwrap();
            for _ in 0..800 {
                for row in 0..ROWS {
                    let mut ids = vec![0; CHOSEN];
                    e.record_routing(row, &mut ids, CHOSEN);
                    step(&mut e, row, &ids).unwrap();
                }
                let (_, _, bytes) = e.stand_in_clock().unwrap();
                assert!(bytes <= (8 * ROWS) as u64 * 6144);
            }
            let (seconds, plain, bytes) = e.stand_in_clock().unwrap();
            assert!(seconds <= plain * 1.02, "{seconds} for {plain}");
            if friendly {
                assert!(seconds < plain * 0.9 && bytes > 0, "{seconds} for {plain}");
            }
        }
    }
}

/// Guesses, right and wrong, change no content and keep the budget.
#[test]
fn preloading_on_guesses_is_exact_and_within_budget() {
    let mut random = Random::new(8);
    let (mut e, source) = experts(6);
    e.set_preloading(true);
    for token in 0..600 {
        source.broken.store(token % 97 == 96, Ordering::SeqCst);
        let rows: Vec<Vec<u32>> = (0..ROWS).map(|_| distinct(&mut random, CHOSEN)).collect();
        for row in 0..ROWS {
            let mut ids = rows[row].clone();
            e.record_routing(row, &mut ids, CHOSEN);
            if row + 1 < ROWS {
                // Half of a guess is right.
                let mut guess = rows[row + 1][..CHOSEN / 2].to_vec();
                guess.extend(distinct(&mut random, CHOSEN / 2));
                e.foresee(row + 1, &guess);
            }
            if step(&mut e, row, &ids).is_err() {
                break;
            }
        }
        // As if tokens came faster with it, so that it stays on.
        let seconds = if e.preloads.on() { 0.01 } else { 0.02 };
        e.note_token(seconds);
        if token % 50 == 49 {
            e.resize(random.below(8), true);
        }
    }
    assert!(e.preloads.used > 100 && e.preloads.asked > e.preloads.used);
    let look_ahead = e.look_ahead();
    assert!(look_ahead[0].is_none() && look_ahead[1].is_some_and(|a| (0.5..0.8).contains(&a)));
}
