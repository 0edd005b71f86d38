//! The engine on a GPU, over the stand-in for its driver: the same logits and the
//! same text as on the processor, however the model is divided between the two, and
//! what happens when the GPU fails.
//!
//! With `MOESTRO_TEST_GPU=0` and the feature `cuda` an actual GPU, the first one that the
//! driver shows, takes the place of the stand-in; what has to be made to fail is left
//! out. To be run with `--test-threads=1` then: the tests measure what they take of it.

mod support;

use moestro_cuda_emulator::{Emulator, load};
use moestro_engine::placement::place;
use moestro_engine::protocol::{Component, GpuReading, Hardware, MemorySettings, Tier};
use moestro_engine::{Cancel, Engine, EngineError, LoadOptions, Precision, hardware, inspect};
use support::gpu::{GIB, actual, emulated, emulated_machine};
use support::{Reference, fixture, greedy};

/// The stand-in; `None` if an actual GPU is tested, which cannot be made to fail.
fn emulate(settings: &str) -> Option<Emulator> {
    (!actual()).then(|| load(settings))
}

fn machine() -> Hardware {
    if actual() {
        hardware::probe()
    } else {
        emulated_machine()
    }
}

fn options(precision: Precision, vram: u64, experts_vram: Option<usize>) -> LoadOptions {
    let options = emulated(precision, vram, experts_vram);
    LoadOptions {
        gpu_kernels: options.gpu_kernels.filter(|_| !actual()),
        ..options
    }
}

fn open(path: &str, options: &LoadOptions) -> Result<Engine, EngineError> {
    let mut silent = |_, _, _| {};
    Engine::load(
        &fixture(path),
        options,
        machine(),
        &Cancel::new(),
        &mut silent,
    )
}

fn on_gpu(path: &str, precision: Precision, experts_vram: usize) -> Engine {
    let mut engine = open(path, &options(precision, 3 * GIB / 2, Some(experts_vram))).unwrap();
    let share = engine.placement().gpu;
    assert_eq!(share.layers, engine.info.layers, "{}", engine.gpu_note());
    assert!(share.head && share.embeddings && engine.gpu().is_some());
    engine.experts_mut().insist_on_upper();
    engine
}

fn on_host(path: &str, precision: Precision) -> Engine {
    let options = options(precision, 0, None);
    let engine = open(path, &options).unwrap();
    assert!(engine.gpu().is_none());
    engine
}

fn logits(engine: &mut Engine, ids: &[u32]) -> Vec<Vec<f32>> {
    let mut all = Vec::new();
    engine
        .each_logits(ids, &Cancel::new(), &mut |_, logits| {
            all.extend(logits.to_vec2::<f32>()?);
            Ok(())
        })
        .unwrap();
    all
}

/// The largest difference of any logit.
fn difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Prompt and greedy text of a checkpoint on both, with each number of slots in VRAM.
fn same_as_host(path: &str, precision: Precision, tolerance: f32, slots: &[usize]) {
    let _emulator = emulate("vram=2G,seed=3");
    let reference = Reference::read("qwen3_next-tiny/reference/short.safetensors");
    let ids: Vec<u32> = reference
        .u32s("input_ids")
        .iter()
        .map(|id| id % 256)
        .collect();
    let mut host = on_host(path, precision);
    let expected = logits(&mut host, &ids);
    let mut session = host.session().unwrap();
    let text = greedy(&mut host, &mut session, ids.clone(), 64, |_, _| {});
    let most = *slots.iter().max().unwrap();
    for slots in slots {
        let mut gpu = on_gpu(path, precision, *slots);
        let worst = difference(&expected, &logits(&mut gpu, &ids));
        println!("{path}, {slots} slots: {worst}");
        assert!(worst <= tolerance, "{path}, {slots} slots: {worst}");
        let mut session = gpu.session().unwrap();
        // Once all of it; the stand-in is slow.
        let tokens = if *slots == most { 64 } else { 16 };
        let same = greedy(&mut gpu, &mut session, ids.clone(), tokens, |_, _| {});
        assert_eq!(same, text[..tokens], "{path}, {slots} slots");
        let hits: u64 = gpu.experts().residency().iter().map(|l| l.vram_hits).sum();
        assert_eq!(hits > 0, *slots > 0, "{slots} slots: {hits} hits");
    }
}

#[test]
fn qwen3_next_is_the_same_with_any_number_of_slots() {
    same_as_host("qwen3_next-tiny", Precision::Float32, 1e-4, &[0, 1, 3, 99]);
}

#[test]
fn qwen3_moe_is_the_same_with_any_number_of_slots() {
    same_as_host("qwen3_moe-tiny", Precision::Float32, 1e-4, &[0, 2, 99]);
}

#[test]
fn rounded_activations_are_rounded_alike() {
    same_as_host("qwen3_next-tiny", Precision::default(), 2e-2, &[0, 4]);
}

#[test]
fn layers_that_do_not_fit_are_computed_by_the_processor() {
    // As much for the driver as is foretold before it was seen.
    let _emulator = emulate("vram=2G,seed=5,context=300M");
    let path = "qwen3_next-tiny";
    let ids: Vec<u32> = (1..40).collect();
    let mut host = on_host(path, Precision::Float32);
    let expected = logits(&mut host, &ids);
    let sizes = inspect(&fixture(path), Precision::Float32, None)
        .unwrap()
        .sizes;
    let planned = |vram| {
        let memory = options(Precision::Float32, vram, Some(2)).memory;
        place(&sizes, &machine(), &memory, "").gpu.layers
    };
    for layers in 0..=sizes.layers.len() {
        // The least budget that holds them.
        let (mut least, mut enough) = (0, GIB);
        while least < enough {
            let middle = (least + enough) / 2;
            match planned(middle) >= layers {
                true => enough = middle,
                false => least = middle + 1,
            }
        }
        let budget = enough;
        assert_eq!(planned(budget), layers);
        let mut engine = open(path, &options(Precision::Float32, budget, Some(2))).unwrap();
        // What an actual driver takes for itself shows only when it is opened.
        let placed = engine.placement().gpu.layers;
        assert!(placed == layers || actual(), "{}", engine.gpu_note());
        engine.experts_mut().insist_on_upper();
        let worst = difference(&expected, &logits(&mut engine, &ids));
        assert!(worst <= 1e-4, "{layers} layers: {worst}");
        let text = |engine: &mut Engine| {
            let mut session = engine.session().unwrap();
            greedy(engine, &mut session, ids.clone(), 16, |_, _| {})
        };
        assert_eq!(text(&mut engine), text(&mut host), "{layers} layers");
    }
}

#[test]
fn slots_change_while_it_writes_and_the_text_does_not() {
    let _emulator = emulate("vram=2G,seed=9");
    let path = "qwen3_next-tiny";
    let ids: Vec<u32> = (1..30).collect();
    let mut host = on_host(path, Precision::Float32);
    let mut session = host.session().unwrap();
    let text = greedy(&mut host, &mut session, ids.clone(), 32, |_, _| {});
    let mut gpu = on_gpu(path, Precision::Float32, 4);
    let mut session = gpu.session().unwrap();
    let same = greedy(&mut gpu, &mut session, ids, 32, |engine, token| {
        let memory = MemorySettings {
            experts_vram: Some([1, 6, 0, 3, 99][token % 5]),
            ..engine.placement().settings.clone()
        };
        engine.configure(&memory).unwrap();
        let rows = &engine.placement().rows;
        let planned = rows
            .iter()
            .find(|r| r.component == Component::ExpertSlots && r.tier == Tier::Vram);
        let held: usize = engine
            .experts()
            .residency()
            .iter()
            .map(|l| l.vram_resident)
            .sum();
        let slot = engine.experts().mean_slot_bytes();
        assert!(held as u64 * slot <= planned.map_or(0, |r| r.bytes));
    });
    assert_eq!(same, text);
}

#[test]
fn a_gpu_that_computes_garbage_is_not_used() {
    let Some(_emulator) = emulate("vram=2G,garbage=*") else {
        return;
    };
    let mut engine = open("qwen3_next-tiny", &options(Precision::Float32, GIB, None)).unwrap();
    assert!(engine.gpu().is_none());
    assert!(
        engine.gpu_note().contains("wrong results"),
        "{}",
        engine.gpu_note()
    );
    assert_eq!(engine.placement().vram_note, engine.gpu_note());
    assert_eq!(logits(&mut engine, &[1, 2, 3]).len(), 3);
}

#[test]
fn a_gpu_that_others_have_filled_is_not_used() {
    let Some(_emulator) = emulate("vram=2G,others=1900M") else {
        return;
    };
    let mut engine = open("qwen3_next-tiny", &options(Precision::Float32, GIB, None)).unwrap();
    assert_eq!(logits(&mut engine, &[1, 2, 3]).len(), 3);
}

#[test]
fn a_lost_gpu_ends_the_answer_with_an_error_that_says_so() {
    let Some(emulator) = emulate("vram=2G,seed=2") else {
        return;
    };
    let mut engine = on_gpu("qwen3_next-tiny", Precision::Float32, 2);
    emulator.change("vram=2G,seed=2,lost=launch:50");
    let lost = engine.each_logits(&[1, 2, 3, 4], &Cancel::new(), &mut |_, _| Ok(()));
    let error = lost.unwrap_err();
    assert!(matches!(error, EngineError::Gpu(_)), "{error}");
    assert!(error.to_string().contains("lost"), "{error}");
}

/// The GPU goes while an answer is written: that answer ends with an error, the model
/// comes back without the GPU, and the next answer is the one that it always was.
#[cfg(feature = "cuda")]
#[test]
fn without_its_gpu_the_host_goes_on_with_the_processor() {
    use moestro_engine::Host;
    use moestro_engine::protocol::{Command, Event, LoadRequest};
    use support::greedy_request;

    let Some(emulator) = emulate("vram=3G,seed=4") else {
        return;
    };
    let (host, events) = Host::with_channel();
    let next = || {
        events
            .recv_timeout(std::time::Duration::from_secs(120))
            .unwrap()
    };
    let request = LoadRequest {
        model: fixture("qwen3_next-tiny"),
        threads: Some(2),
        memory: MemorySettings {
            vram_budget: Some(GIB),
            ..MemorySettings::default()
        },
        quantize: None,
    };
    host.send(Command::Load { id: 1, request });
    let placed = loop {
        if let Event::Loaded { placement, .. } = next() {
            break placement;
        }
    };
    assert!(
        placed.gpu.layers > 0 && placed.vram_note.is_empty(),
        "{placed:?}"
    );
    let answer = |id| {
        let request = greedy_request((1..20).collect(), 12);
        host.send(Command::Generate { id, request });
        let mut text = String::new();
        loop {
            match next() {
                Event::Token {
                    id: of, text: more, ..
                } if of == id => text += &more,
                Event::Finished { id: of, .. } if of == id => return Ok(text),
                Event::Failed { id: of, failure } if of == Some(id) => return Err(failure),
                _ => {}
            }
        }
    };
    let before = answer(2).unwrap();
    emulator.change("vram=3G,seed=4,lost=launch:100");
    let failure = answer(3).unwrap_err();
    assert!(failure.message.contains("GPU"), "{failure:?}");
    let again = loop {
        if let Event::Loaded { placement, .. } = next() {
            break placement;
        }
    };
    assert_eq!(again.gpu.layers, 0);
    assert!(again.vram_note.contains("GPU"), "{}", again.vram_note);
    assert_eq!(answer(4).unwrap(), before);
}

#[test]
fn sensors_tell_of_every_gpu() {
    let _emulator = emulate("devices=2,name=Emulated GPU");
    let mut sensors = hardware::Sensors::start();
    assert_eq!(sensors.look(), [], "nothing waits for the first reading");
    let readings = loop {
        let readings = sensors.look();
        if !readings.is_empty() {
            break readings;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let told = GpuReading {
        name: "Emulated GPU".into(),
        temperature_celsius: Some(40),
        clock_mhz: Some(1200),
        memory_clock_mhz: Some(1200),
        power_watts: Some(30.0),
        busy: Some(0.0),
    };
    assert_eq!(readings, [told.clone(), told]);
}
