//! Expert slots in VRAM give way to other programs, over the stand-in for the driver,
//! and the text stays the same.

mod support;

use std::time::{Duration, Instant};

use moestro_cuda_emulator::load as emulate;
use moestro_engine::protocol::MemorySettings;
use moestro_engine::{Cancel, Engine, Precision};
use support::gpu::{GIB, emulated, emulated_machine};
use support::{fixture, greedy};

const TOKENS: usize = 16;

/// With the whole model on the GPU and `slots` experts of each layer.
fn load(vram: u64, slots: usize) -> Engine {
    let options = emulated(Precision::Float32, vram, Some(slots));
    let path = fixture("qwen3_next-tiny");
    let never = Cancel::new();
    let machine = emulated_machine();
    let mut engine = Engine::load(&path, &options, machine, &never, &mut |_, _, _| {}).unwrap();
    engine.experts_mut().insist_on_upper();
    engine
}

fn write(engine: &mut Engine, between: impl FnMut(&mut Engine, usize)) -> Vec<u32> {
    let mut session = engine.session().unwrap();
    greedy(engine, &mut session, (1..30).collect(), TOKENS, between)
}

#[test]
fn slots_give_way_to_other_programs_and_come_back() {
    let emulator = emulate("vram=2G,seed=6");
    let expected = write(&mut load(0, 0), |_, _| {});
    let mut engine = load(GIB, 4);
    assert_eq!(engine.experts().vram_slots(), 4);
    let all = engine.experts().vram_bytes();
    let start = Instant::now();
    let mut seen = Vec::new();
    let text = write(&mut engine, |engine, token| {
        // Another program fills the VRAM and leaves it again.
        match token {
            3 => emulator.change("vram=2G,seed=6,others=1900M"),
            8 => emulator.change("vram=2G,seed=6"),
            _ => {}
        }
        // Two seconds a token, so that there is calm for long enough at the end.
        engine.look_at_memory(start + Duration::from_secs(2) * token as u32);
        let experts = engine.experts();
        let held_back = engine.pace().vram_held_back();
        assert_eq!(held_back > 0, experts.vram_slots() < 4, "token {token}");
        assert!(
            experts.vram_bytes() + held_back.min(all) <= all,
            "{held_back}"
        );
        seen.push(experts.vram_slots());
    });
    assert_eq!(text, expected);
    assert_eq!(seen[2], 4, "{seen:?}");
    assert_eq!(seen[3], 0, "at once: {seen:?}");
    assert!(
        seen[4..12].iter().all(|slots| *slots == 0),
        "no haste: {seen:?}"
    );
    assert_eq!(seen.last(), Some(&4), "{seen:?}");
}

#[test]
fn a_gpu_without_memory_for_more_slots_keeps_them_and_says_so() {
    let emulator = emulate("vram=2G,seed=7");
    let expected = write(&mut load(0, 0), |_, _| {});
    let mut engine = load(GIB, 2);
    let set = |engine: &mut Engine, slots| {
        let memory = MemorySettings {
            experts_vram: Some(slots),
            ..engine.placement().settings.clone()
        };
        let notes = engine.configure(&memory).unwrap().notes.join(" ");
        (engine.experts().vram_slots(), notes)
    };
    let text = write(&mut engine, |engine, token| match token {
        4 => {
            emulator.change("vram=2G,seed=7,full=1");
            let (slots, notes) = set(engine, 6);
            assert_eq!(slots, 2);
            assert!(notes.contains("keeps 2"), "{notes}");
            emulator.change("vram=2G,seed=7");
        }
        8 => assert_eq!(set(engine, 6), (6, String::new())),
        _ => {}
    });
    assert_eq!(text, expected);
}
