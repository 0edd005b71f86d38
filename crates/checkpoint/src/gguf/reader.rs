//! Reads a GGUF header in order, and never takes memory for bytes that are not
//! in the file.

use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::error::{CONVERT_AGAIN, CheckpointError, DOWNLOAD_AGAIN};
use crate::limits;
use crate::source::SourceFile;

/// A position in a GGUF header.
pub(crate) struct HeaderReader<'a> {
    path: &'a Path,
    input: BufReader<Box<dyn Read + 'a>>,
    position: u64,
    length: u64,
    /// Header bytes that may still be read, over all parts of a split model.
    budget: &'a mut u64,
}

impl<'a> HeaderReader<'a> {
    pub fn new(file: &'a SourceFile, budget: &'a mut u64) -> Self {
        Self {
            path: &file.path,
            input: BufReader::with_capacity(64 << 10, Box::new(file.reader())),
            position: 0,
            length: file.length,
            budget,
        }
    }

    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn malformed(&self, problem: impl Into<String>) -> CheckpointError {
        CheckpointError::malformed(self.path, problem, CONVERT_AGAIN)
    }

    /// Errors unless `count` items of at least `least` bytes each can follow.
    pub fn expect(
        &self,
        count: u64,
        least: u64,
        what: fmt::Arguments,
    ) -> Result<(), CheckpointError> {
        let left = self.length - self.position;
        let needed = count.checked_mul(least);
        if needed.is_none_or(|needed| needed > left) {
            let problem = if count == 1 || least == 1 {
                let needed = count.saturating_mul(least);
                format!("{what} takes {needed} bytes, but the file has only {left} more")
            } else {
                format!("{what} has {count} entries, but the file has only {left} more bytes")
            };
            let way_out = "the file is damaged or its download stopped early: download it again";
            return Err(CheckpointError::incomplete(self.path, problem, way_out));
        }
        if needed > Some(*self.budget) {
            return Err(CheckpointError::unsupported(
                self.path,
                format!(
                    "{what} would make the header larger than {} MiB",
                    limits::GGUF_HEADER >> 20
                ),
                DOWNLOAD_AGAIN,
            ));
        }
        Ok(())
    }

    /// Fills `out` with the next bytes.
    pub fn bytes(&mut self, out: &mut [u8], what: fmt::Arguments) -> Result<(), CheckpointError> {
        let count = out.len() as u64;
        self.expect(count, 1, what)?;
        self.input
            .read_exact(out)
            .map_err(|e| CheckpointError::io(self.path, "cannot be read", e))?;
        self.position += count;
        *self.budget -= count;
        Ok(())
    }

    pub fn u32(&mut self, what: fmt::Arguments) -> Result<u32, CheckpointError> {
        let mut out = [0; 4];
        self.bytes(&mut out, what)?;
        Ok(u32::from_le_bytes(out))
    }

    pub fn u64(&mut self, what: fmt::Arguments) -> Result<u64, CheckpointError> {
        let mut out = [0; 8];
        self.bytes(&mut out, what)?;
        Ok(u64::from_le_bytes(out))
    }

    /// The next `count` bytes.
    pub fn vec(&mut self, count: u64, what: fmt::Arguments) -> Result<Vec<u8>, CheckpointError> {
        self.expect(count, 1, what)?;
        let mut out = vec![0; count as usize];
        self.bytes(&mut out, what)?;
        Ok(out)
    }

    /// A string: its length in 8 bytes, then UTF-8.
    pub fn string(&mut self, what: fmt::Arguments) -> Result<String, CheckpointError> {
        let count = self.u64(format_args!("the length of {what}"))?;
        let bytes = self.vec(count, what)?;
        String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            self.malformed(format!("{what} is not UTF-8 (from its byte {at} on)"))
        })
    }

    /// A string that names something: not empty, at most `longest` bytes, no NUL.
    pub fn name(&mut self, longest: u64, what: fmt::Arguments) -> Result<String, CheckpointError> {
        let count = self.u64(format_args!("the length of {what}"))?;
        if count == 0 || count > longest {
            return Err(self.malformed(format!(
                "{what} is {count} bytes long, and 1 to {longest} are allowed"
            )));
        }
        let bytes = self.vec(count, what)?;
        match String::from_utf8(bytes) {
            Ok(name) if !name.contains('\0') => Ok(name),
            Ok(_) => Err(self.malformed(format!("{what} contains a NUL character"))),
            Err(_) => Err(self.malformed(format!("{what} is not UTF-8"))),
        }
    }
}
