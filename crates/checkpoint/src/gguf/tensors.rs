//! The tensor list of a GGUF file, checked against the bytes that are there.

use moestro_kernels::Format;

use super::reader::HeaderReader;
use crate::error::{CheckpointError, quoted};
use crate::limits;
use crate::tensor::{TensorInfo, gguf_formats};

/// Reads `count` tensor entries, which end the header; the data follow at the
/// next multiple of `alignment`. The tensors have `file` 0.
pub(super) fn read(
    r: &mut HeaderReader,
    count: u64,
    alignment: u64,
) -> Result<Vec<TensorInfo>, CheckpointError> {
    let mut tensors = Vec::with_capacity(count as usize);
    for i in 0..count {
        tensors.push(entry(r, i, alignment)?);
    }
    // The header lies within the file, so this cannot wrap.
    let data_start = r.position().next_multiple_of(alignment);
    place(r, &mut tensors, data_start)?;
    Ok(tensors)
}

/// One entry; its `offset` still counts from the start of the data.
fn entry(r: &mut HeaderReader, i: u64, alignment: u64) -> Result<TensorInfo, CheckpointError> {
    let name = r.name(
        limits::GGUF_NAME_BYTES,
        format_args!("the name of tensor {i}"),
    )?;
    let shown = quoted(&name);
    let dimensions = r.u32(format_args!("the dimensions of tensor {shown}"))?;
    if !(1..=4).contains(&dimensions) {
        return Err(r.malformed(format!(
            "tensor {shown} has {dimensions} dimensions, and 1 to 4 are allowed"
        )));
    }
    let mut reversed = [0u64; 4];
    let reversed = &mut reversed[..dimensions as usize];
    for size in reversed.iter_mut() {
        *size = r.u64(format_args!("the shape of tensor {shown}"))?;
        if *size == 0 || *size > i64::MAX as u64 {
            let size = *size as i64;
            return Err(r.malformed(format!("tensor {shown} has a dimension of {size}")));
        }
    }
    let format = format(r, &name)?;
    let offset = r.u64(format_args!("the offset of tensor {shown}"))?;
    if offset % alignment != 0 {
        return Err(r.malformed(format!(
            "the offset {offset} of tensor {shown} is not a multiple of the alignment {alignment}"
        )));
    }
    let bytes = byte_count(r, &name, format, reversed)?;
    Ok(TensorInfo {
        bytes,
        format,
        shape: reversed.iter().rev().map(|&n| n as usize).collect(),
        file: 0,
        packed: None,
        offset,
        name,
    })
}

fn format(r: &mut HeaderReader, name: &str) -> Result<Format, CheckpointError> {
    let shown = quoted(name);
    let number = r.u32(format_args!("the type of tensor {shown}"))?;
    Format::from_ggml(number).ok_or_else(|| {
        let found = match known_elsewhere(number) {
            Some(known) => format!("tensor {shown} is of type {known}, which is not supported"),
            None => format!("tensor {shown} has the unknown ggml type {number}"),
        };
        CheckpointError::unsupported(
            r.path(),
            found,
            &format!("get the model in one of {}", gguf_formats()),
        )
    })
}

/// Names of ggml types that exist but are not read here (ggml.h, `enum ggml_type`).
fn known_elsewhere(number: u32) -> Option<&'static str> {
    Some(match number {
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        21 => "IQ3_S",
        22 => "IQ2_S",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        31..=33 => "Q4_0 repacked for ARM",
        34 => "TQ1_0",
        35 => "TQ2_0",
        36..=38 => "IQ4_NL repacked for ARM",
        40 => "NVFP4",
        _ => return None,
    })
}

/// Bytes of a tensor whose innermost dimension comes first in `sizes`.
fn byte_count(
    r: &HeaderReader,
    name: &str,
    format: Format,
    sizes: &[u64],
) -> Result<u64, CheckpointError> {
    let shown = quoted(name);
    let too_large = || {
        let shape: Vec<String> = sizes.iter().rev().map(u64::to_string).collect();
        let shape = shape.join(" x ");
        r.malformed(format!(
            "the shape {shape} of tensor {shown} takes more bytes than 64 bits can count"
        ))
    };
    let product = |sizes: &[u64]| sizes.iter().try_fold(1u64, |p, &n| p.checked_mul(n));
    // No format stores a weight in less than a bit, nor in more than 8 bytes.
    product(sizes)
        .and_then(|elements| elements.checked_mul(8))
        .ok_or_else(too_large)?;
    let (columns, outer) = (sizes[0] as usize, &sizes[1..]);
    if columns % format.block_len() != 0 {
        return Err(r.malformed(format!(
            "the rows of tensor {shown} have {columns} columns, not a multiple of the {} in a block of {}",
            format.block_len(),
            format.name()
        )));
    }
    let row = format.row_bytes(columns).ok_or_else(too_large)? as u64;
    product(outer)
        .and_then(|rows| rows.checked_mul(row))
        .ok_or_else(too_large)
}

/// Makes the offsets count from the start of the file, after checking that every
/// tensor lies in it and none shares bytes with another.
fn place(
    r: &HeaderReader,
    tensors: &mut [TensorInfo],
    data_start: u64,
) -> Result<(), CheckpointError> {
    for t in tensors.iter_mut() {
        let start = data_start.checked_add(t.offset);
        match start.and_then(|start| Some((start, start.checked_add(t.bytes)?))) {
            Some((start, end)) if end <= r.length() => t.offset = start,
            _ => {
                let problem = format!(
                    "tensor {} takes {} bytes at offset {} of the data, which start at byte {data_start}, but the file has only {} bytes",
                    quoted(&t.name),
                    t.bytes,
                    t.offset,
                    r.length()
                );
                let way_out =
                    "its download stopped early or the file is damaged: download it again";
                return Err(CheckpointError::incomplete(r.path(), problem, way_out));
            }
        }
    }
    let mut by_offset: Vec<&TensorInfo> = tensors.iter().collect();
    by_offset.sort_unstable_by_key(|t| t.offset);
    for pair in by_offset.windows(2) {
        if pair[0].offset + pair[0].bytes > pair[1].offset {
            return Err(r.malformed(format!(
                "the data of tensors {} and {} overlap",
                quoted(&pair[0].name),
                quoted(&pair[1].name)
            )));
        }
    }
    Ok(())
}
