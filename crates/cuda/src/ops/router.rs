//! The choice of experts.

use crate::arguments::Router;
use crate::array::{Array, Indices};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::{row_count, word};

/// Experts among which can be chosen.
const MOST_EXPERTS: usize = 2048;

/// For each row of `logits`, `[t, experts]`: softmax over all experts, the `k` most
/// probable, `[t, k]`, in descending order (of equals the lower number first), and
/// their probabilities, divided by their sum if `normalise`. A logit that is not a
/// number counts as the lowest.
///
/// # Panics
/// If `k` exceeds `experts`, these 2048, or the length does not fit.
pub fn router_topk(
    gpu: &Gpu,
    logits: &Array,
    experts: usize,
    k: usize,
    normalise: bool,
) -> Result<(Indices, Array)> {
    assert!(
        0 < k && k <= experts && experts <= MOST_EXPERTS,
        "router: {k} of {experts} experts"
    );
    let t = row_count("router logits", logits.len(), experts);
    let (ids, weights) = (gpu.empty_indices(t * k)?, gpu.empty(t * k)?);
    let arguments = Router {
        logits: logits.address(),
        ids: ids.address(),
        weights: weights.address(),
        experts: word(experts),
        chosen: word(k),
        normalise: u32::from(normalise),
        unused: 0,
    };
    gpu.launch("router_topk", [t, 1, 1], 32, &arguments)?;
    Ok((ids, weights))
}
