//! Slots in a faster tier are never slower than none by more than 2%, on a clock
//! that counts what the link would take.

use moestro_residency::{Link, Locality, Offload, Trace, adversarial, local, uniform};

const EXPERTS: usize = 512;
const CHOSEN: usize = 10;
const TOKENS: usize = 2000;
/// An expert of Qwen3-Next at 4.5 bits per weight.
const BYTES: u64 = 1_769_472;

/// PCIe 4 and 5 as measured with pinned memory, beside the RAM of desktops.
fn links() -> Vec<(String, Link)> {
    let mut all = Vec::new();
    for (bus, bus_speed) in [("PCIe 4", 25e9), ("PCIe 5", 50e9)] {
        for (sync_name, sync) in [("quick", 20e-6), ("slow", 120e-6)] {
            for ram in [23e9, 90e9] {
                let link = Link::bus(BYTES, bus_speed, ram, 700e9, sync);
                all.push((
                    format!("{bus}, {sync_name} sync, RAM {:.0} GB/s", ram / 1e9),
                    link,
                ));
            }
        }
    }
    all
}

struct Played {
    /// Time relative to computing all below.
    time: f64,
    most_copies: usize,
}

fn play(trace: &Trace, slots: usize, link: Link) -> Played {
    let mut layer = Offload::new(EXPERTS, slots, CHOSEN, 2, link);
    let (mut with, mut most_copies) = (0.0, 0);
    for token in 0..trace.tokens() {
        let wanted = trace.wide(token, 0);
        let held: Vec<bool> = wanted.iter().map(|e| layer.holds(*e)).collect();
        let step = layer.step(&wanted, token as u64 + 1);
        assert_eq!(step.above.len() + step.below.len(), wanted.len());
        for e in &step.above {
            let at = wanted.iter().position(|w| w == e).unwrap();
            assert!(held[at], "what is computed above was there before the step");
            assert!(!step.dropped.contains(e), "and stays during it");
        }
        most_copies = most_copies.max(step.copies.len());
        let seconds = link.seconds(step.above.len(), step.below.len(), step.copies.len());
        with += seconds;
        layer.took(seconds);
    }
    let plain = link.seconds(0, CHOSEN, 0) * trace.tokens() as f64;
    Played {
        time: with / plain,
        most_copies,
    }
}

fn friendly() -> Trace {
    local(1, EXPERTS, CHOSEN, TOKENS, &Locality::published(), 1)
}

#[test]
fn never_slower_by_more_than_two_percent() {
    // Friendly at first, then useless, and the other way round.
    let mut turning = Trace::new(1, EXPERTS, CHOSEN);
    let (near, far) = (friendly(), adversarial(1, EXPERTS, CHOSEN, TOKENS));
    for token in 0..TOKENS {
        let from = if token / 500 % 2 == 0 { &near } else { &far };
        turning.push(from.wide(token, 0));
    }
    let traces = [
        ("friendly", near),
        ("uniform", uniform(1, EXPERTS, CHOSEN, TOKENS, 2)),
        ("adversarial", far),
        ("turning", turning),
    ];
    for (kind, trace) in &traces {
        for (name, link) in links() {
            for slots in [5, 112] {
                let played = play(trace, slots, link);
                assert!(
                    played.time <= 1.02,
                    "{kind}, {name}, {slots} slots: {:.3} of plain",
                    played.time
                );
                assert!(played.most_copies <= 2, "the cap per step");
            }
        }
    }
}

#[test]
fn friendly_routing_is_much_faster() {
    for (name, link) in links().into_iter().filter(|(n, _)| n.contains("quick")) {
        let time = play(&friendly(), 112, link).time;
        assert!(time < 0.75, "{name}: {time:.3} of plain");
    }
}

/// The estimate can be wrong, as when the sync takes longer than was measured; the
/// clock then decides.
#[test]
fn a_wrong_estimate_is_found_out() {
    let told = Link::bus(BYTES, 25e9, 60e9, 700e9, 10e-6);
    let real = Link {
        sync: 900e-6,
        ..told
    };
    let tokens = 2 * TOKENS;
    let trace = local(1, EXPERTS, CHOSEN, tokens, &Locality::published(), 1);
    let mut layer = Offload::new(EXPERTS, 112, CHOSEN, 2, told);
    let mut with = 0.0;
    for token in 0..tokens {
        let step = layer.step(&trace.wide(token, 0), token as u64 + 1);
        let seconds = real.seconds(step.above.len(), step.below.len(), step.copies.len());
        with += seconds;
        layer.took(seconds);
    }
    let plain = real.seconds(0, CHOSEN, 0) * tokens as f64;
    assert!(layer.lost() && !layer.on());
    assert!(with / plain <= 1.02, "{}", with / plain);
}
