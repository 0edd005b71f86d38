//! Small JSON files, bounded in size and depth.

use std::path::Path;

use serde_json::Value;

use crate::error::{CheckpointError, DOWNLOAD_AGAIN, brief};
use crate::source::{SourceFile, mistaken_for_model};

/// The JSON object in the file at `path`, or `None` if there is no such file.
/// `serde_json` refuses nesting beyond 128 levels.
pub(super) fn object(path: &Path, limit: u64) -> Result<Option<Value>, CheckpointError> {
    let Some(bytes) = bytes(path, limit)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(value @ Value::Object(_)) => Ok(Some(value)),
        Ok(_) => Err(invalid(path, "the top level is not an object")),
        Err(e) => Err(invalid(path, &brief(&e))),
    }
}

/// The text of the file at `path`, or `None` if there is no such file.
pub(super) fn text(path: &Path, limit: u64) -> Result<Option<String>, CheckpointError> {
    let Some(bytes) = bytes(path, limit)? else {
        return Ok(None);
    };
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| CheckpointError::malformed(path, "is not UTF-8", DOWNLOAD_AGAIN))
}

fn bytes(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, CheckpointError> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = SourceFile::open(path)?.read_all(limit)?;
    if let Some((problem, way_out)) = mistaken_for_model(&bytes) {
        return Err(CheckpointError::incomplete(path, problem, way_out));
    }
    Ok(Some(bytes))
}

pub(super) fn invalid(path: &Path, problem: &str) -> CheckpointError {
    CheckpointError::malformed(path, format!("is not valid: {problem}"), DOWNLOAD_AGAIN)
}
