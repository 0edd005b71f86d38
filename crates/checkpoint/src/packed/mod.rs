//! Quantized safetensors: several tensors that hold one matrix between them.
//!
//! Each scheme is one file here and a line in [`SCHEMES`]. It says which tensors
//! belong together, checks that they fit, and brings rows of codes with their scales
//! into one order; `blocks.rs` makes from these the blocks that the kernels know.
//! Readers of a checkpoint see a matrix in such a format and nothing else.
//!
//! What a module is packed with is told by its tensors. The configuration adds what
//! they cannot say, and a method that is not in the list is refused by its name.

mod awq;
mod bitsandbytes;
mod blocks;
mod compressed;
mod fp8;
mod gptq;
mod members;
pub(crate) mod read;
mod settings;
mod spans;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use moestro_kernels::Format;

use self::blocks::Codes;
pub(crate) use self::members::{Dtype, RawTensor};
pub(crate) use self::settings::Settings;
pub(crate) use self::spans::Span;

use self::blocks::{Unpacked, encode};
use self::members::Members;
use crate::error::{CheckpointError, SAVE_AGAIN, quoted};
use crate::source::SourceFile;
use crate::tensor::TensorInfo;

/// A way of packing matrices.
struct Scheme {
    /// Values of `quant_method` that lead to it.
    methods: &'static [&'static str],
    /// As messages call it, with what of it is read.
    name: &'static str,
    /// The name of the matrix whose codes this tensor holds.
    matrix: fn(&RawTensor) -> Option<String>,
    /// Puts the matrix together. `None` leaves it to the next scheme; an error is a
    /// problem of the file that holds the codes.
    find: fn(&mut Members, &Settings) -> Result<Option<Found>, String>,
}

const SCHEMES: &[Scheme] = &[
    bitsandbytes::SCHEME,
    fp8::SCHEME,
    compressed::SCHEME,
    gptq::SCHEME,
    awq::SCHEME,
];

/// What is known, for messages.
pub(crate) fn known() -> String {
    let names: Vec<&str> = SCHEMES.iter().map(|s| s.name).collect();
    format!(
        "safetensors in BF16, F16 or F32, or packed by {}, or GGUF in one of {}",
        names.join(", "),
        crate::tensor::gguf_formats()
    )
}

/// A matrix that a scheme found.
struct Found {
    packed: Packed,
    /// `[rows, cols]`, with experts before them if they are stacked, or the number
    /// of values alone where the files do not say more.
    shape: Vec<usize>,
}

/// Where the bytes of one tensor are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub file: u32,
    pub offset: u64,
    pub bytes: u64,
}

/// How a matrix lies in the files.
#[derive(Debug)]
pub(crate) struct Packed {
    /// What the packing is called.
    pub name: &'static str,
    codes: Codes,
    /// The tensors it is made of, codes first.
    pub parts: Vec<Part>,
    layout: Box<dyn Layout>,
}

/// Rows and columns of a matrix; stacked experts are rows one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub rows: usize,
    pub cols: usize,
}

/// Where a scheme keeps what.
trait Layout: std::fmt::Debug + Send + Sync {
    /// Columns that share a scale.
    fn group(&self, cols: usize) -> usize;

    /// The part that says to which groups columns belong, if that is in no order.
    fn scattered_by(&self) -> Option<usize> {
        None
    }

    /// The columns in the order of their groups, from the bytes of that part.
    ///
    /// Errors: groups that do not fit.
    fn order(&self, _: &[u8], cols: usize) -> Result<Vec<u32>, String> {
        Ok((0..cols as u32).collect())
    }

    /// What rows `rows` need, a span of each part.
    fn spans(&self, shape: Shape, rows: &Range<usize>) -> Vec<Span>;

    /// Takes rows `take` out of the bytes of the spans of `rows`.
    ///
    /// Errors: contents that contradict themselves or what they are taken for.
    fn unpack(
        &self,
        shape: Shape,
        rows: &Range<usize>,
        raw: &[&[u8]],
        take: Range<usize>,
        out: &mut Unpacked,
    ) -> Result<(), String>;
}

/// Rows that are unpacked together: those of a byte of AWQ's, and a cache's worth.
const TOGETHER: usize = 16;

impl Packed {
    /// The format of a matrix with so many columns.
    pub fn format(&self, cols: usize) -> Format {
        blocks::format(self.codes, self.layout.group(cols), cols)
    }

    /// The part that [`Packed::order`] is read from, if a matrix of these columns is
    /// kept with its columns in the order of their groups.
    pub fn order_part(&self, cols: usize) -> Option<&Part> {
        let part = self.layout.scattered_by()?;
        (self.format(cols) != Format::F32).then(|| &self.parts[part])
    }

    /// Which column of the model each column of the matrix is.
    pub fn order(&self, part: &[u8], cols: usize) -> Result<Vec<u32>, String> {
        self.layout.order(part, cols)
    }

    /// What has to be read for `rows`.
    pub fn spans(&self, shape: Shape, rows: &Range<usize>) -> Vec<Span> {
        self.layout.spans(shape, rows)
    }

    /// Writes bytes of `rows`, of which `raw` are the spans, leaving out the first
    /// `skip`.
    pub fn decode(
        &self,
        shape: Shape,
        rows: &Range<usize>,
        raw: &[&[u8]],
        mut skip: usize,
        mut out: &mut [u8],
    ) -> Result<(), String> {
        let group = self.layout.group(shape.cols);
        let format = self.format(shape.cols);
        let row_bytes = format.row_bytes(shape.cols).expect("chosen to be whole");
        let mut unpacked = Unpacked::new(self.codes, TOGETHER, shape.cols, group);
        unpacked.sorted = format != Format::F32;
        let mut blocks = vec![0; TOGETHER * row_bytes];
        let mut start = rows.start;
        while start < rows.end && !out.is_empty() {
            let take = start..rows.end.min((start / TOGETHER + 1) * TOGETHER);
            start = take.end;
            let blocks = &mut blocks[..take.len() * row_bytes];
            self.layout.unpack(shape, rows, raw, take, &mut unpacked)?;
            encode(&unpacked, format, blocks);
            let wanted = &blocks[skip.min(blocks.len())..];
            skip = skip.saturating_sub(blocks.len());
            let (now, rest) = out.split_at_mut(wanted.len().min(out.len()));
            now.copy_from_slice(&wanted[..now.len()]);
            out = rest;
        }
        Ok(())
    }
}

/// What stands beside packed matrices and is not needed for weights alone.
const UNUSED: &[&str] = &[
    ".input_scale",
    ".input_zero_point",
    ".input_global_scale",
    ".output_scale",
    ".k_scale",
    ".v_scale",
];

/// Puts matrices together from the tensors of safetensors files.
///
/// Errors: parts that are missing or do not fit, and tensors that belong to no
/// scheme.
pub(crate) fn assemble(
    config: &Path,
    settings: &Settings,
    raw: Vec<RawTensor>,
    files: &[SourceFile],
) -> Result<Vec<TensorInfo>, CheckpointError> {
    let packed = |t: &RawTensor| SCHEMES.iter().any(|s| (s.matrix)(t).is_some());
    if !raw.iter().any(packed) {
        settings.expect_none(config)?;
    }
    let mut members = Members::new(raw);
    let mut tensors = Vec::new();
    for at in 0..members.len() {
        if members.is_taken(at) {
            continue;
        }
        for scheme in SCHEMES {
            let Some(name) = (scheme.matrix)(members.get(at)) else {
                continue;
            };
            members.begin(at);
            let found = (scheme.find)(&mut members, settings).map_err(|problem| {
                CheckpointError::malformed(
                    &files[members.get(at).file as usize].path,
                    format!("{}, packed by {}: {problem}", quoted(&name), scheme.name),
                    SAVE_AGAIN,
                )
            })?;
            if let Some(found) = found {
                tensors.push(info(name, found));
                members.commit();
                break;
            }
        }
    }
    for (t, taken) in members.into_rest() {
        if taken || UNUSED.iter().any(|end| t.name.ends_with(end)) {
            continue;
        }
        let Dtype::Float(format) = t.dtype else {
            return Err(CheckpointError::unsupported(
                &files[t.file as usize].path,
                format!(
                    "tensor {} is stored as {}, which is not supported on its own",
                    quoted(&t.name),
                    t.dtype.name()
                ),
                &format!("get the model as {}", known()),
            ));
        };
        tensors.push(TensorInfo {
            name: t.name,
            format,
            shape: t.shape,
            bytes: t.bytes,
            file: t.file,
            offset: t.offset,
            packed: None,
        });
    }
    Ok(tensors)
}

fn info(name: String, found: Found) -> TensorInfo {
    let mut info = TensorInfo {
        name,
        format: Format::F32,
        shape: found.shape,
        bytes: 0,
        file: found.packed.parts[0].file,
        offset: found.packed.parts[0].offset,
        packed: Some(Arc::new(found.packed)),
    };
    info.settle();
    info
}
