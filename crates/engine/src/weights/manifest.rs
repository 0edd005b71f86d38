//! Finds every tensor of a blueprint in a checkpoint and accounts for all the
//! others, without reading any weight.

use std::collections::{BTreeSet, HashMap};

use moestro_checkpoint::{Checkpoint, Metadata, TensorInfo, scratch_for};
use moestro_kernels::{Format, Matrix, packed_bytes};

use super::names::{self, Candidate, Transform};
use super::needs::{Need, needs};
use crate::blueprint::{Blueprint, MoeShape};
use crate::error::{EngineError, Result};
use crate::precision::Precision;
use crate::protocol::Component;

/// A weight and the byte ranges that hold it, in order.
#[derive(Debug, Clone)]
pub struct Located {
    pub name: String,
    pub component: Component,
    /// In the file.
    pub format: Format,
    /// In memory.
    pub kept_as: Format,
    /// `[rows, cols]` or `[len]`.
    pub shape: Vec<usize>,
    /// Bytes in memory.
    pub bytes: u64,
    pub(super) tensor: usize,
    /// (offset inside the tensor, length).
    pub(super) ranges: Vec<(u64, u64)>,
    pub(super) transform: Transform,
}

/// One of the three matrices of an expert inside its slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpertPart {
    /// In the file.
    pub format: Format,
    /// In memory.
    pub kept_as: Format,
    pub rows: usize,
    pub cols: usize,
    /// From the start of the slot, a multiple of 64.
    pub offset: usize,
    /// In memory, the order of the columns included.
    pub bytes: usize,
    /// Bytes of that order, at the end; mostly 0.
    pub order: usize,
    pub file_bytes: usize,
    /// Memory that reading it takes.
    pub scratch: usize,
}

impl ExpertPart {
    /// The matrix whose bytes and order are `data`.
    pub fn matrix<'a>(&self, data: &'a [u8]) -> Option<Matrix<'a>> {
        matrix(self.kept_as, self.rows, self.cols, self.order, data)
    }
}

/// The matrix of `data`, of which the last `order` bytes are the order of columns.
pub(super) fn matrix(
    format: Format,
    rows: usize,
    cols: usize,
    order: usize,
    data: &[u8],
) -> Option<Matrix<'_>> {
    let (data, order_of_columns) = data.split_at_checked(data.len().checked_sub(order)?)?;
    let matrix = Matrix::new(format, rows, cols, data)?;
    match order {
        0 => Some(matrix),
        _ => matrix.ordered(order_of_columns),
    }
}

/// How the experts of one layer lie in a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpertLayout {
    pub gate: ExpertPart,
    pub up: ExpertPart,
    pub down: ExpertPart,
    /// Bytes of a slot.
    pub slot_bytes: usize,
}

/// Where one matrix of one expert begins.
#[derive(Debug, Clone, Copy)]
pub struct ExpertSegment {
    pub tensor: usize,
    pub offset: u64,
}

/// The routed experts of one layer.
#[derive(Debug, Clone)]
pub struct LayerExperts {
    pub layer: usize,
    pub layout: ExpertLayout,
    /// gate, up, down of each expert.
    pub experts: Vec<[ExpertSegment; 3]>,
}

/// Everything a model needs, found.
#[derive(Debug)]
pub struct Manifest {
    pub weights: HashMap<String, Located>,
    pub experts: Vec<LayerExperts>,
    /// Known parts of the checkpoint that are not used.
    pub skipped: Vec<String>,
    /// Elements over all used tensors.
    pub parameters: u64,
    /// Bytes by format, as it is called in the files, largest first.
    pub formats: Vec<(&'static str, u64)>,
}

impl Manifest {
    /// Errors name the tensor that is missing, misshapen or left over.
    pub fn new(
        checkpoint: &Checkpoint,
        blueprint: &Blueprint,
        precision: Precision,
    ) -> Result<Manifest> {
        let tensors = checkpoint.tensors();
        let mut search = Search {
            tensors,
            index: tensors
                .iter()
                .enumerate()
                .map(|(i, t)| (t.name.as_str(), i))
                .collect(),
            used: vec![false; tensors.len()],
            gguf: matches!(checkpoint.metadata(), Metadata::Gguf(_)),
            blueprint,
            precision,
        };
        let weights = needs(blueprint)
            .into_iter()
            .map(|need| Ok((need.name.clone(), search.locate(need)?)))
            .collect::<Result<HashMap<_, _>>>()?;
        let experts = blueprint
            .moe_layers()
            .map(|(layer, shape)| search.experts(layer, shape))
            .collect::<Result<Vec<_>>>()?;
        let skipped = search.account_for_the_rest()?;
        let mut by_format: HashMap<&str, u64> = HashMap::new();
        let mut parameters = 0;
        for (tensor, _) in tensors.iter().zip(&search.used).filter(|(_, used)| **used) {
            let name = tensor.packing().unwrap_or(tensor.format.name());
            *by_format.entry(name).or_default() += tensor.stored_bytes();
            parameters += tensor.shape.iter().map(|d| *d as u64).product::<u64>();
        }
        let mut formats: Vec<_> = by_format.into_iter().collect();
        formats.sort_by_key(|(name, bytes)| (std::cmp::Reverse(*bytes), *name));
        Ok(Manifest {
            weights,
            experts,
            skipped,
            parameters,
            formats,
        })
    }
}

impl Manifest {
    /// Formats with their shares of the bytes, such as `Q4_K 93%, Q6_K 7%`.
    pub fn format_shares(&self) -> String {
        let total: u64 = self.formats.iter().map(|(_, bytes)| bytes).sum();
        let shares: Vec<String> = self
            .formats
            .iter()
            .map(|(name, bytes)| (name, 100.0 * *bytes as f64 / total.max(1) as f64))
            .filter(|(_, share)| *share >= 0.5)
            .map(|(name, share)| format!("{name} {share:.0}%"))
            .collect();
        shares.join(", ")
    }
}

struct Search<'a> {
    tensors: &'a [TensorInfo],
    index: HashMap<&'a str, usize>,
    used: Vec<bool>,
    gguf: bool,
    blueprint: &'a Blueprint,
    precision: Precision,
}

impl Search<'_> {
    fn locate(&mut self, need: Need) -> Result<Located> {
        let candidates = names::candidates(&need.name, self.gguf, self.blueprint);
        let found = candidates
            .iter()
            .find_map(|c| self.index.get(c.tensor.as_str()).map(|i| (c, *i)));
        let Some((candidate, tensor)) = found else {
            let name = candidates.first().map_or(need.name, |c| c.tensor.clone());
            return Err(EngineError::MissingTensor { name });
        };
        self.used[tensor] = true;
        let info = &self.tensors[tensor];
        let ranges = self.ranges(&need, candidate, info)?;
        let kept_as = self.precision.weights(info.format);
        let bytes = match need.shape[..] {
            // A ragged row is refused when it is read.
            [rows, cols] => {
                (packed_bytes(kept_as, rows, cols).unwrap_or(0) + info.order_bytes()) as u64
            }
            _ => ranges.iter().map(|(_, len)| len).sum(),
        };
        Ok(Located {
            name: need.name,
            component: need.component,
            format: info.format,
            kept_as,
            shape: need.shape,
            bytes,
            tensor,
            ranges,
            transform: candidate.transform,
        })
    }

    /// Byte ranges of the candidate's rows.
    fn ranges(
        &self,
        need: &Need,
        candidate: &Candidate,
        info: &TensorInfo,
    ) -> Result<Vec<(u64, u64)>> {
        let cols = *need.shape.last().expect("needs have a shape");
        let Some(rows) = &candidate.rows else {
            expect_shape(info, &need.shape)?;
            return Ok(vec![(0, info.bytes)]);
        };
        let found_rows = info.shape.first().copied().unwrap_or(0);
        let last = rows.iter().map(|r| r.end).max().unwrap_or(0);
        // The partner weight takes the other rows, so the tensor may be larger.
        if found_rows < last || info.shape != [found_rows, cols] {
            return Err(EngineError::WrongShape {
                name: info.name.clone(),
                expected: vec![last, cols],
                found: info.shape.clone(),
            });
        }
        let row_bytes = self.row_bytes(info, found_rows, cols)? as u64;
        Ok(rows
            .iter()
            .map(|r| (r.start as u64 * row_bytes, r.len() as u64 * row_bytes))
            .collect())
    }

    fn row_bytes(&self, info: &TensorInfo, rows: usize, cols: usize) -> Result<usize> {
        info.format
            .row_bytes(cols)
            .ok_or_else(|| EngineError::RaggedRows {
                name: info.name.clone(),
                rows,
                cols,
                format: info.format.name().to_string(),
            })
    }

    fn experts(&mut self, layer: usize, shape: &MoeShape) -> Result<LayerExperts> {
        let (hidden, inner) = (self.blueprint.hidden, shape.intermediate);
        let gate = self.expert_part(layer, "gate_proj", 0, [shape.experts, inner, hidden])?;
        let up = self.expert_part(layer, "up_proj", 1, [shape.experts, inner, hidden])?;
        let down = self.expert_part(layer, "down_proj", 0, [shape.experts, hidden, inner])?;
        let aligned = |n: usize| n.next_multiple_of(64);
        let mut layout = ExpertLayout {
            gate: gate.0,
            up: up.0,
            down: down.0,
            slot_bytes: 0,
        };
        layout.up.offset = aligned(layout.gate.bytes);
        layout.down.offset = layout.up.offset + aligned(layout.up.bytes);
        layout.slot_bytes = layout.down.offset + aligned(layout.down.bytes);
        let experts = (0..shape.experts)
            .map(|e| [gate.1[e], up.1[e], down.1[e]])
            .collect();
        Ok(LayerExperts {
            layer,
            layout,
            experts,
        })
    }

    /// One matrix of all experts of a layer, wherever the file keeps it: stacked
    /// alone, stacked as gate over up (`half` picks which), or one by one.
    fn expert_part(
        &mut self,
        layer: usize,
        part: &str,
        half: usize,
        [experts, rows, cols]: [usize; 3],
    ) -> Result<(ExpertPart, Vec<ExpertSegment>)> {
        let stacked = names::stacked_experts(layer, part, self.gguf);
        let fused = names::stacked_experts(layer, "gate_up_proj", self.gguf);
        let one = |e| names::single_expert(layer, e, part);
        let segments: Vec<ExpertSegment>;
        let format;
        if let Some(&tensor) = self.index.get(stacked.as_str()) {
            format = self.take(tensor, &[experts, rows, cols])?;
            let bytes = self.matrix_bytes(tensor, rows, cols)? as u64;
            segments = (0..experts as u64)
                .map(|e| ExpertSegment {
                    tensor,
                    offset: e * bytes,
                })
                .collect();
        } else if let Some(&tensor) = self
            .index
            .get(fused.as_str())
            .filter(|_| part != "down_proj")
        {
            format = self.take(tensor, &[experts, 2 * rows, cols])?;
            let bytes = self.matrix_bytes(tensor, rows, cols)? as u64;
            segments = (0..experts as u64)
                .map(|e| ExpertSegment {
                    tensor,
                    offset: (2 * e + half as u64) * bytes,
                })
                .collect();
        } else {
            let first = if self.gguf { stacked } else { one(0) };
            let &tensor = self
                .index
                .get(first.as_str())
                .ok_or(EngineError::MissingTensor { name: first })?;
            format = self.tensors[tensor].format;
            segments = (0..experts)
                .map(|e| {
                    let name = one(e);
                    let &tensor = self
                        .index
                        .get(name.as_str())
                        .ok_or(EngineError::MissingTensor { name })?;
                    let found = self.take(tensor, &[rows, cols])?;
                    if found != format {
                        return Err(EngineError::MixedExperts {
                            name: one(e),
                            found: found.name().to_string(),
                            others: format.name().to_string(),
                        });
                    }
                    Ok(ExpertSegment { tensor, offset: 0 })
                })
                .collect::<Result<_>>()?;
        }
        let file_bytes = self.matrix_bytes(segments[0].tensor, rows, cols)?;
        let kept_as = self.precision.weights(format);
        let order = self.tensors[segments[0].tensor].order_bytes();
        Ok((
            ExpertPart {
                format,
                kept_as,
                rows,
                cols,
                offset: 0,
                bytes: order
                    + packed_bytes(kept_as, rows, cols)
                        .expect("the rows are whole blocks, as their bytes in the file show"),
                order,
                file_bytes,
                scratch: scratch_for(&self.tensors[segments[0].tensor], file_bytes),
            },
            segments,
        ))
    }

    fn take(&mut self, tensor: usize, shape: &[usize]) -> Result<Format> {
        expect_shape(&self.tensors[tensor], shape)?;
        self.used[tensor] = true;
        Ok(self.tensors[tensor].format)
    }

    fn matrix_bytes(&self, tensor: usize, rows: usize, cols: usize) -> Result<usize> {
        Ok(self.row_bytes(&self.tensors[tensor], rows, cols)? * rows)
    }

    fn account_for_the_rest(&self) -> Result<Vec<String>> {
        let mut skipped = BTreeSet::new();
        let mut unknown = Vec::new();
        for (info, _) in self
            .tensors
            .iter()
            .zip(&self.used)
            .filter(|(_, used)| !**used)
        {
            match names::skipped(&info.name, self.gguf, self.blueprint) {
                Some(what) => {
                    skipped.insert(what.to_string());
                }
                None => unknown.push(info.name.clone()),
            }
        }
        if let Some(name) = unknown.first() {
            let others = match unknown.len() {
                1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            return Err(EngineError::UnusedTensor {
                name: name.clone(),
                others,
                architecture: self.blueprint.architecture.to_string(),
            });
        }
        Ok(skipped.into_iter().collect())
    }
}

/// Dimensions of one are not compared: a convolution is `[channels, 1, taps]` in
/// one kind of file and `[channels, taps]` in the other.
fn expect_shape(info: &TensorInfo, expected: &[usize]) -> Result<()> {
    let squeezed = |s: &[usize]| s.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
    if squeezed(&info.shape) == squeezed(expected) {
        return Ok(());
    }
    Err(EngineError::WrongShape {
        name: info.name.clone(),
        expected: expected.to_vec(),
        found: info.shape.clone(),
    })
}
