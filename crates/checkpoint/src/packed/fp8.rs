//! FP8 E4M3 with scales: per block of 128 by 128 (`weight_scale_inv`, as DeepSeek's
//! and Qwen's checkpoints), or per row or matrix (`weight_scale`, as
//! compressed-tensors' float-quantized). All scales multiply, despite the first name.

use std::ops::Range;

use moestro_kernels::Format;

use super::members::{Dtype, Members, RawTensor};
use super::settings::Settings;
use super::spans::{Span, float};
use super::{Codes, Found, Layout, Scheme, Shape, Unpacked};

pub(super) const SCHEME: Scheme = Scheme {
    methods: &["fp8", "compressed-tensors"],
    name: "FP8 E4M3 (per block, channel or tensor)",
    matrix,
    find,
};

fn matrix(t: &RawTensor) -> Option<String> {
    (t.dtype == Dtype::E4m3 && t.shape.len() >= 2).then(|| t.name.clone())
}

#[derive(Debug)]
struct Fp8 {
    scale: Format,
    /// Rows and columns that share a scale, and scales per row.
    block: [usize; 2],
    across: usize,
}

fn find(members: &mut Members, settings: &Settings) -> Result<Option<Found>, String> {
    let codes = members.codes();
    let (name, shape) = (codes.name.clone(), codes.shape.clone());
    let cols = shape.last().copied().unwrap_or(1);
    let rows = codes.elements() / cols;
    let blockwise = members.has(&format!("{name}_scale_inv"));
    let named = if blockwise {
        format!("{name}_scale_inv")
    } else if members.has(&format!("{name}_scale")) {
        format!("{name}_scale")
    } else {
        return Err(format!(
            "its scales, \"{name}_scale_inv\" or \"{name}_scale\", are missing"
        ));
    };
    let (scale, shape_of_scales) = members.scales(&named)?;
    let count: usize = shape_of_scales.iter().product();
    let block = if blockwise {
        block_size(settings)?
    } else if count == 1 {
        [rows, cols]
    } else if count == rows {
        [1, cols]
    } else {
        return Err(format!(
            "its {count} scales are neither one nor one for each of {rows} rows"
        ));
    };
    let (down, across) = (rows.div_ceil(block[0]), cols.div_ceil(block[1]));
    let stacked_evenly = shape.len() == 2 || shape[shape.len() - 2].is_multiple_of(block[0]);
    if count != down * across || (shape.len() > 2 && blockwise && !stacked_evenly) {
        return Err(format!(
            "its scales have shape {shape_of_scales:?} where a matrix of {shape:?} in blocks of \
             {block:?} has {down} x {across}"
        ));
    }
    let name = match blockwise {
        true => "FP8 per block",
        false if count == 1 => "FP8 per tensor",
        false => "FP8 per channel",
    };
    let layout = Fp8 {
        scale,
        block,
        across,
    };
    Ok(Some(members.found(name, Codes::E4m3, shape, layout)))
}

fn block_size(settings: &Settings) -> Result<[usize; 2], String> {
    let Some(value) = settings.get("weight_block_size") else {
        return Ok([128, 128]);
    };
    let sizes: Vec<usize> = value
        .as_array()
        .map(|list| {
            list.iter()
                .filter_map(|n| n.as_u64())
                .map(|n| n as usize)
                .collect()
        })
        .unwrap_or_default();
    match sizes[..] {
        [a, b] if (1..=1 << 20).contains(&a) && (1..=1 << 20).contains(&b) => Ok([a, b]),
        _ => Err("weight_block_size in config.json is not two sizes".into()),
    }
}

impl Layout for Fp8 {
    fn group(&self, cols: usize) -> usize {
        // Ragged last blocks do not matter: it is from the left that they count.
        self.block[1].min(cols.next_multiple_of(128)).max(1)
    }

    fn spans(&self, shape: Shape, rows: &Range<usize>) -> Vec<Span> {
        let row = self.across * self.scale.block_bytes();
        let (from, to) = (rows.start / self.block[0], rows.end.div_ceil(self.block[0]));
        vec![
            Span::new(rows.start * shape.cols, rows.len() * shape.cols),
            Span::new(from * row, (to - from) * row),
        ]
    }

    fn unpack(
        &self,
        shape: Shape,
        rows: &Range<usize>,
        raw: &[&[u8]],
        take: Range<usize>,
        out: &mut Unpacked,
    ) -> Result<(), String> {
        let [codes, scales] = raw else {
            return Err("parts are missing".into());
        };
        for (i, row) in take.enumerate() {
            let from = &codes[(row - rows.start) * shape.cols..][..shape.cols];
            // The one pattern that is no number.
            if from.iter().any(|b| b & 0x7f == 0x7f) {
                return Err(format!("row {row} holds values that are not numbers"));
            }
            let (to, to_scales, _) = out.row(i);
            to.copy_from_slice(from);
            let down = row / self.block[0] - rows.start / self.block[0];
            for (g, scale) in to_scales.iter_mut().enumerate() {
                *scale = float(self.scale, scales, down * self.across + g);
            }
        }
        Ok(())
    }
}
