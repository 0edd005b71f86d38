//! The choice of experts: softmax over all, then the most probable.

/// For each row of `logits`, `[t, experts]`: softmax over all experts, the `k`
/// most probable to `ids`, `[t, k]`, in descending order (of equals the lower id
/// first) and their probabilities to `weights`, divided by their sum if
/// `normalise`. A logit that is not a number counts as the lowest.
///
/// # Panics
/// If `k` exceeds `experts` or the lengths do not fit.
pub fn router_topk(
    logits: &[f32],
    experts: usize,
    k: usize,
    normalise: bool,
    ids: &mut [u32],
    weights: &mut [f32],
) {
    assert!(0 < k && k <= experts, "router: {k} of {experts} experts");
    let t = crate::matmul::row_count("router logits", logits.len(), experts);
    assert_eq!(ids.len(), t * k, "router: ids are [{t}, {k}]");
    assert_eq!(weights.len(), t * k, "router: weights are [{t}, {k}]");
    let mut p = vec![0.0; experts];
    let outputs = ids.chunks_exact_mut(k).zip(weights.chunks_exact_mut(k));
    for (logits, (ids, weights)) in logits.chunks_exact(experts).zip(outputs) {
        softmax(logits, &mut p);
        for (id, weight) in ids.iter_mut().zip(&mut *weights) {
            let mut best = 0;
            for (e, x) in p.iter().enumerate() {
                if *x > p[best] {
                    best = e;
                }
            }
            (*id, *weight) = (best as u32, p[best]);
            // Never again: probabilities are not negative.
            p[best] = -1.0;
        }
        if normalise {
            let sum: f32 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= sum);
        }
    }
}

fn softmax(logits: &[f32], p: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (p, x) in p.iter_mut().zip(logits) {
        let e = (x - max).exp();
        *p = if e.is_nan() { 0.0 } else { e };
        sum += *p;
    }
    if sum > 0.0 {
        p.iter_mut().for_each(|p| *p /= sum);
    } else {
        // No finite logit: any choice is as good, but it has to be a choice.
        p.fill(1.0 / p.len() as f32);
    }
}
