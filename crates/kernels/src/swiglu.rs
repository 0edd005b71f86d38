//! The gated feed-forward network of experts: `down(silu(gate x) * (up x))`.

use crate::activations::{BATCH, Batches, GROUP, Group, quantize};
use crate::compute::Compute;
use crate::formats::is_integer;
use crate::input::Input;
use crate::isa::{Level, vectorized};
use crate::math::{silu, zip_into};
use crate::matmul::{pieces, row_count, rows_per_task};
use crate::matrix::Matrix;
use crate::multiply::multiply;
use crate::shared::SharedMut;
use crate::simd::Simd;
use std::cmp::Reverse;
use std::ops::Range;

/// One expert and the tokens routed to it.
pub struct ExpertTask<'a> {
    /// `[intermediate, hidden]`
    pub gate: Matrix<'a>,
    /// `[intermediate, hidden]`
    pub up: Matrix<'a>,
    /// `[hidden, intermediate]`
    pub down: Matrix<'a>,
    /// Rows of the input, `n` of them.
    pub tokens: &'a [u32],
    /// `[n, hidden]`
    pub out: &'a mut [f32],
}

/// Computes all tasks over the rows of `x`, `[t, hidden]`, in two parallel
/// regions, split over tasks and weight rows.
///
/// # Panics
/// If the shapes of a task do not fit together, or a token is not a row of `x`.
pub fn swiglu(c: &Compute, x: &[f32], tasks: &mut [ExpertTask]) {
    let Some(first) = tasks.first() else { return };
    let hidden = first.gate.cols();
    let t = row_count("expert input", x.len(), hidden);
    let shapes: Vec<Shape> = tasks
        .iter()
        .map(|task| Shape::of(task, t, hidden))
        .collect();
    let formats = tasks.iter().flat_map(|t| [t.gate.format(), t.up.format()]);
    let input = Input::new(c, x, hidden, formats);
    let mut inner: Vec<Inner> = tasks
        .iter()
        .zip(&shapes)
        .map(|(task, shape)| Inner::new(task.down, shape))
        .collect();

    let length = rows_per_task(c, shapes.iter().map(|s| (s.intermediate, 2 * hidden, s.n)));
    let work = longest_first(&shapes, |shape| {
        // A task that gathers its tokens has to be worth it.
        let length = match shape.n < t {
            true => length.max(WORTH_GATHERING),
            false => length,
        };
        (shape.intermediate, length)
    });
    let targets: Vec<_> = inner.iter_mut().map(Inner::share).collect();
    let weights: Vec<_> = tasks.iter().map(|t| (t.gate, t.up, t.tokens)).collect();
    let ordered: Vec<[Option<Input>; 2]> = tasks
        .iter()
        .map(|t| {
            [&t.gate, &t.up].map(|w| {
                w.order()?;
                input.select(t.tokens).in_order_of(c, w)
            })
        })
        .collect();
    c.parallel(work.len(), &|task| {
        let (i, range) = &work[task];
        let (gate, up, tokens) = weights[*i];
        let width = range.len();
        let mut gates = vec![0.0; tokens.len() * width];
        let mut ups = vec![0.0; tokens.len() * width];
        let input = input.select(tokens);
        let [for_gate, for_up] = &ordered[*i];
        let for_gate = for_gate.as_ref().unwrap_or(&input);
        let for_up = for_up.as_ref().unwrap_or(&input);
        multiply_into(c.level(), gate, range, for_gate, &mut gates);
        multiply_into(c.level(), up, range, for_up, &mut ups);
        vectorized!(c.level(), |s| {
            zip_into(s, &mut gates, &ups, |g, u| s.mul(silu(s, g), u));
            for (n, row) in gates.chunks_exact(width).enumerate() {
                targets[*i].write(s, &shapes[*i], n, range.start, row);
            }
        });
    });
    drop(targets);

    let inputs: Vec<Input> = inner
        .iter_mut()
        .zip(&shapes)
        .zip(tasks.iter())
        .map(|((inner, shape), task)| inner.input(c, shape, &task.down))
        .collect();
    let length = rows_per_task(c, shapes.iter().map(|s| (hidden, s.intermediate, s.n)));
    let work = longest_first(&shapes, |_| (hidden, length));
    let downs: Vec<_> = tasks
        .iter_mut()
        .map(|t| (t.down, SharedMut::new(t.out)))
        .collect();
    c.parallel(work.len(), &|task| {
        let (i, range) = &work[task];
        let (down, out) = &downs[*i];
        multiply(
            c.level(),
            *down,
            range.clone(),
            &inputs[*i],
            &|n, row, results| {
                let at = n * hidden + row;
                // SAFETY: these columns of the output belong to this task alone.
                unsafe { out.slice(at..at + results.len()) }.copy_from_slice(results);
            },
        );
    });
}

/// All weight rows of all experts, in ranges of lengths: `rows` gives both. Those with
/// the most tokens come first, so that no thread is left with one of them at the end.
fn longest_first(
    shapes: &[Shape],
    rows: impl Fn(&Shape) -> (usize, usize),
) -> Vec<(usize, Range<usize>)> {
    let ranges = |(i, shape): (usize, &Shape)| {
        let (rows, length) = rows(shape);
        pieces(rows, length).map(move |range| (i, range))
    };
    let mut work: Vec<_> = shapes.iter().enumerate().flat_map(ranges).collect();
    work.sort_by_key(|(i, _)| Reverse(shapes[*i].n));
    work
}

/// Weight rows for which a task may gather its tokens first: usually all.
const WORTH_GATHERING: usize = 8 * BATCH;

struct Shape {
    n: usize,
    intermediate: usize,
}

impl Shape {
    fn batches(&self) -> Batches {
        Batches {
            rows: self.n,
            per_row: self.intermediate / GROUP,
        }
    }

    fn of(task: &ExpertTask, t: usize, hidden: usize) -> Shape {
        let intermediate = task.gate.rows();
        let n = task.tokens.len();
        assert_eq!(task.gate.cols(), hidden, "expert: as wide as the input");
        assert_eq!(
            (task.up.rows(), task.up.cols()),
            (intermediate, hidden),
            "expert: up is shaped as gate"
        );
        assert_eq!(
            (task.down.rows(), task.down.cols()),
            (hidden, intermediate),
            "expert: down is shaped as gate transposed"
        );
        assert_eq!(task.out.len(), n * hidden, "expert: output is [n, hidden]");
        assert!(
            task.tokens.iter().all(|token| (*token as usize) < t),
            "expert: a token is beyond the {t} rows of the input"
        );
        Shape { n, intermediate }
    }
}

/// What goes into the down projection of a task, `[n, intermediate]`.
enum Inner {
    Floats(Vec<f32>),
    Groups(Vec<Group>),
}

/// The same while tasks write to it.
enum Target<'a> {
    Floats(SharedMut<'a, f32>),
    Groups(SharedMut<'a, Group>),
}

impl Inner {
    fn new(down: Matrix, shape: &Shape) -> Inner {
        let len = shape.n * shape.intermediate;
        match is_integer(down.format()) && down.order().is_none() {
            true => Inner::Groups(vec![Group::ZERO; len / GROUP]),
            false => Inner::Floats(vec![0.0; len]),
        }
    }

    fn share(&mut self) -> Target<'_> {
        match self {
            Inner::Floats(x) => Target::Floats(SharedMut::new(x)),
            Inner::Groups(x) => Target::Groups(SharedMut::new(x)),
        }
    }

    fn input(&mut self, c: &Compute, shape: &Shape, down: &Matrix) -> Input<'_> {
        match self {
            Inner::Floats(x) => {
                let input = Input::new(c, x, shape.intermediate, std::iter::empty());
                input.in_order_of(c, down).unwrap_or(input)
            }
            Inner::Groups(x) => Input::of_groups(std::mem::take(x), shape.batches()),
        }
    }
}

impl Target<'_> {
    /// Writes the values of row `n` from column `first` on, the begin of a group if
    /// there are groups.
    #[inline(always)]
    fn write<S: Simd>(&self, s: S, shape: &Shape, n: usize, first: usize, values: &[f32]) {
        match self {
            Target::Floats(to) => {
                let at = n * shape.intermediate + first;
                // SAFETY: these columns belong to the calling task alone.
                unsafe { to.slice(at..at + values.len()) }.copy_from_slice(values);
            }
            Target::Groups(to) => {
                let (groups, _) = values.as_chunks::<GROUP>();
                for (i, values) in groups.iter().enumerate() {
                    let at = shape.batches().at(n, first / GROUP + i);
                    // SAFETY: as above.
                    let to = unsafe { to.slice(at..at + 1) };
                    to[0] = quantize(s, values);
                }
            }
        }
    }
}

/// `out[n, range] = input * w[range]^T`
fn multiply_into(level: Level, w: Matrix, range: &Range<usize>, input: &Input, out: &mut [f32]) {
    let width = range.len();
    let out = SharedMut::new(out);
    multiply(level, w, range.clone(), input, &|n, row, results| {
        let at = n * width + row - range.start;
        // SAFETY: only this thread knows `out`, and no other part is alive.
        unsafe { out.slice(at..at + results.len()) }.copy_from_slice(results);
    });
}
