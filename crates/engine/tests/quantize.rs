//! Quantizing on load: close to the original, kept for the next start, resumed after
//! a cancel, made anew when cut short or when the source has changed.

mod support;

use std::path::{Path, PathBuf};

use moestro_engine::protocol::{LoadStage, MemorySettings};
use moestro_engine::quantize::{Quantize, Store};
use moestro_engine::{Cancel, Engine, EngineError, LoadOptions, Precision, hardware, inspect};
use support::fixture;
use tempfile::TempDir;

struct Loaded {
    engine: Engine,
    /// Bytes that were written to the cache.
    written: u64,
}

fn load(source: &Path, target: Quantize, store: &Store) -> Result<Loaded, EngineError> {
    load_until(source, target, store, u64::MAX)
}

/// Cancels when so many bytes were written.
fn load_until(
    source: &Path,
    target: Quantize,
    store: &Store,
    most: u64,
) -> Result<Loaded, EngineError> {
    let options = LoadOptions {
        memory: MemorySettings {
            context: Some(512),
            ..MemorySettings::default()
        },
        threads: Some(2),
        precision: Precision::Stored,
        quantize: Some((target, store.clone())),
        ..LoadOptions::default()
    };
    let cancel = Cancel::new();
    let (mut first, mut last) = (None, 0);
    let mut progress = |stage, done, _| {
        if stage == LoadStage::Quantizing {
            first.get_or_insert(done);
            last = done;
            if done > most {
                cancel.cancel();
            }
        }
    };
    let engine = Engine::load(source, &options, hardware::probe(), &cancel, &mut progress)?;
    Ok(Loaded {
        engine,
        written: last - first.unwrap_or(last),
    })
}

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("cache"));
    (folder, store)
}

fn logits(engine: &mut Engine) -> Vec<f32> {
    let tokens: Vec<u32> = (10..80).collect();
    let mut all = Vec::new();
    engine
        .each_logits(&tokens, &Cancel::new(), &mut |_, logits| {
            all.extend(logits.to_vec2::<f32>()?.concat());
            Ok(())
        })
        .unwrap();
    all
}

/// Root of the mean square difference, as a share of the logits' own.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let off: f64 = got.iter().zip(want).map(|(a, b)| square(a - b)).sum();
    (off / want.iter().map(|x| square(*x)).sum::<f64>()).sqrt()
}

fn original(source: &Path) -> Vec<f32> {
    let path = source.to_str().unwrap();
    logits(&mut support::load_in(Precision::Stored, path, None, 2))
}

/// A copy of a small checkpoint, to be changed.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    folder
}

#[test]
fn quantized_logits_are_close_and_the_second_start_writes_nothing() {
    let source = fixture("qwen3_next-realdims");
    let want = original(&source);
    let (_folder, store) = store();
    for (target, most) in [(Quantize::Q8_0, 0.03), (Quantize::Q4KM, 0.35)] {
        let mut first = load(&source, target, &store).unwrap();
        assert!(first.written > 0);
        let got = logits(&mut first.engine);
        let distance = distance(&got, &want);
        println!("{}: {distance:.4}", target.name());
        assert!(distance < most, "{}: {distance}", target.name());
        let mut second = load(&source, target, &store).unwrap();
        assert_eq!(second.written, 0);
        assert_eq!(logits(&mut second.engine), got, "{}", target.name());
    }
    let files = store.files().unwrap();
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|f| !f.unfinished && f.bytes > 0));
    let freed = store.clear().unwrap();
    assert_eq!(freed, files.iter().map(|f| f.bytes).sum::<u64>());
    assert!(store.files().unwrap().is_empty());
}

/// Before a weight is converted it is known what the model will take.
#[test]
fn sizes_are_foretold_and_a_budget_too_small_is_refused_at_once() {
    let source = fixture("qwen3_next-realdims");
    let (_folder, store) = store();
    for target in [Quantize::Q8_0, Quantize::Q4KM] {
        let quantize = (target, store.clone());
        let inspect = |quantize| inspect(&source, Precision::Stored, quantize).unwrap().sizes;
        let original = inspect(None);
        let foretold = inspect(Some(&quantize));
        assert!(store.files().unwrap().is_empty());
        let (less, all) = (
            foretold.slot_bytes_all_layers(),
            original.slot_bytes_all_layers(),
        );
        // Rows of 16 values, a third of these experts, stay as they are.
        assert!(less < all * 3 / 4, "{}: {less} of {all}", target.name());
        let budget = LoadOptions {
            memory: MemorySettings {
                context: Some(512),
                ram_budget: Some(1 << 20),
                ..MemorySettings::default()
            },
            quantize: Some(quantize.clone()),
            ..LoadOptions::default()
        };
        let machine = hardware::probe();
        let refused = Engine::load(&source, &budget, machine, &Cancel::new(), &mut |_, _, _| {});
        assert!(matches!(refused, Err(EngineError::Budget(_))));
        assert!(store.files().unwrap().is_empty());
        load(&source, target, &store).unwrap();
        assert_eq!(inspect(Some(&quantize)), foretold, "{}", target.name());
        store.clear().unwrap();
    }
}

fn only_file(store: &Store) -> PathBuf {
    let files = store.files().unwrap();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].path.clone()
}

#[test]
fn a_cancelled_conversion_leaves_no_weights_and_is_made_up_for() {
    let source = fixture("qwen3_next-tiny");
    let (_folder, store) = store();
    let cancelled = load_until(&source, Quantize::Q8_0, &store, 300_000);
    assert!(matches!(cancelled, Err(EngineError::Cancelled)));
    assert!(store.files().unwrap().iter().all(|f| f.unfinished));
    let mut made = load(&source, Quantize::Q8_0, &store).unwrap();
    let mut again = load(&source, Quantize::Q8_0, &store).unwrap();
    assert_eq!(again.written, 0);
    assert_eq!(logits(&mut made.engine), logits(&mut again.engine));
}

#[test]
fn what_was_written_before_a_crash_is_not_written_again() {
    let source = fixture("qwen3_next-tiny");
    let (_folder, store) = store();
    let whole = load(&source, Quantize::Q8_0, &store).unwrap();
    let path = only_file(&store);
    let bytes = std::fs::read(&path).unwrap();
    // As if the power had gone: half of the file, and a note of what is safe.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(path.with_extension("gguf.part"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(path.with_extension("gguf.done"), "40").unwrap();
    let resumed = load(&source, Quantize::Q8_0, &store).unwrap();
    assert!(resumed.written > 0 && resumed.written < whole.written);
    assert_eq!(only_file(&store), path);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_cut_or_foreign_cache_is_made_anew() {
    let source = copy("qwen3_next-tiny");
    let (_folder, store) = store();
    let first = load(source.path(), Quantize::Q8_0, &store).unwrap();
    let path = only_file(&store);
    let bytes = std::fs::read(&path).unwrap();
    for damaged in [&bytes[..bytes.len() - 1], &bytes[..100], &[], &bytes[4..]] {
        std::fs::write(&path, damaged).unwrap();
        let again = load(source.path(), Quantize::Q8_0, &store).unwrap();
        assert_eq!(again.written, first.written, "{} bytes", damaged.len());
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    // Another source has another place.
    let shard = source.path().join("model-00001-of-00002.safetensors");
    let file = std::fs::OpenOptions::new()
        .append(true)
        .open(shard)
        .unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let changed = load(source.path(), Quantize::Q8_0, &store).unwrap();
    assert_eq!(changed.written, first.written);
    assert_eq!(store.files().unwrap().len(), 2);
}

#[test]
fn weights_that_are_quantized_already_are_refused() {
    let (_folder, store) = store();
    let nf4 = support::packed("bnb-nf4");
    for source in [fixture("gguf/qwen3_next-types.gguf"), nf4.path().into()] {
        let Err(error) = load(&source, Quantize::Q8_0, &store) else {
            panic!("{} was quantized again", source.display());
        };
        let said = error.to_string();
        assert!(said.contains("quantized already"), "{said}");
    }
}
