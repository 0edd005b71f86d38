//! What a token costs the driver: kernels, copies and waits, counted by the stand-in,
//! so that none comes back unseen. With several microseconds each they are a good part
//! of a token's time on a GPU.

mod support;

use moestro_cuda::Kernels;
use moestro_cuda_emulator::load;
use moestro_engine::protocol::{GpuInfo, Hardware, MemorySettings};
use moestro_engine::{Cancel, Engine, LoadOptions, Logits, hardware};
use support::fixture;

const GIB: u64 = 1 << 30;

#[test]
fn launches_copies_and_waits_of_a_token() {
    let emulator = load("vram=2G,seed=1");
    let gpu = GpuInfo {
        name: "Emulated GPU".into(),
        vram_total: 2 * GIB,
        vram_free: 2 * GIB,
        driver: "535".into(),
    };
    let machine = Hardware {
        gpus: vec![gpu],
        gpu_note: String::new(),
        ..hardware::probe()
    };
    let options = LoadOptions {
        memory: MemorySettings {
            vram_budget: Some(GIB),
            context: Some(256),
            ..MemorySettings::default()
        },
        threads: Some(2),
        gpu_kernels: Some(Kernels::from_image(b"emulated".to_vec())),
        ..LoadOptions::default()
    };
    // Quantized, as nearly every model is: three layers of DeltaNet and one of attention.
    let model = fixture("../../models/demo/moestro-demo.gguf");
    let mut silent = |_, _, _| {};
    let never = Cancel::new();
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
