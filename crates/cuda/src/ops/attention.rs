//! Grouped-query attention over a KV cache.

use std::ops::Range;

use crate::arguments::Attention;
use crate::array::Array;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::kv::{BLOCK, KvCache, KvFormat};
use crate::ops::{row_count, word};

/// Query heads that a block of threads computes together.
const HEADS: usize = 8;

/// Up to this many tokens the positions are spread over the GPU; of more tokens each
/// has enough to do for a part of it.
const SPREAD: usize = 8;

/// Floats of unfinished results that are kept at once, unless those of one token are
/// more.
const UNFINISHED: usize = 1 << 18;

/// Causal attention of the rows `rows` of `q`, `[t, nq, d]`, over `cache`, to the same
/// rows of `out`. The query of row `rows.start + i` is at position `first_position + i`
/// and sees the keys up to and including its own; head `h` uses key head `h / (nq /
/// nkv)`; scores are scaled by `1 / sqrt(d)`.
///
/// # Panics
/// If the lengths do not fit, `d` is above 256, or there are fewer positions than the
/// last query sees.
#[allow(clippy::too_many_arguments, reason = "the shape of the operation")]
pub fn attention(
    gpu: &Gpu,
    q: &Array,
    rows: Range<usize>,
    cache: &KvCache,
    nq: usize,
    nkv: usize,
    d: usize,
    first_position: usize,
    out: &mut Array,
) -> Result<()> {
    assert!(
        nkv > 0 && (1..=256).contains(&d),
        "attention: heads of {d} dimensions"
    );
    assert!(
        nq > 0 && nq.is_multiple_of(nkv),
        "attention: {nq} heads share {nkv} key heads"
    );
    let t = row_count("attention queries", q.len(), nq * d);
    assert_eq!(out.len(), q.len(), "attention: output is as the queries");
    assert_eq!(cache.width(), nkv * d, "attention: keys of {nkv} heads");
    assert!(
        rows.start <= rows.end && rows.end <= t,
        "attention: rows {rows:?} of {t}"
    );
    let seen = first_position + rows.len();
    assert!(
        cache.positions() >= seen,
        "attention: {} keys, the last query sees {seen}",
        cache.positions()
    );
    if rows.is_empty() {
        return Ok(());
    }
    let blocks = seen.div_ceil(BLOCK);
    let spread = rows.len() <= SPREAD && blocks > 1;
    let together = match spread {
        true => (UNFINISHED / (nq * blocks * (2 + d))).max(1),
        false => rows.len(),
    };
    let kernel = match (cache.format(), d) {
        (KvFormat::F16, ..=128) => "attention_f16_4",
        (KvFormat::F16, _) => "attention_f16_8",
        (KvFormat::F32, ..=128) => "attention_f32_4",
        (KvFormat::F32, _) => "attention_f32_8",
    };
    let groups = nkv * (nq / nkv).div_ceil(HEADS);
    for first in (0..rows.len()).step_by(together) {
        let count = together.min(rows.len() - first);
        let blocks = (first_position + first + count).div_ceil(BLOCK);
        let partial = match spread {
            true => Some(gpu.empty(count * nq * blocks * (2 + d))?),
            false => None,
        };
        let arguments = Attention {
            blocks: cache.table(),
            q: q.address(),
            out: out.address_mut(),
            partial: partial.as_ref().map_or(0, Array::address),
            first_row: word(rows.start + first),
            rows: word(count),
            nq: word(nq),
            nkv: word(nkv),
            d: word(d),
            first_position: word(first_position + first),
            parts: word(blocks),
            scale: 1.0 / (d as f32).sqrt(),
        };
        let depth = if spread { blocks } else { 1 };
        gpu.launch(kernel, [count, groups, depth], 256, &arguments)?;
        if spread {
            gpu.launch("attention_merge", [count * nq, 1, 1], 256, &arguments)?;
        }
    }
    Ok(())
}
