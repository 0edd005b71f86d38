//! The header of one GGUF file: magic, version, metadata, tensor list.

use super::metadata::GgufMetadata;
use super::reader::HeaderReader;
use super::tensors;
use crate::error::{CheckpointError, DOWNLOAD_AGAIN, quoted};
use crate::limits;
use crate::source::{SourceFile, mistaken_for_model};
use crate::tensor::TensorInfo;

pub(super) const MAGIC: &[u8; 4] = b"GGUF";
/// Magic, version, tensor count, key count.
const FIXED_BYTES: u64 = 24;
/// Length, one character, type, and a value of one byte.
const LEAST_ENTRY_BYTES: u64 = 8 + 1 + 4 + 1;
/// Length, one character, dimension count, one dimension, type, offset.
const LEAST_TENSOR_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8;
/// What `general.alignment` is when it is not given.
const DEFAULT_ALIGNMENT: u32 = 32;

pub(super) struct Header {
    pub version: u32,
    pub metadata: GgufMetadata,
    /// With `file` 0.
    pub tensors: Vec<TensorInfo>,
}

/// Reads and checks the header of `file`, taking its bytes from `budget`.
pub(super) fn parse(file: &SourceFile, budget: &mut u64) -> Result<Header, CheckpointError> {
    let r = &mut HeaderReader::new(file, budget);
    check_start(file)?;
    let mut magic = [0; 4];
    r.bytes(&mut magic, format_args!("the magic"))?;
    let version = r.u32(format_args!("the version"))?;
    check_version(file, version)?;
    let tensor_count = r.u64(format_args!("the number of tensors"))?;
    let key_count = r.u64(format_args!("the number of metadata keys"))?;

    r.expect(key_count, LEAST_ENTRY_BYTES, format_args!("the metadata"))?;
    if key_count > limits::GGUF_KEYS {
        return Err(CheckpointError::unsupported(
            &file.path,
            format!(
                "has {key_count} metadata keys, more than {}",
                limits::GGUF_KEYS
            ),
            DOWNLOAD_AGAIN,
        ));
    }
    r.expect(
        tensor_count,
        LEAST_TENSOR_BYTES,
        format_args!("the list of tensors"),
    )?;
    if tensor_count > limits::TENSORS {
        return Err(CheckpointError::unsupported(
            &file.path,
            format!("has {tensor_count} tensors, more than {}", limits::TENSORS),
            DOWNLOAD_AGAIN,
        ));
    }
    let metadata = GgufMetadata::read(r, key_count)?;
    let alignment = alignment(r, &metadata)?;
    let tensors = tensors::read(r, tensor_count, alignment)?;
    Ok(Header {
        version,
        metadata,
        tensors,
    })
}

/// Tells apart the files that are no GGUF at all.
fn check_start(file: &SourceFile) -> Result<(), CheckpointError> {
    let path = &file.path;
    let start = file.start()?;
    if file.length >= 4 && start[..4] == *b"FUGG" {
        return Err(big_endian(file));
    }
    if let Some((problem, way_out)) = mistaken_for_model(&start) {
        return Err(CheckpointError::incomplete(path, problem, way_out));
    }
    if file.length >= 4 && start[..4] != *MAGIC {
        let old = [b"lmgg", b"tjgg", b"algg", b"fmgg"]
            .iter()
            .any(|m| start[..4] == m[..]);
        return Err(if old {
            CheckpointError::unsupported(
                path,
                "is in the GGML format of 2023, from before GGUF",
                "get the model as GGUF",
            )
        } else {
            CheckpointError::malformed(
                path,
                format!(
                    "is not a GGUF: it starts with {}, not \"GGUF\"",
                    quoted(&String::from_utf8_lossy(&start[..4]))
                ),
                "choose a GGUF file, or download this one again",
            )
        });
    }
    if file.length < FIXED_BYTES {
        return Err(CheckpointError::incomplete(
            path,
            format!(
                "has only {} bytes; a GGUF header has at least {FIXED_BYTES}",
                file.length
            ),
            DOWNLOAD_AGAIN,
        ));
    }
    Ok(())
}

fn big_endian(file: &SourceFile) -> CheckpointError {
    CheckpointError::unsupported(
        &file.path,
        "is a big-endian GGUF, and only little-endian ones are read",
        "get the little-endian file (without \"-be\" in its name) or convert it with gguf_convert_endian.py",
    )
}

fn check_version(file: &SourceFile, version: u32) -> Result<(), CheckpointError> {
    match version {
        2 | 3 => Ok(()),
        1 => Err(CheckpointError::unsupported(
            &file.path,
            "is GGUF version 1, from August 2023; versions 2 and 3 are read",
            "download or convert the model again",
        )),
        _ if (1..=3).contains(&version.swap_bytes()) => Err(big_endian(file)),
        0 => Err(CheckpointError::malformed(
            &file.path,
            "has the GGUF version 0, which does not exist",
            DOWNLOAD_AGAIN,
        )),
        _ => Err(CheckpointError::unsupported(
            &file.path,
            format!("is GGUF version {version}; versions 2 and 3 are read"),
            "update this program, or get the model in version 3",
        )),
    }
}

fn alignment(r: &HeaderReader, metadata: &GgufMetadata) -> Result<u64, CheckpointError> {
    let key = "general.alignment";
    let greatest = limits::GGUF_ALIGNMENT;
    let given = metadata.u64(key)?.unwrap_or(u64::from(DEFAULT_ALIGNMENT));
    if given < 8 || given > u64::from(greatest) || !given.is_power_of_two() {
        return Err(r.malformed(format!(
            "{key} is {given}, not a power of two from 8 to {greatest}"
        )));
    }
    Ok(given)
}
