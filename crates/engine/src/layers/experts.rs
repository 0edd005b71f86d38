//! Mixture of experts: a router picks a few experts per token; their outputs are
//! summed in the order of the router's choice, so that the result does not
//! depend on which experts happened to be in memory.

use std::time::Instant;

use moestro_cuda as cuda;
use moestro_kernels::{self as kernels, ExpertTask};

use super::Context;
use super::mlp::Mlp;
use crate::blueprint::MoeShape;
use crate::error::Result;
use crate::experts::{Experts, Sent};
use crate::ops::{self, Array, Choice, Place};
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
    /// Where their outputs begin.
    first_row: usize,
    by: By,
}

/// Who computes an expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Processor,
    /// A GPU that has it.
    Gpu,
    /// A GPU, when it has been sent up.
    GpuLater,
}

/// Decides who computes each group and gives it its rows of the outputs, the
/// processor's first. Returns how many rows these are.
fn divide(groups: &mut [Group], place: Place, experts: &Experts) -> usize {
    let on_gpu = experts.on_gpu();
    for group in groups.iter_mut() {
        if on_gpu.contains(&group.expert) {
            group.by = By::Gpu;
        }
    }
    let mut below: Vec<&mut Group> = groups
        .iter_mut()
        .filter(|group| group.by == By::Processor)
        .collect();
    let tokens: Vec<usize> = below.iter().map(|group| group.tokens.len()).collect();
    if place == Place::Gpu {
        for i in experts.worth_sending(&tokens) {
            below[i].by = By::GpuLater;
        }
    }
    let (first, others): (Vec<_>, Vec<_>) = groups.iter_mut().partition(|g| g.by == By::Processor);
    let rows_below = first.iter().map(|group| group.tokens.len()).sum();
    let mut next = 0;
    for group in first.into_iter().chain(others) {
        group.first_row = next;
        next += group.tokens.len();
    }
    rows_below
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
        let shape = |r: &Weight| (r.rows, r.cols, r.place());
        let alike = shape(&router) == shape(&self.router);
        self.next_router = alike.then_some(router);
    }

    /// Adds to the residual stream `to` what the experts make of its norm `x`, both
    /// `[tokens, hidden]`.
    pub fn add_to(
        &self,
        cx: Context,
        to: &mut Array,
        x: &Array,
        experts: &mut Experts,
    ) -> Result<()> {
        let (logits, gate) = match &self.shared {
            None => (ops::linear(cx, &self.router, x)?, None),
            Some(shared) => {
                let [logits, gate] = ops::linear_many(cx, [&self.router, &shared.gate], x)?;
                (logits, Some(gate))
            }
        };
        // A GPU has the shared expert to compute while the processor looks at the
        // choice, and the processor copies to send up while the GPU gets there.
        let mut shared = None;
        let on_gpu = self.shared.as_ref().filter(|_| x.place() == Place::Gpu);
        let mut choice = self.choose(cx, &logits, x, || {
            shared = on_gpu.map(|s| s.mlp.forward(cx, x)).transpose()?;
            experts.copy_up()
        })?;
        experts.record_routing(self.row, &mut choice.ids, self.shape.experts_per_token);
        if let Some(next) = &self.next_router
            && experts.looks_ahead()
        {
            let logits = ops::linear(cx, next, x)?;
            let guess = self.choose(cx, &logits, x, || Ok(()))?;
            experts.foresee(self.row + 1, &guess.ids);
        }

        let mut groups = self.group(&choice.ids);
        let wanted: Vec<u32> = groups.iter().map(|g| g.expert).collect();
        experts.begin(self.row, &wanted);
        let rows_below = divide(&mut groups, x.place(), experts);
        let mut row_of = vec![0; choice.ids.len()];
        for group in &groups {
            let rows = group.first_row..;
            let choices = group.choices.iter().zip(rows);
            choices.for_each(|(choice, row)| row_of[*choice] = row);
        }

        // A GPU computes while the processor does.
        let mut above = self.compute_above(cx, x, &groups, row_of.len(), experts)?;
        let there = (x, choice.x.as_ref());
        let (below, shared_below) =
            self.compute_below(cx, there, &groups, rows_below, above.as_mut(), experts)?;
        let outputs = match above {
            None => {
                shared = shared_below.map(Array::Host);
                Array::Host(below)
            }
            Some(mut all) => {
                if rows_below > 0 {
                    all.write(0, &below)?;
                }
                experts.keep_outputs(below);
                Array::Gpu(all)
            }
        };
        let (shared, chosen) = (
            shared.as_ref().zip(gate.as_ref()),
            self.shape.experts_per_token,
        );
        ops::add_experts(cx, to, &outputs, &row_of, &choice.weights, shared, chosen)?;
        if let Array::Host(outputs) = outputs {
            experts.keep_outputs(outputs);
        }
        Ok(())
    }

    /// The experts of each token, `[tokens, experts_per_token]`.
    fn choose<'a>(
        &self,
        cx: Context,
        logits: &Array,
        x: &'a Array,
        meanwhile: impl FnOnce() -> Result<()>,
    ) -> Result<Choice<'a>> {
        let s = &self.shape;
        let wanted = [s.experts, s.experts_per_token];
        ops::router_choice(cx, logits, wanted, s.normalise, x, meanwhile)
    }

    /// Has the GPU, if `x` is there, compute the experts that are there. Returns the
    /// outputs of all `rows` choices, of which the others are yet to come.
    fn compute_above(
        &self,
        cx: Context,
        x: &Array,
        groups: &[Group],
        rows: usize,
        experts: &Experts,
    ) -> Result<Option<cuda::Array>> {
        let Array::Gpu(input) = x else {
            return Ok(None);
        };
        let gpu = cx.gpu();
        let mut outputs = gpu.empty(rows * self.router.cols)?;
        let tasks: Vec<cuda::ExpertTask> = groups
            .iter()
            .filter(|group| group.by == By::Gpu)
            .map(|group| {
                let [gate, up, down] = experts.vram_matrices(self.row, group.expert);
                cuda::ExpertTask {
                    gate,
                    up,
                    down,
                    tokens: &group.tokens,
                    first_row: group.first_row,
                }
            })
            .collect();
        cuda::swiglu(gpu, input, &tasks, &mut outputs)?;
        Ok(Some(outputs))
    }

    /// Computes on the processor the experts that are its own, those in RAM first, the
    /// others as they come in from disk, and the shared expert if there is no GPU;
    /// meanwhile sends up what a GPU computes later. `x` is given in both places.
    fn compute_below(
        &self,
        cx: Context,
        (there, x): (&Array, &[f32]),
        groups: &[Group],
        rows: usize,
        mut on_gpu: Option<&mut cuda::Array>,
        experts: &mut Experts,
    ) -> Result<(Vec<f32>, Option<Vec<f32>>)> {
        let hidden = self.router.cols;
        let mut outputs = experts.take_outputs(rows * hidden);
        let all: Vec<u32> = (0..(x.len() / hidden) as u32).collect();
        let shared = self.shared.as_ref().filter(|_| on_gpu.is_none());
        let mut shared_out = shared.map(|_| vec![0.0; x.len()]);
        let mut pending_shared = shared.zip(shared_out.as_deref_mut());
        let mut rest = outputs.as_mut_slice();
        let mut outs: Vec<Option<&mut [f32]>> = Vec::with_capacity(groups.len());
        for group in groups {
            let rows = match group.by {
                By::Processor => group.tokens.len(),
                By::Gpu | By::GpuLater => 0,
            };
            let (out, others) = rest.split_at_mut(rows * hidden);
            rest = others;
            outs.push(Some(out));
        }
        while let Some(ready) = experts.ready(cx.cancel)? {
            let mut stage = experts.take_stage();
            let mut tasks = Vec::with_capacity(ready.len() + 1);
            let mut sent = Vec::new();
            for i in ready {
                let Some(out) = outs[i].take() else { continue };
                let group = &groups[i];
                if group.by == By::GpuLater {
                    sent.push(Sent {
                        held: experts.held(self.row, group.expert),
                        tokens: &group.tokens,
                        first_row: group.first_row,
                    });
                    continue;
                }
                let [gate, up, down] = experts.matrices(self.row, group.expert);
                tasks.push(ExpertTask {
                    gate,
                    up,
                    down,
                    tokens: &group.tokens,
                    out,
                });
            }
            let tokens: Vec<usize> = tasks.iter().map(|task| task.tokens.len()).collect();
            if let Some((shared, out)) = pending_shared.take() {
                tasks.push(shared.mlp.task(&all, out));
            }
            let start = Instant::now();
            let mut seconds = None;
            match (&mut stage, &mut on_gpu, there) {
                (Some(stage), Some(out), Array::Gpu(there)) if !sent.is_empty() => {
                    let layout = experts.layout(self.row);
                    std::thread::scope(|scope| {
                        let sending = scope.spawn(|| stage.send(layout, &sent, there, out));
                        kernels::swiglu(cx.compute, x, &mut tasks);
                        seconds = Some(start.elapsed());
                        sending.join().expect("sending does not panic")
                    })?;
                }
                _ => kernels::swiglu(cx.compute, x, &mut tasks),
            }
            let seconds = seconds.unwrap_or_else(|| start.elapsed()).as_secs_f64();
            drop((tasks, sent));
            if let Some(stage) = stage.as_mut().filter(|_| x.len() > hidden) {
                stage.stream.took_below(tokens.into_iter(), seconds);
            }
            experts.keep_stage(stage);
        }
        Ok((outputs, shared_out))
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
                    first_row: 0,
                    by: By::Processor,
                });
            }
            groups[*at].tokens.push((choice / chosen) as u32);
            groups[*at].choices.push(choice);
        }
        groups
    }
}
