//! Writes quantized weights, a few rows at a time.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;

use moestro_checkpoint::{Checkpoint, GgufTensor, GgufValue, GgufWriter, IDENTITY_KEY, TensorInfo};
use moestro_kernels::Format;
use rustix::fs::{FlockOperation, fdatasync, flock, statvfs};

use super::Quantize;
use super::cache::Place;
use crate::blueprint::Blueprint;
use crate::cancel::Cancel;
use crate::error::{EngineError, Result};
use crate::placement::show_bytes;
use crate::weights::skipped;

/// Bytes of a source that are in memory at a time.
const PIECE: usize = 8 << 20;
/// Bytes after which what was written is made sure to be on the disk.
const SYNC: u64 = 256 << 20;

/// What will be written: tensors of the source, and each in its new format.
pub struct Plan {
    sources: Vec<usize>,
    tensors: Vec<GgufTensor>,
    bytes: u64,
}

/// Errors: weights that are quantized already.
pub fn plan(source: &Checkpoint, blueprint: &Blueprint, target: Quantize) -> Result<Plan> {
    let gguf = matches!(source.metadata(), moestro_checkpoint::Metadata::Gguf(_));
    let mut plan = Plan {
        sources: Vec::new(),
        tensors: Vec::new(),
        bytes: 0,
    };
    for (i, t) in source.tensors().iter().enumerate() {
        if skipped(&t.name, gguf, blueprint).is_some() {
            continue;
        }
        let format = target.format(t, blueprint);
        let floats = [Format::F32, Format::F16, Format::BF16, Format::FP8];
        if format != t.format && !floats.contains(&t.format) {
            return Err(EngineError::Request(format!(
                "the weights are quantized already ({} is {}); leave --quantize out, or start \
                 from BF16, F16, F32 or FP8",
                t.name,
                t.packing().unwrap_or(t.format.name())
            )));
        }
        let tensor = GgufTensor {
            name: t.name.clone(),
            format,
            shape: match t.shape.as_slice() {
                [] => vec![1],
                shape => shape.to_vec(),
            },
        };
        plan.bytes += tensor.bytes().unwrap_or(0);
        plan.sources.push(i);
        plan.tensors.push(tensor);
    }
    Ok(plan)
}

/// Converts what is not on the disk yet and gives the file its name.
pub fn run(
    source: &Checkpoint,
    plan: Plan,
    place: &Place,
    threads: usize,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let part = place.part();
    let failed = |e: std::io::Error| {
        EngineError::Cache(format!(
            "{}: cannot be written: {e}; free space or set XDG_CACHE_HOME to another disk",
            part.display()
        ))
    };
    if let Some(folder) = part.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(&part).map_err(failed)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        EngineError::Cache(format!(
            "{}: another process is writing it; wait for it",
            part.display()
        ))
    })?;
    let metadata = [
        (
            "general.architecture",
            GgufValue::String("moestro-weights".into()),
        ),
        (IDENTITY_KEY, GgufValue::String(place.identity.clone())),
    ];
    let before = |count: usize| -> u64 {
        let tensors = plan.tensors[..count].iter();
        tensors.filter_map(GgufTensor::bytes).sum()
    };
    let mut done = finished(&place.journal(), &plan);
    if file.metadata().map_err(failed)?.len() < before(done) {
        done = 0;
    }
    let mut written = before(done);
    check_space(&part, plan.bytes - written)?;
    let out = BufWriter::with_capacity(1 << 20, file);
    let writer = GgufWriter::resume(out, &metadata, plan.tensors.clone(), done);
    let mut writer = writer.map_err(failed)?;
    let mut synced = written;
    progress(written, plan.bytes);
    for &from in &plan.sources[done..] {
        let tensor = writer.next_tensor().map_err(failed)?;
        let tensor = tensor.expect("as many tensors as sources");
        let info = &source.tensors()[from];
        each_piece(source, info, tensor.format, threads, &mut |bytes| {
            cancel.check()?;
            writer.write(bytes).map_err(failed)?;
            written += bytes.len() as u64;
            progress(written, plan.bytes);
            Ok(())
        })?;
        done += 1;
        if written - synced >= SYNC {
            let file = writer.flush().map_err(failed)?.get_ref();
            fdatasync(file).map_err(|e| failed(e.into()))?;
            record(&place.journal(), done).map_err(failed)?;
            synced = written;
        }
    }
    let out = writer.finish().map_err(failed)?;
    fdatasync(out.get_ref()).map_err(|e| failed(e.into()))?;
    std::fs::rename(&part, &place.weights).map_err(failed)?;
    let _ = std::fs::remove_file(place.journal());
    Ok(())
}

/// Hands out a tensor's bytes in `format`, in order.
fn each_piece(
    source: &Checkpoint,
    info: &TensorInfo,
    format: Format,
    threads: usize,
    take: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let cols = info.shape.last().copied().unwrap_or(1).max(1);
    let row_bytes = info
        .format
        .row_bytes(cols)
        .ok_or_else(|| EngineError::RaggedRows {
            name: info.name.clone(),
            rows: 1,
            cols,
            format: info.format.to_string(),
        })?;
    let rows = (info.bytes as usize).checked_div(row_bytes).unwrap_or(0);
    let at_once = (PIECE / row_bytes.max(1)).max(1);
    let (mut file, mut out) = (Vec::new(), Vec::new());
    for start in (0..rows).step_by(at_once) {
        let count = at_once.min(rows - start);
        file.resize(count * row_bytes, 0);
        source.read(info, (start * row_bytes) as u64, &mut file)?;
        if format == info.format {
            take(&file)?;
            continue;
        }
        let out_bytes = format.row_bytes(cols).expect("chosen for these rows");
        out.resize(count * out_bytes, 0);
        let share = count.div_ceil(threads.max(1));
        std::thread::scope(|scope| {
            let pieces = file.chunks(share * row_bytes);
            for (file, out) in pieces.zip(out.chunks_mut(share * out_bytes)) {
                scope.spawn(move || {
                    let mut values = vec![0.0; cols];
                    let rows = file.chunks_exact(row_bytes);
                    for (row, out) in rows.zip(out.chunks_exact_mut(out_bytes)) {
                        info.format.dequantize(row, &mut values);
                        assert!(
                            format.quantize(&values, out),
                            "only such formats are chosen"
                        );
                    }
                });
            }
        });
        take(&out)?;
    }
    Ok(())
}

/// How many tensors an earlier run left on the disk.
fn finished(journal: &Path, plan: &Plan) -> usize {
    let text = std::fs::read_to_string(journal).unwrap_or_default();
    let done = text.trim().parse().unwrap_or(0);
    if done <= plan.tensors.len() { done } else { 0 }
}

fn record(journal: &Path, done: usize) -> std::io::Result<()> {
    let new = journal.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(done.to_string().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(new, journal)
}

fn check_space(part: &Path, needed: u64) -> Result<()> {
    let Ok(disk) = statvfs(part) else {
        return Ok(());
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let margin = 64 << 20;
    if free >= needed + margin {
        return Ok(());
    }
    Err(EngineError::Cache(format!(
        "{}: quantizing takes {} and the disk has {} left; free space, clear the cache with \
         `moestro cache --clear`, or set XDG_CACHE_HOME to another disk",
        part.display(),
        show_bytes(needed + margin),
        show_bytes(free)
    )))
}
