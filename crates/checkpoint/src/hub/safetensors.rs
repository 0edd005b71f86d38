//! The header of a safetensors file: 8 bytes of length, then JSON that maps each
//! tensor's name to its dtype, shape and place in the data that follow.
//! Format: <https://github.com/huggingface/safetensors>.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::{CheckpointError, DOWNLOAD_AGAIN, SAVE_AGAIN, brief, quoted};
use crate::limits;
use crate::packed::{self, Dtype, RawTensor};
use crate::source::{SourceFile, mistaken_for_model};

/// Appends the tensors of `file`, which is number `number` of the checkpoint, to
/// `tensors`, taking the header's bytes from `budget`.
pub(super) fn read(
    file: &SourceFile,
    number: u32,
    budget: &mut u64,
    tensors: &mut Vec<RawTensor>,
) -> Result<(), CheckpointError> {
    let header = header_bytes(file, budget)?;
    let data_start = 8 + header.len() as u64;
    let first = tensors.len();
    let mut input = serde_json::Deserializer::from_slice(&header);
    let seed = Header {
        file,
        number,
        tensors,
        refused: None,
    };
    let parsed = seed.deserialize(&mut input);
    let invalid = |e: serde_json::Error| {
        CheckpointError::malformed(
            &file.path,
            format!("the header is not valid: {}", brief(&e)),
            SAVE_AGAIN,
        )
    };
    if let Some(refused) = parsed.map_err(invalid)? {
        return Err(refused);
    }
    input.end().map_err(invalid)?;
    place(file, data_start, &mut tensors[first..])
}

fn header_bytes(file: &SourceFile, budget: &mut u64) -> Result<Vec<u8>, CheckpointError> {
    let path = &file.path;
    let start = file.start()?;
    if let Some((problem, way_out)) = mistaken_for_model(&start) {
        return Err(CheckpointError::incomplete(path, problem, way_out));
    }
    let Some(length) = start.first_chunk::<8>() else {
        let problem = format!("has only {} bytes", file.length);
        return Err(CheckpointError::incomplete(path, problem, DOWNLOAD_AGAIN));
    };
    let length = u64::from_le_bytes(*length);
    let left = file.length - 8;
    if start.get(8).is_some_and(|first| *first != b'{') {
        return Err(CheckpointError::malformed(
            path,
            "is not safetensors: no header follows its first 8 bytes",
            SAVE_AGAIN,
        ));
    }
    if length > left {
        return Err(CheckpointError::incomplete(
            path,
            format!("the header takes {length} bytes, but the file has only {left} more"),
            DOWNLOAD_AGAIN,
        ));
    }
    if length > *budget {
        return Err(CheckpointError::unsupported(
            path,
            format!(
                "a header of {length} bytes makes those of the model larger than {} MB",
                limits::HUB_HEADER / 1_000_000
            ),
            DOWNLOAD_AGAIN,
        ));
    }
    *budget -= length;
    let mut header = vec![0; length as usize];
    file.read_at(8, &mut header)?;
    Ok(header)
}

/// Turns offsets that count from the start of the data into offsets in the file.
/// The tensors must fill the data without gap or overlap, as the format demands.
fn place(
    file: &SourceFile,
    data_start: u64,
    tensors: &mut [RawTensor],
) -> Result<(), CheckpointError> {
    let malformed = |problem| CheckpointError::malformed(&file.path, problem, SAVE_AGAIN);
    tensors.sort_unstable_by_key(|t| t.offset);
    let data = file.length - data_start;
    let mut end = 0;
    for t in tensors.iter_mut() {
        let name = quoted(&t.name);
        if t.offset < end {
            return Err(malformed(format!(
                "the data of tensor {name} overlap another's"
            )));
        }
        if t.offset > end {
            return Err(malformed(format!(
                "{} bytes before the data of tensor {name} belong to no tensor",
                t.offset - end
            )));
        }
        // Its range was checked, so the sum is one of its offsets and cannot wrap.
        end = t.offset + t.bytes;
        if end > data {
            return Err(CheckpointError::incomplete(
                &file.path,
                format!(
                    "tensor {name} ends at byte {end} of the data, but the file has only {data} bytes of them"
                ),
                "its download stopped early or the file is damaged: download it again",
            ));
        }
        t.offset += data_start;
    }
    if end < data {
        let more = data - end;
        return Err(malformed(format!(
            "{more} bytes at its end belong to no tensor"
        )));
    }
    Ok(())
}

/// One tensor of the header.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Shape,
    /// Begin and end, from the start of the data.
    data_offsets: [u64; 2],
}

/// The header's object. Its value is the reason to refuse the file, if there is one.
struct Header<'a> {
    file: &'a SourceFile,
    number: u32,
    tensors: &'a mut Vec<RawTensor>,
    refused: Option<CheckpointError>,
}

impl<'de> DeserializeSeed<'de> for Header<'_> {
    type Value = Option<CheckpointError>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Header<'_> {
    type Value = Option<CheckpointError>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object that describes tensors")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if name.is_empty() || name.len() > limits::HUB_NAME_BYTES || name.contains('\0') {
                let name = quoted(&name);
                return Err(A::Error::custom(format!("a tensor cannot be named {name}")));
            }
            if self.tensors.len() as u64 == limits::TENSORS {
                let most = limits::TENSORS;
                return Err(A::Error::custom(format!(
                    "there are more than {most} tensors"
                )));
            }
            let entry = map.next_value::<Entry>()?;
            if self.refused.is_none() {
                match tensor(self.file, self.number, name, entry) {
                    Ok(t) => self.tensors.push(t),
                    Err(refused) => self.refused = Some(refused),
                }
            }
        }
        Ok(self.refused)
    }
}

fn tensor(
    file: &SourceFile,
    number: u32,
    name: String,
    entry: Entry,
) -> Result<RawTensor, CheckpointError> {
    let shown = quoted(&name);
    let malformed = |problem| CheckpointError::malformed(&file.path, problem, SAVE_AGAIN);
    let Some(dtype) = Dtype::named(&entry.dtype) else {
        return Err(CheckpointError::unsupported(
            &file.path,
            format!(
                "tensor {shown} is stored as {}, which is not supported",
                quoted(&entry.dtype)
            ),
            &format!("get the model as {}", packed::known()),
        ));
    };
    let shape = entry.shape.0;
    if shape.contains(&0) {
        return Err(malformed(format!("tensor {shown} has a dimension of 0")));
    }
    let bytes = shape
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n))
        .filter(|elements| *elements < usize::MAX / 8)
        .map(|elements| elements * dtype.bytes());
    let Some(bytes) = bytes else {
        return Err(malformed(format!(
            "the shape {shape:?} of tensor {shown} takes more bytes than 64 bits can count"
        )));
    };
    let [begin, end] = entry.data_offsets;
    if end.checked_sub(begin) != Some(bytes as u64) {
        return Err(malformed(format!(
            "tensor {shown} of shape {shape:?} in {} takes {bytes} bytes, but its data_offsets are {begin} and {end}",
            dtype.name()
        )));
    }
    Ok(RawTensor {
        name,
        dtype,
        shape,
        bytes: bytes as u64,
        file: number,
        offset: begin,
    })
}

/// Dimensions, few enough that a hostile list of them takes no memory.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Dimensions;
        impl<'de> Visitor<'de> for Dimensions {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(size) = list.next_element::<usize>()? {
                    if shape.len() == limits::HUB_DIMENSIONS {
                        return Err(A::Error::custom("a shape has more than 8 dimensions"));
                    }
                    shape.push(size);
                }
                Ok(Shape(shape))
            }
        }
        input.deserialize_seq(Dimensions)
    }
}
