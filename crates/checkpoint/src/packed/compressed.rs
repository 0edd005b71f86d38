//! compressed-tensors "pack-quantized": codes of four or eight bits along the
//! columns of each row, the first in the lowest bits; they are signed numbers plus
//! half their range. Scales per group of columns; zero points, if any, packed along
//! the rows. Its "float-quantized" is in `fp8.rs`.

use std::ops::Range;

use moestro_kernels::Format;

use super::members::{Dtype, Members, RawTensor, expect_shape};
use super::settings::Settings;
use super::spans::{Span, float, word};
use super::{Codes, Found, Layout, Scheme, Shape, Unpacked};

pub(super) const SCHEME: Scheme = Scheme {
    methods: &["compressed-tensors"],
    name: "compressed-tensors (pack-quantized in 4 and 8 bits, float-quantized)",
    matrix,
    find,
};

fn matrix(t: &RawTensor) -> Option<String> {
    let name = t.name.strip_suffix("_packed")?;
    (t.dtype == Dtype::I32 && t.shape.len() == 2).then(|| name.to_string())
}

#[derive(Debug)]
struct Compressed {
    bits: usize,
    /// Words of a row of codes.
    words: usize,
    groups: usize,
    group: usize,
    scale: Format,
    zeros: bool,
}

fn find(members: &mut Members, settings: &Settings) -> Result<Option<Found>, String> {
    let codes = members.codes();
    let name = codes.name.trim_end_matches("_packed").to_string();
    let [rows, words] = codes.shape[..] else {
        return Ok(None);
    };
    let bits = bits(settings)?;
    let cols = words * 32 / bits;
    let (scale, shape) = members.scales(&format!("{name}_scale"))?;
    let groups = match shape[..] {
        [n] if n == rows => 1,
        [n, groups] if n == rows && groups > 0 => groups,
        _ => {
            return Err(format!(
                "its scales have shape {shape:?}, its codes {rows} rows"
            ));
        }
    };
    if !cols.is_multiple_of(groups) {
        return Err(format!("its {cols} columns are not {groups} groups"));
    }
    let group = cols / groups;
    let said = weights(settings).and_then(|w| w.get("group_size")?.as_u64());
    if said.is_some_and(|said| said != group as u64) {
        return Err(format!(
            "its tensors have groups of {group}, the configuration says {}",
            said.unwrap_or(0)
        ));
    }
    members.required(&format!("{name}_shape"), &[Dtype::I64])?;
    let zeros = match members.optional(&format!("{name}_zero_point")) {
        None => false,
        Some(t) if t.dtype == Dtype::I32 => {
            expect_shape(t, &[rows.div_ceil(32 / bits), groups])?;
            true
        }
        Some(t) => return Err(format!("its zero points are stored as {}", t.dtype.name())),
    };
    if members.optional(&format!("{name}_g_idx")).is_some() {
        return Err("its columns are in the order of their activations, which is not read".into());
    }
    let layout = Compressed {
        bits,
        words,
        groups,
        group,
        scale,
        zeros,
    };
    let (name, codes) = match bits {
        4 => ("compressed-tensors 4 bits", Codes::Int4),
        _ => ("compressed-tensors 8 bits", Codes::Int8),
    };
    Ok(Some(members.found(name, codes, vec![rows, cols], layout)))
}

/// The settings of weights, of which the first group's stand for all.
fn weights(settings: &Settings) -> Option<&serde_json::Value> {
    let groups = settings.get("config_groups")?.as_object()?;
    groups.values().next()?.get("weights")
}

fn bits(settings: &Settings) -> Result<usize, String> {
    match weights(settings).and_then(|w| w.get("num_bits")?.as_u64()) {
        None | Some(4) => Ok(4),
        Some(8) => Ok(8),
        Some(bits) => Err(format!("it has {bits} bits; 4 and 8 are read")),
    }
}

impl Layout for Compressed {
    fn group(&self, _: usize) -> usize {
        self.group
    }

    fn spans(&self, _: Shape, rows: &Range<usize>) -> Vec<Span> {
        let per_word = 32 / self.bits;
        let each = |size: usize| Span::new(rows.start * size, rows.len() * size);
        let mut spans = vec![
            each(4 * self.words),
            each(self.groups * self.scale.block_bytes()),
            Span::new(0, 16),
        ];
        if self.zeros {
            let (first, last) = (rows.start / per_word, rows.end.div_ceil(per_word));
            spans.push(Span::new(
                4 * first * self.groups,
                4 * (last - first) * self.groups,
            ));
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
        let [codes, scales, said, zeros @ ..] = raw else {
            return Err("parts are missing".into());
        };
        if take.start == rows.start {
            let number = |i: usize| i64::from_le_bytes(*said[8 * i..].first_chunk().expect("two"));
            if [number(0), number(1)] != [shape.rows as i64, shape.cols as i64] {
                return Err(format!(
                    "its weight_shape is {} x {}, its codes are {} x {}",
                    number(0),
                    number(1),
                    shape.rows,
                    shape.cols
                ));
            }
        }
        let per_word = 32 / self.bits;
        let half = 1u8 << (self.bits - 1);
        for (i, row) in take.enumerate() {
            let at = row - rows.start;
            let (to, to_scales, to_zeros) = out.row(i);
            to.copy_from_slice(&codes[4 * self.words * at..][..to.len()]);
            for group in 0..self.groups {
                to_scales[group] = float(self.scale, scales, at * self.groups + group);
                to_zeros[group] = match zeros {
                    [zeros] => {
                        let w = (row / per_word - rows.start / per_word) * self.groups + group;
                        (word(zeros, w) >> (self.bits * (row % per_word))) as u8
                            & ((half - 1) | half)
                    }
                    _ => half,
                };
            }
        }
        Ok(())
    }
}
