//! The gated feed-forward network of experts: `down(silu(gate x) * (up x))`.

use crate::arguments::{Elements, Piece, Quantize};
use crate::array::Array;
use crate::driver::Address;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::matrix::{Matrix, reading};
use crate::names::{self, Kind};
use crate::ops::matmul::{GROUP, Input, Product, Rounded, multiply};
use crate::ops::{row_count, word};

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
    /// The results are rows `first_row` to `first_row + n` of the output.
    pub first_row: usize,
}

/// Computes all tasks over the rows of `x`, `[t, hidden]`, in three launches if they
/// are of one shape and format and `x` is rounded already. Other rows of `out` stay as they are.
///
/// # Panics
/// If the shapes of a task do not fit together, a token is not a row of `x`, or a
/// result not a row of `out`.
pub fn swiglu(gpu: &Gpu, x: &Array, tasks: &[ExpertTask], out: &mut Array) -> Result<()> {
    let Some(first) = tasks.first() else {
        return Ok(());
    };
    let hidden = first.gate.cols();
    let t = row_count("expert input", x.len(), hidden);
    let rows = row_count("expert output", out.len(), hidden);
    for task in tasks {
        check(task, hidden, t, rows);
    }
    let matrices: Vec<Matrix> = tasks.iter().flat_map(|t| [t.gate, t.up, t.down]).collect();
    reading(gpu, &matrices, || {
        // Where the inner activations of each task begin, on a group.
        let mut begins = Vec::with_capacity(tasks.len());
        let mut len = 0usize;
        for task in tasks {
            begins.push(len);
            len += (task.tokens.len() * task.gate.rows()).next_multiple_of(GROUP);
        }
        let (gates, ups) = (gpu.empty(len)?, gpu.empty(len)?);
        project(gpu, x, t, tasks, &begins, [&gates, &ups])?;
        let rounded = activate(gpu, tasks, &gates, &ups, len)?;
        down(gpu, tasks, &begins, &gates, rounded.as_ref(), out)
    })
}

fn check(task: &ExpertTask, hidden: usize, t: usize, rows: usize) {
    let intermediate = task.gate.rows();
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
    assert!(
        task.tokens.iter().all(|token| (*token as usize) < t),
        "expert: a token is beyond the {t} rows of the input"
    );
    assert!(
        task.first_row + task.tokens.len() <= rows,
        "expert: a result is beyond the {rows} rows of the output"
    );
}

/// Are the tokens neighbours, so that no list is needed?
fn neighbours(tokens: &[u32]) -> bool {
    tokens
        .windows(2)
        .all(|pair| pair[1] == pair[0].wrapping_add(1))
}

/// `gate x` and `up x` of all tasks.
fn project(
    gpu: &Gpu,
    x: &Array,
    t: usize,
    tasks: &[ExpertTask],
    begins: &[usize],
    outs: [&Array; 2],
) -> Result<()> {
    let mut lists: Vec<u32> = Vec::new();
    let mut places = Vec::with_capacity(tasks.len());
    for task in tasks {
        let listed = !neighbours(task.tokens);
        places.push(listed.then_some(lists.len()));
        if listed {
            lists.extend_from_slice(task.tokens);
        }
    }
    let lists = match lists.is_empty() {
        true => None,
        false => Some(gpu.indices(&lists)?),
    };
    let mut input = Input::of(gpu, x, t, x.len() / t.max(1));
    let mut products = Vec::with_capacity(2 * tasks.len());
    for ((task, begin), place) in tasks.iter().zip(begins).zip(places) {
        let tokens = match (&lists, place) {
            (Some(lists), Some(place)) => lists.address() + 4 * place as Address,
            _ => 0,
        };
        for (w, out) in [task.gate, task.up].iter().zip(outs) {
            let (x, about) = input.for_matrix(w)?;
            products.push(Product {
                format: w.format(),
                cols: w.cols(),
                piece: Piece {
                    weights: w.address(),
                    x,
                    about,
                    tokens,
                    out: out.at(*begin),
                    rows: word(w.rows()),
                    first: task.tokens.first().copied().unwrap_or(0),
                    count: word(task.tokens.len()),
                    ..Piece::default()
                },
            });
        }
    }
    multiply(gpu, &products)
}

/// `silu(gate) * up`, rounded if a matrix wants it so, and in place of the gates if
/// one wants floats.
fn activate(
    gpu: &Gpu,
    tasks: &[ExpertTask],
    gates: &Array,
    ups: &Array,
    len: usize,
) -> Result<Option<Rounded>> {
    let plain = |w: &Matrix| names::of(w.format()).kind == Kind::Integers && w.order().is_none();
    if !tasks.iter().any(|task| plain(&task.down)) {
        let arguments = Elements {
            a: gates.address(),
            b: ups.address(),
            len: word(len),
            ..Elements::default()
        };
        gpu.launch("silu_mul", [len.div_ceil(256), 1, 1], 256, &arguments)?;
        return Ok(None);
    }
    let floats = !tasks.iter().all(|task| plain(&task.down));
    let rounded = Rounded::empty(gpu, len)?;
    rounded.fill(
        gpu,
        Quantize {
            x: gates.address(),
            up: ups.address(),
            floats: if floats { gates.address() } else { 0 },
            rows: word(len / GROUP),
            cols: word(GROUP),
            ..Quantize::default()
        },
    )?;
    Ok(Some(rounded))
}

fn down(
    gpu: &Gpu,
    tasks: &[ExpertTask],
    begins: &[usize],
    inner: &Array,
    rounded: Option<&Rounded>,
    out: &mut Array,
) -> Result<()> {
    let mut products = Vec::with_capacity(tasks.len());
    // Held until their products are queued.
    let mut inputs = Vec::new();
    let first = out.address_mut();
    for (task, begin) in tasks.iter().zip(begins) {
        let w = &task.down;
        let integers = names::of(w.format()).kind == Kind::Integers;
        let (x, about) = match rounded {
            Some(rounded) if integers && w.order().is_none() => rounded.from(*begin),
            _ => {
                let n = task.tokens.len();
                let mut input = Input::at(gpu, inner.at(*begin), n, w.cols());
                let addresses = input.for_matrix(w)?;
                inputs.push(input);
                addresses
            }
        };
        products.push(Product {
            format: w.format(),
            cols: w.cols(),
            piece: Piece {
                weights: w.address(),
                x,
                about,
                out: first + 4 * (task.first_row * w.rows()) as Address,
                rows: word(w.rows()),
                count: word(task.tokens.len()),
                ..Piece::default()
            },
        });
    }
    multiply(gpu, &products)
}
