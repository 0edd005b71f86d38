//! The choice of experts.

use crate::common::{Random, assert_close};
use moestro_kernels::router_topk;

fn choose(logits: &[f32], experts: usize, k: usize, normalise: bool) -> (Vec<u32>, Vec<f32>) {
    let n = logits.len() / experts * k;
    let (mut ids, mut weights) = (vec![u32::MAX; n], vec![f32::NAN; n]);
    router_topk(logits, experts, k, normalise, &mut ids, &mut weights);
    (ids, weights)
}

#[test]
fn the_most_probable_in_descending_order() {
    let mut random = Random::new(1);
    for (t, experts, k) in [(1, 8, 2), (7, 512, 10), (3, 5, 5), (2, 1, 1)] {
        let logits: Vec<f32> = random.floats(t * experts).iter().map(|x| 8.0 * x).collect();
        let (ids, weights) = choose(&logits, experts, k, false);
        let (same, normalised) = choose(&logits, experts, k, true);
        assert_eq!(ids, same);
        for (i, logits) in logits.chunks_exact(experts).enumerate() {
            let exp: Vec<f64> = logits.iter().map(|x| f64::from(*x).exp()).collect();
            let total: f64 = exp.iter().sum();
            let mut order: Vec<usize> = (0..experts).collect();
            order.sort_by(|a, b| exp[*b].total_cmp(&exp[*a]));
            order.truncate(k);
            let row = i * k..(i + 1) * k;
            let chosen: Vec<usize> = ids[row.clone()].iter().map(|id| *id as usize).collect();
            assert_eq!(chosen, order);
            let want: Vec<f64> = order.iter().map(|e| exp[*e] / total).collect();
            assert_close(&weights[row.clone()], &want, 1e-6, "probabilities");
            let sum: f64 = want.iter().sum();
            let want: Vec<f64> = want.iter().map(|w| w / sum).collect();
            assert_close(&normalised[row], &want, 1e-6, "normalised");
        }
    }
}

#[test]
fn of_equals_the_lower_id_is_first() {
    let (ids, weights) = choose(&[1.0, 3.0, 3.0, 0.0, 3.0, 1.0], 6, 4, true);
    assert_eq!(ids, [1, 2, 4, 0]);
    assert_eq!(weights[0], weights[2]);
}

#[test]
fn broken_logits_still_choose_different_experts() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for logits in [
        [nan; 4],
        [-inf; 4],
        [nan, 1.0, nan, 2.0],
        [inf, 0.0, inf, nan],
    ] {
        let (mut ids, weights) = choose(&logits, 4, 4, true);
        assert!(weights.iter().all(|w| w.is_finite()), "{logits:?}");
        if logits[3] == 2.0 {
            assert_eq!(ids, [3, 1, 0, 2]);
        }
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2, 3], "{logits:?}");
    }
}

#[test]
fn large_logits_do_not_overflow() {
    let (ids, weights) = choose(&[-1e30, 3e38, 2e38, 0.0], 4, 2, false);
    assert_eq!((ids[0], weights[0]), (1, 1.0));
}
