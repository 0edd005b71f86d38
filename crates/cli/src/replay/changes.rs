//! Random changes of the RAM budget between tokens: does it stay what was said, is
//! every output the same, and how long does a token take at worst?

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::Hasher;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use moestro_engine::placement::show_bytes;
use moestro_engine::protocol::MemorySettings;
use moestro_engine::{Engine, hardware};
use moestro_residency::{Random, Trace};
use serde_json::json;

use super::decode::Decode;

pub struct Changes {
    count: usize,
    different_outputs: usize,
    /// A change by itself.
    longest_change: Duration,
    longest: Duration,
    /// A token with its change that is longer than all but one in twenty.
    p95: Duration,
    longest_without: Duration,
    /// Bytes by which the process exceeded its budget at most, those aside that it said
    /// were being given back.
    exceeded: u64,
    /// Tokens in a row at most before which memory was still being given back.
    leaving: usize,
    /// Resident at the largest budget, before and after.
    resident: [u64; 2],
    files: [usize; 2],
}

/// Writes `count` tokens at the largest budget and then the same ones with a
/// change before each.
pub fn run(
    engine: &mut Engine,
    trace: Option<&Arc<Trace>>,
    settings: &MemorySettings,
    budgets: RangeInclusive<u64>,
    count: usize,
) -> Result<Changes> {
    let mut settings = settings.clone();
    let mut set = |engine: &mut Engine, budget: u64| -> Result<()> {
        settings.ram_budget = Some(budget);
        engine.configure(&settings)?;
        Ok(())
    };
    let (least, most) = budgets.into_inner();
    set(engine, most)?;
    let (usual, times) = decode(engine, trace, count, |_| Ok(()))?;
    let longest_without = times.into_iter().max().unwrap_or_default();
    let before = (hardware::process_bytes(), open_files());

    let mut random = Random::new(1);
    let mut budget = most;
    let (mut exceeded, mut longest_change) = (0, Duration::ZERO);
    let (mut leaving, mut longest_leaving) = (0, 0);
    let mib = |bytes: u64| (bytes >> 20) as usize;
    let over = |engine: &Engine, budget: u64| {
        let leaving = engine.experts().leaving_bytes();
        hardware::process_bytes().saturating_sub(budget + leaving)
    };
    let (outputs, mut times) = decode(engine, trace, count, |engine| {
        // What the last token needed is still there.
        exceeded = exceeded.max(over(engine, budget));
        budget = least + ((random.below(mib(most - least) + 1) as u64) << 20);
        let start = Instant::now();
        set(engine, budget)?;
        longest_change = longest_change.max(start.elapsed());
        exceeded = exceeded.max(over(engine, budget));
        let any = engine.experts().leaving_bytes() > 0;
        leaving = if any { leaving + 1 } else { 0 };
        longest_leaving = longest_leaving.max(leaving);
        Ok(())
    })?;
    let different = usual.iter().zip(&outputs).filter(|(a, b)| a != b).count();
    set(engine, most)?;
    decode(engine, trace, count, |_| Ok(()))?;
    times.sort_unstable();
    Ok(Changes {
        count,
        different_outputs: different,
        longest_change,
        longest: times.last().copied().unwrap_or_default(),
        p95: times
            .get(times.len() * 19 / 20)
            .copied()
            .unwrap_or_default(),
        longest_without,
        exceeded,
        leaving: longest_leaving,
        resident: [before.0, hardware::process_bytes()],
        files: [before.1, open_files()],
    })
}

/// A mark of every token's logits, and its time with what comes `before` it.
fn decode(
    engine: &mut Engine,
    trace: Option<&Arc<Trace>>,
    count: usize,
    mut before: impl FnMut(&mut Engine) -> Result<()>,
) -> Result<(Vec<u64>, Vec<Duration>)> {
    engine.experts_mut().replay(trace.cloned())?;
    let mut decode = Decode::new(engine)?;
    let (mut marks, mut times) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let start = Instant::now();
        before(engine)?;
        let logits = decode.token(engine)?.flatten_all()?.to_vec1::<f32>()?;
        times.push(start.elapsed());
        let mut hasher = DefaultHasher::new();
        logits.iter().for_each(|l| hasher.write_u32(l.to_bits()));
        marks.push(hasher.finish());
    }
    Ok((marks, times))
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

impl Changes {
    pub fn json(&self) -> serde_json::Value {
        json!({
            "count": self.count, "different_outputs": self.different_outputs,
            "longest_change_ms": milliseconds(self.longest_change),
            "longest_token_ms": milliseconds(self.longest),
            "p95_token_ms": milliseconds(self.p95),
            "longest_token_without_changes_ms": milliseconds(self.longest_without),
            "bytes_over_budget": self.exceeded, "tokens_giving_back": self.leaving,
            "resident_bytes": self.resident,
            "open_files": self.files,
        })
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "{} changes of at most {:.0} ms: {} outputs differ; a token with its change P95 {:.0} ms, at most {:.0} ms \
             (without changes {:.0} ms); at most {} over the budget, beside memory given back during at most {} tokens; \
             {} resident before, {} after; \
             {} open files before, {} after",
            self.count,
            milliseconds(self.longest_change),
            self.different_outputs,
            milliseconds(self.p95),
            milliseconds(self.longest),
            milliseconds(self.longest_without),
            show_bytes(self.exceeded),
            self.leaving,
            show_bytes(self.resident[0]),
            show_bytes(self.resident[1]),
            self.files[0],
            self.files[1],
        )
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
