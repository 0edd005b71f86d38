//! What a token costs the driver: kernels, copies and waits, counted by the stand-in,
//! so that none comes back unseen. With several microseconds each they are a good part
//! of a token's time on a GPU.

mod support;

use moestro_cuda_emulator::load;
use moestro_engine::protocol::MemorySettings;
use moestro_engine::{Cancel, Engine, LoadOptions, Logits};
use support::fixture;
use support::gpu::{GIB, emulated_kernels, emulated_machine};

#[test]
fn launches_copies_and_waits_of_a_token() {
    let emulator = load("vram=2G,seed=1");
    let options = LoadOptions {
        memory: MemorySettings {
            vram_budget: Some(GIB),
            context: Some(256),
            ..MemorySettings::default()
        },
        threads: Some(2),
        gpu_kernels: Some(emulated_kernels()),
        ..LoadOptions::default()
    };
    // Quantized, as nearly every model is: three layers of DeltaNet and one of attention.
    let model = fixture("../../models/demo/moestro-demo.gguf");
    let mut silent = |_, _, _| {};
    let never = Cancel::new();
    let machine = emulated_machine();
    let mut engine = Engine::load(&model, &options, machine, &never, &mut silent).unwrap();
    let layers = engine.info.layers;
    assert_eq!(engine.placement().gpu.layers, layers);
    engine.experts_mut().insist_on_upper();
    let mut session = engine.session().unwrap();
    let mut token = |engine: &mut Engine, token: u32| {
        engine
            .forward(&mut session, &[token], Logits::Last, &never)
            .unwrap();
    };
    // The experts that these few tokens use come to the GPU, and buffers to their pools.
    for i in 0..40 {
        token(&mut engine, 100 + i % 2);
    }
    let counts =
        || ["launches", "copies", "fills", "waits", "allocations"].map(|what| emulator.count(what));
    let before = counts();
    token(&mut engine, 100);
    let after = counts();
    let used: Vec<u64> = before.iter().zip(after).map(|(b, a)| a - b).collect();
    // Of launches 16 in each layer with DeltaNet and 22 with attention, and three at the
    // ends; of copies the token's number, two per layer for the processor, the logits; of
    // waits one per layer and one for the logits.
    assert_eq!(layers, 8);
    assert_eq!(
        used,
        [143, 18, 0, 9, 0],
        "launches, copies, fills, waits, allocations"
    );
}
