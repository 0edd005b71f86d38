//! The gated feed-forward network of experts: `down(silu(gate x) * (up x))`.

use crate::compute::Compute;
use crate::isa::vectorized;
use crate::math::{silu, zip_into};
use crate::matmul::{multiply, pieces, row_count, rows_per_task};
use crate::matrix::Matrix;
use crate::shared::SharedMut;
use crate::simd::Simd;
use std::ops::Range;

/// One expert and the tokens routed to it.
pub struct ExpertTask<'a> {
    /// `[intermediate, hidden]`
    pub gate: Matrix<'a>,
    /// `[intermediate, hidden]`
    pub up: Matrix<'a>,
    /// `[hidden, intermediate]`
    pub down: Matrix<'a>,
    /// `[n, hidden]`
    pub x: &'a [f32],
    /// `[n, hidden]`
    pub out: &'a mut [f32],
}

/// Computes all tasks in two parallel regions, split over tasks and weight rows.
///
/// # Panics
/// If the shapes of a task do not fit together.
pub fn swiglu(c: &Compute, tasks: &mut [ExpertTask]) {
    let shapes: Vec<Shape> = tasks.iter().map(Shape::of).collect();
    let mut hidden: Vec<Vec<f32>> = shapes
        .iter()
        .map(|s| vec![0.0; s.n * s.intermediate])
        .collect();

    let length = rows_per_task(
        c,
        shapes.iter().map(|s| (s.intermediate, 2 * s.hidden, s.n)),
    );
    let work = split(shapes.iter().map(|s| s.intermediate), length);
    let targets: Vec<_> = hidden.iter_mut().map(|h| SharedMut::new(h)).collect();
    let inputs: Vec<_> = tasks.iter().map(|t| (t.gate, t.up, t.x)).collect();
    c.parallel(work.len(), &|task| {
        let (i, range) = &work[task];
        let (gate, up, x) = inputs[*i];
        let width = range.len();
        let mut gates = vec![0.0; shapes[*i].n * width];
        let mut ups = vec![0.0; shapes[*i].n * width];
        multiply_into(c, gate, range, x, &mut gates);
        multiply_into(c, up, range, x, &mut ups);
        vectorized!(c.level(), |s| zip_into(s, &mut gates, &ups, |g, u| s
            .mul(silu(s, g), u)));
        for (t, row) in gates.chunks_exact(width).enumerate() {
            let at = t * shapes[*i].intermediate + range.start;
            // SAFETY: these columns belong to this task alone.
            unsafe { targets[*i].slice(at..at + width) }.copy_from_slice(row);
        }
    });
    drop(targets);

    let length = rows_per_task(c, shapes.iter().map(|s| (s.hidden, s.intermediate, s.n)));
    let work = split(shapes.iter().map(|s| s.hidden), length);
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
            &hidden[*i],
            |t, row, results| {
                let at = t * shapes[*i].hidden + row;
                // SAFETY: these columns of the output belong to this task alone.
                unsafe { out.slice(at..at + results.len()) }.copy_from_slice(results);
            },
        );
    });
}

struct Shape {
    n: usize,
    hidden: usize,
    intermediate: usize,
}

impl Shape {
    fn of(task: &ExpertTask) -> Shape {
        let (intermediate, hidden) = (task.gate.rows(), task.gate.cols());
        let n = row_count("expert input", task.x.len(), hidden);
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
        assert_eq!(
            task.out.len(),
            task.x.len(),
            "expert: output is [n, hidden]"
        );
        Shape {
            n,
            hidden,
            intermediate,
        }
    }
}

/// All rows of all matrices, in ranges of `length`, with the matrix' index.
fn split(rows: impl Iterator<Item = usize>, length: usize) -> Vec<(usize, Range<usize>)> {
    rows.enumerate()
        .flat_map(|(i, rows)| pieces(rows, length).map(move |range| (i, range)))
        .collect()
}

/// `out[n, range] = x * w[range]^T`
fn multiply_into(c: &Compute, w: Matrix, range: &Range<usize>, x: &[f32], out: &mut [f32]) {
    let width = range.len();
    let out = SharedMut::new(out);
    multiply(c.level(), w, range.clone(), x, |t, row, results| {
        let at = t * width + row - range.start;
        // SAFETY: only this thread knows `out`, and no other part is alive.
        unsafe { out.slice(at..at + results.len()) }.copy_from_slice(results);
    });
}
