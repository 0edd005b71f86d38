//! Mixture of experts: a router picks a few experts per token; their outputs are
//! summed in the order of the router's choice, so that the result does not
//! depend on which experts happened to be in memory.

use candle_core::{Device, Tensor};
use moestro_kernels::{self as kernels, ExpertTask};

use super::Context;
use super::mlp::Mlp;
use crate::blueprint::MoeShape;
use crate::error::Result;
use crate::experts::Experts;
use crate::ops;
use crate::weights::{Loader, Weight};

pub struct SparseMlp {
    shape: MoeShape,
    /// `[experts, hidden]`.
    router: Weight,
    shared: Option<Shared>,
    /// This layer's number among those with experts.
    row: usize,
    /// Router of the next layer with experts, to look ahead with.
    next_router: Option<Weight>,
}

struct Shared {
    mlp: Mlp,
    /// `[1, hidden]`.
    gate: Weight,
}

/// The tokens that chose one expert.
struct Group {
    expert: u32,
    tokens: Vec<u32>,
    /// `token * experts_per_token + rank` of each.
    choices: Vec<usize>,
}

impl SparseMlp {
    pub fn load(
        loader: &mut Loader,
        prefix: &str,
        shape: &MoeShape,
        row: usize,
    ) -> Result<SparseMlp> {
        let shared = match shape.shared_intermediate {
            None => None,
            Some(_) => Some(Shared {
                mlp: Mlp::load(loader, &format!("{prefix}mlp.shared_expert."))?,
                gate: loader.matrix(&format!("{prefix}mlp.shared_expert_gate.weight"))?,
            }),
        };
        Ok(SparseMlp {
            shape: shape.clone(),
            router: loader.matrix(&format!("{prefix}mlp.gate.weight"))?,
            shared,
            row,
            next_router: None,
        })
    }

    pub fn router(&self) -> &Weight {
        &self.router
    }

    /// Lets this layer guess what the one with `router` will choose.
    pub fn look_ahead(&mut self, router: Weight) {
        let alike = router.rows == self.router.rows && router.cols == self.router.cols;
        self.next_router = alike.then_some(router);
    }

    /// `x` and the result are `[tokens, hidden]`.
    pub fn forward(&self, cx: Context, x: &Tensor, experts: &mut Experts) -> Result<Tensor> {
        let (tokens, hidden) = x.dims2()?;
        let out = ops::values(x, |x| {
            let (mut ids, weights) = self.route(cx, &self.router, x, tokens);
            experts.record_routing(self.row, &mut ids, self.shape.experts_per_token);
            if let Some(next) = &self.next_router
                && experts.looks_ahead()
            {
                let (guess, _) = self.route(cx, next, x, tokens);
                experts.foresee(self.row + 1, &guess);
            }
            self.mix(cx, x, hidden, &ids, &weights, experts)
        })?;
        Ok(Tensor::from_vec(out, (tokens, hidden), &Device::Cpu)?)
    }

    /// Expert numbers and weights, `[tokens, experts_per_token]`, best first.
    fn route(
        &self,
        cx: Context,
        router: &Weight,
        x: &[f32],
        tokens: usize,
    ) -> (Vec<u32>, Vec<f32>) {
        let s = &self.shape;
        let mut logits = vec![0.0; tokens * s.experts];
        kernels::matmul(cx.compute, router.matrix(), x, &mut logits);
        let mut ids = vec![0; tokens * s.experts_per_token];
        let mut weights = vec![0.0; ids.len()];
        kernels::router_topk(
            &logits,
            s.experts,
            s.experts_per_token,
            s.normalise,
            &mut ids,
            &mut weights,
        );
        (ids, weights)
    }

    fn mix(
        &self,
        cx: Context,
        x: &[f32],
        hidden: usize,
        ids: &[u32],
        weights: &[f32],
        experts: &mut Experts,
    ) -> Result<Vec<f32>> {
        let chosen = self.shape.experts_per_token;
        let groups = self.group(ids);
        let mut row_of = vec![0; ids.len()];
        let choices = groups.iter().flat_map(|g| &g.choices);
        choices
            .enumerate()
            .for_each(|(row, choice)| row_of[*choice] = row);

        let mut outputs = experts.take_outputs(ids.len() * hidden);
        let all: Vec<u32> = (0..(x.len() / hidden) as u32).collect();
        let mut shared_out = vec![0.0; if self.shared.is_some() { x.len() } else { 0 }];
        let mut pending_shared = self.shared.as_ref();
        let mut rest = outputs.as_mut_slice();
        let mut outs: Vec<Option<&mut [f32]>> = Vec::with_capacity(groups.len());
        for group in &groups {
            let (out, others) = rest.split_at_mut(group.tokens.len() * hidden);
            rest = others;
            outs.push(Some(out));
        }
        let wanted: Vec<u32> = groups.iter().map(|g| g.expert).collect();
        experts.begin(self.row, &wanted);
        // Those in memory first; the others as they come in from disk.
        while let Some(ready) = experts.ready(cx.cancel)? {
            let mut tasks = Vec::with_capacity(ready.len() + 1);
            for i in ready {
                let Some(out) = outs[i].take() else { continue };
                let group = &groups[i];
                let [gate, up, down] = experts.matrices(self.row, group.expert);
                tasks.push(ExpertTask {
                    gate,
                    up,
                    down,
                    tokens: &group.tokens,
                    out,
                });
            }
            if let Some(shared) = pending_shared.take() {
                tasks.push(shared.mlp.task(&all, &mut shared_out));
            }
            kernels::swiglu(cx.compute, x, &mut tasks);
        }

        let mut sum = vec![0.0; x.len()];
        kernels::weighted_rows(cx.compute, &outputs, &row_of, weights, chosen, &mut sum);
        experts.keep_outputs(outputs);
        if let Some(shared) = &self.shared {
            let mut gate = vec![0.0; x.len() / hidden];
            kernels::matmul(cx.compute, shared.gate.matrix(), x, &mut gate);
            kernels::add_scaled_sigmoid(cx.compute, &mut sum, &shared_out, &gate);
        }
        Ok(sum)
    }

    fn group(&self, ids: &[u32]) -> Vec<Group> {
        let chosen = self.shape.experts_per_token;
        let mut place = vec![usize::MAX; self.shape.experts];
        let mut groups: Vec<Group> = Vec::new();
        for (choice, expert) in ids.iter().enumerate() {
            let at = &mut place[*expert as usize];
            if *at == usize::MAX {
                *at = groups.len();
                groups.push(Group {
                    expert: *expert,
                    tokens: Vec::new(),
                    choices: Vec::new(),
                });
            }
            groups[*at].tokens.push((choice / chosen) as u32);
            groups[*at].choices.push(choice);
        }
        groups
    }
}
