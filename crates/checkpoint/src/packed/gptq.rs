//! GPTQ (AutoGPTQ, GPTQModel, auto-round): eight codes of four bits or four of
//! eight per word along the columns, words of all rows side by side; zero points
//! packed along the rows, in version 1 less one; scales per group of columns.
//!
//! With `desc_act` columns belong to groups in no order, which `g_idx` tells: they
//! are put in the order of their groups, and activations have to follow.

use std::ops::Range;

use moestro_kernels::Format;

use super::members::{Dtype, Members, RawTensor, expect_shape};
use super::settings::Settings;
use super::spans::{Span, float, word};
use super::{Codes, Found, Layout, Scheme, Shape, Unpacked};

pub(super) const SCHEME: Scheme = Scheme {
    methods: &["gptq", "auto-round"],
    name: "GPTQ and auto-round (4 and 8 bits)",
    matrix,
    find,
};

const I32: &[Dtype] = &[Dtype::I32];

fn matrix(t: &RawTensor) -> Option<String> {
    let module = t.name.strip_suffix(".qweight")?;
    (t.dtype == Dtype::I32 && t.shape.len() == 2).then(|| format!("{module}.weight"))
}

#[derive(Debug)]
struct Gptq {
    bits: usize,
    groups: usize,
    group: usize,
    scale: Format,
    /// Zero points are stored less one.
    less_one: bool,
    g_idx: bool,
    /// The columns are in no order.
    scattered: bool,
}

fn find(members: &mut Members, settings: &Settings) -> Result<Option<Found>, String> {
    let codes = members.codes();
    let module = codes.name.trim_end_matches("qweight").to_string();
    let [words, rows] = codes.shape[..] else {
        return Ok(None);
    };
    let (scale, shape) = members.scales(&format!("{module}scales"))?;
    let [groups, width] = shape[..] else {
        return Err("its scales are not a matrix".into());
    };
    if width == 8 * rows || settings.method() == Some("awq") {
        return Ok(None);
    }
    if width != rows {
        return Err(format!(
            "its scales are for {width} rows, its codes for {rows}"
        ));
    }
    let zeros = members.required(&format!("{module}qzeros"), I32)?;
    let zeros_shape = zeros.shape.clone();
    // As many zero points as scales: how many share a word tells their bits.
    let bits = match zeros_shape[..] {
        [g, w] if g == groups && w * 8 == rows => 4,
        [g, w] if g == groups && w * 4 == rows => 8,
        _ => {
            return Err(format!(
                "its zero points have shape {zeros_shape:?}, which fits neither 4 nor 8 bits for \
                 {groups} groups of {rows} rows"
            ));
        }
    };
    let cols = words * 32 / bits;
    if !cols.is_multiple_of(groups) {
        return Err(format!("its {cols} columns are not {groups} groups"));
    }
    let group = cols / groups;
    if let Some(said) = settings.number("bits").filter(|said| *said != bits as u64) {
        return Err(format!(
            "its tensors have {bits} bits, the configuration says {said}"
        ));
    }
    let said = settings.get("group_size").and_then(|v| v.as_i64());
    if said.is_some_and(|said| said > 0 && said != group as i64 && group != cols) {
        return Err(format!(
            "its tensors have groups of {group}, the configuration says {}",
            said.unwrap_or(0)
        ));
    }
    let g_idx = match members.optional(&format!("{module}g_idx")) {
        None => false,
        Some(t) if t.dtype == Dtype::I32 => {
            expect_shape(t, &[cols])?;
            true
        }
        Some(t) => return Err(format!("its g_idx is stored as {}", t.dtype.name())),
    };
    let layout = Gptq {
        bits,
        groups,
        group,
        scale,
        less_one: settings.text("checkpoint_format") != Some("gptq_v2"),
        g_idx,
        scattered: g_idx && settings.flag("desc_act") == Some(true),
    };
    let (name, codes) = match bits {
        4 => ("GPTQ 4 bits", Codes::Int4),
        _ => ("GPTQ 8 bits", Codes::Int8),
    };
    Ok(Some(members.found(name, codes, vec![rows, cols], layout)))
}

impl Layout for Gptq {
    fn group(&self, _: usize) -> usize {
        self.group
    }

    fn scattered_by(&self) -> Option<usize> {
        self.scattered.then_some(3)
    }

    fn order(&self, g_idx: &[u8], cols: usize) -> Result<Vec<u32>, String> {
        Ok(self.sorted(&self.groups(g_idx, cols)?))
    }

    fn spans(&self, shape: Shape, rows: &Range<usize>) -> Vec<Span> {
        let per_word = 32 / self.bits;
        let scale = self.scale.block_bytes();
        let (first, last) = (rows.start / per_word, rows.end.div_ceil(per_word));
        let of = |from: usize, to: usize, size: usize, width: usize, count: usize| {
            Span::columns(from * size, (to - from) * size, width * size, count)
        };
        let (from, to) = (rows.start, rows.end);
        let mut spans = vec![
            of(from, to, 4, shape.rows, shape.cols / per_word),
            of(from, to, scale, shape.rows, self.groups),
            of(first, last, 4, shape.rows / per_word, self.groups),
        ];
        if self.g_idx {
            spans.push(Span::new(0, 4 * shape.cols));
        }
        spans
    }

    fn unpack(
        &self,
        shape: Shape,
        rows: &Range<usize>,
        raw: &[&[u8]],
        take: Range<usize>,
        out: &mut Unpacked,
    ) -> Result<(), String> {
        let [codes, scales, zeros, g_idx @ ..] = raw else {
            return Err("parts are missing".into());
        };
        if let [g_idx] = g_idx
            && take.start == rows.start
        {
            let groups = self.groups(g_idx, shape.cols)?;
            if out.sorted && self.scattered {
                out.order = self.sorted(&groups);
            } else {
                out.group_of = groups;
            }
        }
        let per_word = 32 / self.bits;
        let width = rows.len();
        let zeros_width = rows.end.div_ceil(per_word) - rows.start / per_word;
        let mask = (1u32 << self.bits) - 1;
        let order = std::mem::take(&mut out.order);
        if !order.is_empty() {
            self.take_sorted(
                codes,
                width,
                take.start - rows.start,
                take.len(),
                &order,
                out,
            );
        }
        for (i, row) in take.enumerate() {
            let at = row - rows.start;
            let (to, to_scales, to_zeros) = out.row(i);
            let words = if order.is_empty() { to.len() / 4 } else { 0 };
            let to = &mut to[..4 * words];
            for (w, to) in to.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *to = word(codes, w * width + at).to_le_bytes();
            }
            let zero_at = row / per_word - rows.start / per_word;
            for group in 0..self.groups {
                to_scales[group] = float(self.scale, scales, group * width + at);
                let packed = word(zeros, group * zeros_width + zero_at);
                let stored = packed >> (self.bits * (row % per_word));
                let zero = stored + u32::from(self.less_one);
                to_zeros[group] = (zero & mask) as u8;
            }
        }
        out.order = order;
        Ok(())
    }
}

impl Gptq {
    /// Columns by their groups, within a group as they are.
    fn sorted(&self, groups: &[u32]) -> Vec<u32> {
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        order.sort_by_key(|column| groups[*column as usize]);
        order
    }

    /// Codes of `count` rows from `at` on, column by column, whose rows lie together.
    fn take_sorted(
        &self,
        codes: &[u8],
        width: usize,
        at: usize,
        count: usize,
        order: &[u32],
        out: &mut Unpacked,
    ) {
        let per_word = 32 / self.bits;
        let per_byte = 8 / self.bits;
        let row_bytes = out.row_bytes();
        out.codes.fill(0);
        for (j, column) in order.iter().enumerate() {
            let column = *column as usize;
            let from = 4 * (column / per_word * width + at);
            let (words, _) = codes[from..from + 4 * count].as_chunks::<4>();
            let shift = self.bits * (column % per_word);
            let (to, to_shift) = (j / per_byte, self.bits * (j % per_byte));
            let mask = ((1u32 << self.bits) - 1) as u8;
            for (i, word) in words.iter().enumerate() {
                let code = (u32::from_le_bytes(*word) >> shift) as u8 & mask;
                out.codes[i * row_bytes + to] |= code << to_shift;
            }
        }
    }

    /// The group of each column.
    ///
    /// Errors: groups of other sizes than the scales are for, and an order that the
    /// configuration does not know of.
    fn groups(&self, g_idx: &[u8], cols: usize) -> Result<Vec<u32>, String> {
        let mut sizes = vec![0; self.groups];
        for column in 0..cols {
            let group = word(g_idx, column) as usize;
            let Some(size) = sizes.get_mut(group) else {
                return Err(format!(
                    "its column {column} belongs to group {group} of {}",
                    self.groups
                ));
            };
            *size += 1;
            if !self.scattered && group != column / self.group {
                return Err(format!(
                    "its column {column} belongs to group {group}, but the configuration has no \
                     desc_act"
                ));
            }
        }
        match sizes.iter().find(|size| **size != self.group) {
            Some(size) => Err(format!(
                "a group has {size} columns instead of {}",
                self.group
            )),
            None => Ok((0..cols).map(|column| word(g_idx, column)).collect()),
        }
    }
}
