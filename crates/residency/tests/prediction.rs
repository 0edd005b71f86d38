//! One pass over the routing tells the hits of every number of slots; playing it
//! against slots must count exactly the same.

use moestro_residency::{
    Depth, Locality, Policy, Random, Resident, Trace, adversarial, hits, local, uniform,
};

/// Slots as a list that is searched and sorted anew in every step: nothing is
/// shared with the code under test but the meaning.
fn plain(trace: &Trace, slots: usize, policy: Policy) -> Vec<usize> {
    let mut misses = Vec::new();
    let mut held: Vec<Vec<u32>> = vec![Vec::new(); trace.layers()];
    let mut uses: Vec<Vec<Vec<u64>>> = vec![vec![Vec::new(); trace.experts()]; trace.layers()];
    for token in 0..trace.tokens() {
        for row in 0..trace.layers() {
            let wanted = trace.wide(token, row);
            let held = &mut held[row];
            misses.push(wanted.iter().filter(|e| !held.contains(e)).count());
            for (place, e) in wanted.iter().enumerate() {
                // First come, first kept counts within a token too.
                let when = match policy {
                    Policy::Static => token * 100 + place,
                    _ => token + 1,
                };
                uses[row][*e as usize].push(when as u64);
                if !held.contains(e) {
                    held.push(*e);
                }
            }
            let score = |e: &u32| match policy {
                Policy::Lru => -(*uses[row][*e as usize].last().unwrap() as f64),
                Policy::Static => uses[row][*e as usize][0] as f64,
                Policy::Learned => unreachable!("its rule is chosen, not given"),
            };
            held.sort_by(|a, b| score(a).total_cmp(&score(b)).then(a.cmp(b)));
            held.truncate(slots);
        }
    }
    misses
}

fn traces() -> Vec<(String, Trace)> {
    let mut all = Vec::new();
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let experts = 8 + random.below(120);
        let per_token = 1 + random.below(experts.min(10));
        let layers = 1 + random.below(3);
        let name = format!("seed {seed}: {layers} x {experts} / {per_token}");
        all.push((
            format!("uniform, {name}"),
            uniform(layers, experts, per_token, 400, seed),
        ));
        let near = local(
            layers,
            experts,
            per_token,
            400,
            &Locality::published(),
            seed,
        );
        all.push((format!("local, {name}"), near));
    }
    all.push(("adversarial".into(), adversarial(2, 64, 8, 300)));
    all.push((
        "published".into(),
        local(2, 512, 10, 600, &Locality::published(), 7),
    ));
    // The demo model's over the sample prompts, by `moestro profile --record`.
    let recorded = Trace::read(&include_bytes!("data/demo.routes")[..]);
    all.push(("recorded".into(), recorded.unwrap()));
    all
}

fn cold_misses(depths: &[Depth], per_token: usize, slots: usize) -> Vec<usize> {
    let rows = depths.chunks_exact(per_token);
    rows.map(|row| row.iter().filter(|d| !d.hits_cold(slots)).count())
        .collect()
}

fn sizes(trace: &Trace) -> Vec<usize> {
    let (k, all) = (trace.per_token(), trace.experts());
    let mut sizes = vec![0, 1, k, k + 1, 2 * k, all / 4, all / 2, all - 1, all];
    sizes.sort_unstable();
    sizes.dedup();
    sizes.retain(|s| *s <= all);
    sizes
}

#[test]
fn predicted_hits_are_simulated_hits() {
    for (name, trace) in traces() {
        for policy in [Policy::Static, Policy::Lru] {
            let once = hits(&trace, &vec![1; trace.layers()], policy);
            for slots in sizes(&trace) {
                let predicted = cold_misses(&once.depths, trace.per_token(), slots);
                let played = hits(&trace, &vec![slots; trace.layers()], policy);
                assert_eq!(
                    predicted, played.misses,
                    "{name}, {policy:?}, {slots} slots"
                );
                let plainly = plain(&trace, slots, policy);
                assert_eq!(
                    predicted, plainly,
                    "{name}, {policy:?}, {slots} slots, plain"
                );
            }
        }
    }
}

/// The fading score, under which the engine runs, with its rule held still.
#[test]
fn predicted_hits_of_fading_uses_are_simulated_hits() {
    for (name, trace) in traces() {
        let learned = |slots: usize| {
            // No more tokens than it takes before the rule is reconsidered.
            let mut short = Trace::new(trace.layers(), trace.experts(), trace.per_token());
            for t in 0..trace.tokens().min(127) {
                short.push((0..trace.layers()).flat_map(|row| trace.wide(t, row)));
            }
            hits(&short, &vec![slots; trace.layers()], Policy::Learned)
        };
        let once = learned(3);
        assert_eq!(once.changes, 0);
        for slots in sizes(&trace) {
            let predicted = cold_misses(&once.depths, trace.per_token(), slots);
            assert_eq!(predicted, learned(slots).misses, "{name}, {slots} slots");
        }
    }
}

/// However slots are resized on the way, what is held is the best ranked of what
/// was there, and never too much.
#[test]
fn resizing_keeps_the_best() {
    let trace = local(1, 96, 6, 500, &Locality::published(), 3);
    let mut random = Random::new(11);
    let mut layer: Resident<u32> = Resident::new(96, 20, Policy::Learned);
    for token in 0..trace.tokens() {
        let wanted = trace.wide(token, 0);
        let found = layer.look_up(&wanted);
        layer.depths(&wanted);
        layer.record(&wanted, token as u64 + 1);
        for expert in &found.misses {
            layer.admit(*expert, *expert);
        }
        if token % 5 == 0 {
            let slots = random.below(97);
            layer.resize(slots);
            assert_eq!(layer.slots().capacity(), slots);
        }
        let slots = layer.slots();
        assert!(slots.len() <= slots.capacity());
        let order = layer.ranking().order();
        let held: Vec<bool> = order.iter().map(|e| slots.holds(*e)).collect();
        assert_eq!(held.iter().filter(|h| **h).count(), slots.len());
        for (expert, held) in (0..96).map(|e| (e, slots.get(e))) {
            assert!(
                held.is_none_or(|what| *what == expert),
                "contents stay with their expert"
            );
        }
    }
}

#[test]
fn the_published_locality_is_what_lru_finds() {
    let trace = local(2, 512, 10, 3000, &Locality::published(), 42);
    let at = |share: f64| {
        let slots = (512.0 * share).round() as usize;
        let outcome = hits(&trace, &[slots; 2], Policy::Lru);
        let warm = 500 * 2;
        let misses: usize = outcome.misses[warm..].iter().sum();
        1.0 - misses as f64 / ((outcome.misses.len() - warm) * 10) as f64
    };
    for (share, published) in [(0.06, 0.435), (0.12, 0.62), (0.24, 0.79), (0.33, 0.85)] {
        let found = at(share);
        assert!(
            (found - published).abs() < 0.02,
            "{share}: {found} for {published}"
        );
    }
}

/// What the person is told holds for slots that are full, whatever they began with.
#[test]
fn full_slots_hit_as_the_log_says() {
    let trace = local(2, 128, 8, 800, &Locality::published(), 5);
    let once = hits(&trace, &[10; 2], Policy::Lru);
    let log = once.log(&trace, 400);
    for slots in [8, 20, 50, 100, 128] {
        let played = hits(&trace, &[slots; 2], Policy::Lru);
        let late: usize = played.misses[400 * 2..].iter().sum();
        let told: f64 = log.outlook(128).misses(&[slots; 2]).sum();
        assert_eq!(
            told, late as f64,
            "{slots} slots: every expert was seen in the first half"
        );
    }
}
