//! AWQ in the layout of its GEMM kernel: eight codes of four bits per word along
//! the rows, in the order 0, 2, 4, 6, 1, 3, 5, 7, a word for every column; zero
//! points alike, scales per group of columns.

use std::ops::Range;

use moestro_kernels::Format;

use super::members::{Dtype, Members, RawTensor, expect_shape};
use super::settings::Settings;
use super::spans::{Span, float, word};
use super::{Codes, Found, Layout, Scheme, Shape, Unpacked};

pub(super) const SCHEME: Scheme = Scheme {
    methods: &["awq", "auto-round"],
    name: "AWQ (4 bits, gemm)",
    matrix,
    find,
};

/// The nibble of a word in which row `i` of eight is.
const NIBBLE: [usize; 8] = [0, 4, 1, 5, 2, 6, 3, 7];
const PER_WORD: usize = 8;

fn matrix(t: &RawTensor) -> Option<String> {
    let module = t.name.strip_suffix(".qweight")?;
    (t.dtype == Dtype::I32 && t.shape.len() == 2).then(|| format!("{module}.weight"))
}

#[derive(Debug)]
struct Awq {
    groups: usize,
    group: usize,
    scale: Format,
}

fn find(members: &mut Members, settings: &Settings) -> Result<Option<Found>, String> {
    let codes = members.codes();
    let module = codes.name.trim_end_matches("qweight").to_string();
    let [cols, words] = codes.shape[..] else {
        return Ok(None);
    };
    let rows = words * PER_WORD;
    let (scale, shape) = members.scales(&format!("{module}scales"))?;
    let [groups, width] = shape[..] else {
        return Err("its scales are not a matrix".into());
    };
    if width != rows || !cols.is_multiple_of(groups) {
        return Err(format!(
            "its {groups} x {width} scales do not fit {rows} rows of {cols} columns"
        ));
    }
    let zeros = members.required(&format!("{module}qzeros"), &[Dtype::I32])?;
    expect_shape(zeros, &[groups, words])?;
    let group = cols / groups;
    let said = settings.get("group_size").and_then(|v| v.as_i64());
    if said.is_some_and(|said| said > 0 && said != group as i64 && group != cols) {
        return Err(format!(
            "its tensors have groups of {group}, the configuration says {}",
            said.unwrap_or(0)
        ));
    }
    let layout = Awq {
        groups,
        group,
        scale,
    };
    let found = members.found("AWQ 4 bits", Codes::Int4, vec![rows, cols], layout);
    Ok(Some(found))
}

impl Layout for Awq {
    fn group(&self, _: usize) -> usize {
        self.group
    }

    fn spans(&self, shape: Shape, rows: &Range<usize>) -> Vec<Span> {
        let scale = self.scale.block_bytes();
        let (first, last) = (rows.start / PER_WORD, rows.end.div_ceil(PER_WORD));
        let words = |count: usize| {
            let stride = shape.rows / PER_WORD * 4;
            Span::columns(first * 4, (last - first) * 4, stride, count)
        };
        let scales = Span::columns(
            rows.start * scale,
            rows.len() * scale,
            shape.rows * scale,
            self.groups,
        );
        vec![words(shape.cols), scales, words(self.groups)]
    }

    fn unpack(
        &self,
        _: Shape,
        rows: &Range<usize>,
        raw: &[&[u8]],
        take: Range<usize>,
        out: &mut Unpacked,
    ) -> Result<(), String> {
        let [codes, scales, zeros] = raw else {
            return Err("parts are missing".into());
        };
        let first = rows.start / PER_WORD;
        let width = rows.end.div_ceil(PER_WORD) - first;
        for (i, row) in take.enumerate() {
            let shift = 4 * NIBBLE[row % PER_WORD];
            let at = row / PER_WORD - first;
            let code = |from: &[u8], n: usize| (word(from, n * width + at) >> shift & 15) as u8;
            let (to, to_scales, to_zeros) = out.row(i);
            for (pair, to) in to.iter_mut().enumerate() {
                *to = code(codes, 2 * pair) | code(codes, 2 * pair + 1) << 4;
            }
            for group in 0..self.groups {
                let n = group * rows.len() + row - rows.start;
                to_scales[group] = float(self.scale, scales, n);
                to_zeros[group] = code(zeros, group);
            }
        }
        Ok(())
    }
}
