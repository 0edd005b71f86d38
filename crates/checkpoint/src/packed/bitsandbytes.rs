//! bitsandbytes NF4 and FP4, as Transformers saves them: two codes per byte over
//! the flattened matrix, the first in the high bits, and a scale (`absmax`) for
//! every 64 of them, which double quantization stores in a byte.

use std::ops::Range;

use moestro_kernels::Format;
use serde_json::Value;

use super::blocks::Nested;
use super::members::{Dtype, Members, RawTensor};
use super::settings::Settings;
use super::spans::{Span, float};
use super::{Codes, Found, Layout, Scheme, Shape, Unpacked};

pub(super) const SCHEME: Scheme = Scheme {
    methods: &["bitsandbytes"],
    name: "bitsandbytes (NF4, FP4)",
    matrix,
    find,
};

const F32: Dtype = Dtype::Float(Format::F32);
/// Values that share a scale, in everything that was ever published.
const BLOCK: usize = 64;

fn matrix(t: &RawTensor) -> Option<String> {
    (t.dtype == Dtype::U8 && t.name.ends_with(".weight")).then(|| t.name.clone())
}

#[derive(Debug)]
struct BitsAndBytes {
    codes: Codes,
    values: usize,
    double: bool,
    /// Of the bytes, if they are scales of scales.
    nested: Vec<usize>,
}

fn find(members: &mut Members, _: &Settings) -> Result<Option<Found>, String> {
    let name = members.codes().name.clone();
    let values = 2 * members.codes().elements();
    let part = |suffix: &str| format!("{name}.{suffix}");
    let absmax = members.required(&part("absmax"), &[Dtype::U8, F32])?;
    let (double, scales) = (absmax.dtype == Dtype::U8, absmax.elements());
    let blocks = values.div_ceil(BLOCK);
    if scales != blocks {
        return Err(format!(
            "its {values} values need {blocks} scales of {BLOCK} each, but \"{}\" has {scales}",
            part("absmax")
        ));
    }
    let fp4 = part("quant_state.bitsandbytes__fp4");
    let codes = if members.has(&fp4) {
        members.required(&fp4, &[Dtype::U8])?;
        Codes::Fp4
    } else {
        let nf4 = part("quant_state.bitsandbytes__nf4");
        members.required(&nf4, &[Dtype::U8])?;
        Codes::Nf4
    };
    let map = members.required(&part("quant_map"), &[F32])?.elements();
    let mut nested = Vec::new();
    if double {
        let scales = members.required(&part("nested_absmax"), &[F32])?.elements();
        let table = members.required(&part("nested_quant_map"), &[F32])?;
        nested = vec![scales, table.elements()];
    }
    if map != 16 || nested.get(1).is_some_and(|n| *n != 256) {
        return Err("its tables have not 16 and 256 entries".into());
    }
    let name = match codes {
        Codes::Fp4 => "bitsandbytes FP4",
        _ => "bitsandbytes NF4",
    };
    let layout = BitsAndBytes {
        codes,
        values,
        double,
        nested,
    };
    Ok(Some(members.found(name, codes, vec![values], layout)))
}

impl Layout for BitsAndBytes {
    fn group(&self, cols: usize) -> usize {
        // Blocks run on from row to row: of a row, these many always share one.
        let (mut a, mut b) = (cols, BLOCK);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        if a == BLOCK { BLOCK } else { a.max(1) }
    }

    fn spans(&self, shape: Shape, rows: &Range<usize>) -> Vec<Span> {
        let (from, to) = (rows.start * shape.cols, rows.end * shape.cols);
        let each = |unit: usize, size: usize| {
            let (from, to) = (from / unit, to.div_ceil(unit));
            Span::new(from * size, (to - from) * size)
        };
        let mut spans = vec![each(2, 1), each(BLOCK, if self.double { 1 } else { 4 })];
        // The state, and the tables.
        spans.push(Span::WHOLE);
        spans.push(Span::new(0, 64));
        spans.extend(self.nested.iter().map(|n| Span::new(0, 4 * n)));
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
        let [codes, absmax, state, map, nested @ ..] = raw else {
            return Err("parts are missing".into());
        };
        if take.start == rows.start {
            out.nested = self.check(state, map, shape)?;
        }
        let Nested { block, offset } = out.nested;
        let first = rows.start * shape.cols;
        let block_of = |value: usize| value / BLOCK - first / BLOCK;
        let scale = |i: usize| -> Result<f32, String> {
            let [scales, table] = nested else {
                return Ok(float(Format::F32, absmax, i));
            };
            let super_block = (first / BLOCK + i) / block;
            if 4 * super_block >= scales.len() {
                return Err(format!("there is no scale number {super_block} of scales"));
            }
            let code = usize::from(absmax[i]);
            let base = float(Format::F32, table, code);
            Ok(base * float(Format::F32, scales, super_block) + offset)
        };
        let group = self.group(shape.cols);
        for (i, row) in take.enumerate() {
            let start = row * shape.cols;
            let (out_codes, scales, _) = out.row(i);
            // In the file the first of two is the high one.
            let skip = start - first / 2 * 2;
            if skip.is_multiple_of(2) {
                let codes = &codes[skip / 2..][..out_codes.len()];
                for (out, code) in out_codes.iter_mut().zip(codes) {
                    *out = code.rotate_left(4);
                }
            } else {
                let nibble = |j: usize| codes.get(j / 2).map_or(0, |b| b >> (4 - 4 * (j % 2)) & 15);
                for (j, out) in out_codes.iter_mut().enumerate() {
                    *out = nibble(skip + 2 * j) | nibble(skip + 2 * j + 1) << 4;
                }
            }
            for (g, out) in scales.iter_mut().enumerate() {
                *out = scale(block_of(start + g * group))?;
            }
        }
        Ok(())
    }
}

impl BitsAndBytes {
    /// Does the state agree with the tensors, and are the codes those of the table?
    /// Returns how scales of scales are kept.
    fn check(&self, state: &[u8], map: &[u8], shape: Shape) -> Result<Nested, String> {
        let state: Value =
            serde_json::from_slice(state).map_err(|_| "its quant_state is not JSON")?;
        let number = |key: &str| state.get(key).and_then(Value::as_u64);
        if number("blocksize") != Some(BLOCK as u64) {
            return Err(format!("its quant_state has not a blocksize of {BLOCK}"));
        }
        let kind = state
            .get("quant_type")
            .and_then(Value::as_str)
            .unwrap_or("");
        let expected = if self.codes == Codes::Fp4 {
            "fp4"
        } else {
            "nf4"
        };
        if kind != expected {
            return Err(format!(
                "its quant_state says {kind:?}, its name {expected}"
            ));
        }
        let found: Vec<u64> = match state.get("shape").and_then(Value::as_array) {
            Some(list) => list.iter().filter_map(Value::as_u64).collect(),
            None => Vec::new(),
        };
        let elements = found.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
        if elements != Some(self.values as u64) || found.last() != Some(&(shape.cols as u64)) {
            return Err(format!(
                "its quant_state gives the shape {found:?}, where its {} values make rows of {}",
                self.values, shape.cols
            ));
        }
        let table = self.codes.table().expect("both kinds have one");
        let same = |(i, value): (usize, &f32)| (float(Format::F32, map, i) - value).abs() < 1e-5;
        if !table.iter().enumerate().all(same) {
            return Err(format!("its quant_map is not that of {expected}"));
        }
        let offset = state.get("nested_offset").and_then(Value::as_f64);
        Ok(Nested {
            block: number("nested_blocksize")
                .map_or(256, |n| n as usize)
                .max(1),
            offset: offset.unwrap_or(0.0) as f32,
        })
    }
}
