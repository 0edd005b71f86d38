//! Split GGUF models as gguf-split writes them: `NAME-00001-of-00003.gguf` and so
//! on, each with `split.no`, `split.count` and `split.tensors.count`. The model's
//! metadata are in the first part.

use std::path::{Path, PathBuf};

use super::GgufSet;
use super::header::{self, Header};
use super::metadata::GgufMetadata;
use crate::error::{CONVERT_AGAIN, CheckpointError};
use crate::limits;
use crate::part_name::{PartName, part_name};
use crate::source::SourceFile;
use crate::tensor::TensorIndex;

/// What the name of a `.gguf` file says of its place in a set.
fn name_of(path: &Path) -> Option<PartName<'_>> {
    part_name(path.file_stem()?.to_str()?)
}

/// What the files of one model have in common in their names.
pub(crate) fn model_name(path: &Path) -> String {
    match name_of(path) {
        Some(part) => format!("{} of {}", part.stem, part.count),
        None => path.to_string_lossy().into_owned(),
    }
}

/// The files of the split model that `path` with its `metadata` is a part of;
/// `None` if it is whole by itself.
pub(super) fn parts(
    path: &Path,
    metadata: &GgufMetadata,
) -> Result<Option<Vec<PathBuf>>, CheckpointError> {
    // Tools that join a split model leave the key with 0.
    let count = metadata.u64("split.count")?.unwrap_or(0);
    let name = name_of(path);
    if count <= 1 {
        return match name {
            Some(name) if name.count > 1 => Err(CheckpointError::malformed(
                path,
                format!(
                    "is named as one of {} parts, but its metadata do not say so (no split.count)",
                    name.count
                ),
                "rename it if it is a whole model, else download all parts again",
            )),
            _ => Ok(None),
        };
    }
    let number = metadata.u64("split.no")?.unwrap_or(0);
    let Some(name) = name.filter(|name| name.count as u64 == count) else {
        return Err(CheckpointError::malformed(
            path,
            format!(
                "is part {} of {count}, but its name does not say so",
                number + 1
            ),
            &format!(
                "give the parts their names back, ending in -00001-of-{count:05}.gguf and so on"
            ),
        ));
    };
    if count > limits::FILES as u64 {
        return Err(CheckpointError::unsupported(
            path,
            format!(
                "is one of {count} parts, and at most {} are read",
                limits::FILES
            ),
            "join them with llama-gguf-split --merge",
        ));
    }
    let part = |i| path.with_file_name(format!("{}-{i:05}-of-{count:05}.gguf", name.stem));
    Ok(Some((1..=count).map(part).collect()))
}

/// Opens the parts of one model, at least two, given in order.
pub(super) fn open(parts: &[PathBuf]) -> Result<GgufSet, CheckpointError> {
    let count = parts.len() as u64;
    let mut budget = limits::GGUF_HEADER;
    let (file, header) = open_part(&parts[0], 0, count, &mut budget)?;
    let mut files = vec![file];
    let mut tensors = header.tensors;
    for (i, path) in (0u32..).zip(parts).skip(1) {
        let (file, mut part) = open_part(path, i, count, &mut budget)?;
        files.push(file);
        for t in &mut part.tensors {
            t.file = i;
        }
        tensors.append(&mut part.tensors);
    }
    let found = tensors.len() as u64;
    match header.metadata.u64("split.tensors.count")? {
        Some(wanted) if wanted != found => Err(CheckpointError::malformed(
            &parts[0],
            format!("split.tensors.count is {wanted}, but the {count} parts hold {found} tensors"),
            CONVERT_AGAIN,
        )),
        _ => Ok(GgufSet {
            version: header.version,
            tensors: TensorIndex::new(tensors, &files)?,
            files,
            metadata: header.metadata,
        }),
    }
}

fn open_part(
    path: &Path,
    i: u32,
    count: u64,
    budget: &mut u64,
) -> Result<(SourceFile, Header), CheckpointError> {
    if !path.exists() {
        return Err(CheckpointError::incomplete(
            path,
            format!("part {} of {count} is missing", i + 1),
            "download it into the folder of the other parts",
        ));
    }
    let file = SourceFile::open(path)?;
    let header = header::parse(&file, budget)?;
    for (key, wanted) in [("split.no", u64::from(i)), ("split.count", count)] {
        let found = header.metadata.u64(key)?;
        if found != Some(wanted) {
            let found = found.map_or("missing".into(), |n| n.to_string());
            return Err(CheckpointError::malformed(
                path,
                format!("{key} is {found}, but by the file's name it should be {wanted}"),
                "the file belongs elsewhere or was renamed: download this part again",
            ));
        }
    }
    Ok((file, header))
}
