//! Metadata values of a GGUF, kept about as compactly as in the file.

use std::fmt;

use super::reader::HeaderReader;
use crate::error::{CheckpointError, quoted};
use crate::limits;

/// Types of a metadata value, numbered as in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

use ValueType as T;

impl ValueType {
    const ALL: [Self; 13] = [
        T::U8,
        T::I8,
        T::U16,
        T::I16,
        T::U32,
        T::I32,
        T::F32,
        T::Bool,
        T::String,
        T::Array,
        T::U64,
        T::I64,
        T::F64,
    ];

    fn from_u32(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// Bytes of a number of this type; `None` for strings and arrays.
    fn size(self) -> Option<usize> {
        match self {
            T::U8 | T::I8 | T::Bool => Some(1),
            T::U16 | T::I16 => Some(2),
            T::U32 | T::I32 | T::F32 => Some(4),
            T::U64 | T::I64 | T::F64 => Some(8),
            T::String | T::Array => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            T::U8 => "u8",
            T::I8 => "i8",
            T::U16 => "u16",
            T::I16 => "i16",
            T::U32 => "u32",
            T::I32 => "i32",
            T::F32 => "f32",
            T::Bool => "bool",
            T::String => "string",
            T::Array => "array",
            T::U64 => "u64",
            T::I64 => "i64",
            T::F64 => "f64",
        }
    }
}

/// One number out of the metadata.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
}

impl Number {
    /// Decodes the first `kind.size()` bytes.
    fn decode(kind: ValueType, b: &[u8]) -> Self {
        let mut wide = [0; 8];
        let size = kind.size().unwrap_or(0);
        wide[..size].copy_from_slice(&b[..size]);
        let unsigned = u64::from_le_bytes(wide);
        match kind {
            T::I8 => Self::Signed(i64::from(unsigned as i8)),
            T::I16 => Self::Signed(i64::from(unsigned as i16)),
            T::I32 => Self::Signed(i64::from(unsigned as i32)),
            T::I64 => Self::Signed(unsigned as i64),
            T::F32 => Self::Float(f64::from(f32::from_bits(unsigned as u32))),
            T::F64 => Self::Float(f64::from_bits(unsigned)),
            T::Bool => Self::Bool(unsigned != 0),
            _ => Self::Unsigned(unsigned),
        }
    }

    pub fn integer(self) -> Option<i128> {
        match self {
            Self::Unsigned(n) => Some(i128::from(n)),
            Self::Signed(n) => Some(i128::from(n)),
            Self::Float(_) | Self::Bool(_) => None,
        }
    }

    pub fn float(self) -> Option<f32> {
        match self {
            Self::Float(x) => Some(x as f32),
            _ => None,
        }
    }

    pub fn bool(self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(b),
            _ => None,
        }
    }
}

/// A metadata value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Number(ValueType, Number),
    String(Box<str>),
    Numbers(NumberArray),
    Strings(StringArray),
    /// An array of arrays: checked, but not kept, since no model uses one.
    Nested,
}

/// Numbers of one type, as the bytes of the file.
#[derive(Debug, Clone)]
pub(crate) struct NumberArray {
    kind: ValueType,
    bytes: Box<[u8]>,
}

impl NumberArray {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Number> + '_ {
        let size = self.kind.size().unwrap_or(1);
        self.bytes
            .chunks_exact(size)
            .map(|b| Number::decode(self.kind, b))
    }

    /// What it is, with one of its numbers, for messages.
    pub fn describe(&self, number: Number) -> String {
        let kind = self.kind.name();
        match number {
            Number::Unsigned(n) => format!("an array of {kind} with {n}"),
            Number::Signed(n) => format!("an array of {kind} with {n}"),
            Number::Float(_) | Number::Bool(_) => format!("an array of {kind}"),
        }
    }
}

/// Strings one after the other in a single buffer.
#[derive(Debug, Clone)]
pub(crate) struct StringArray {
    text: Box<str>,
    /// Where each string ends in `text`.
    ends: Box<[u32]>,
}

/// The strings of a metadata array, for example a vocabulary.
#[derive(Debug, Clone, Copy)]
pub struct Strings<'a>(pub(crate) &'a StringArray);

impl<'a> Strings<'a> {
    pub fn len(&self) -> usize {
        self.0.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    pub fn get(&self, index: usize) -> Option<&'a str> {
        let end = *self.0.ends.get(index)? as usize;
        let start = match index {
            0 => 0,
            _ => self.0.ends[index - 1] as usize,
        };
        Some(&self.0.text[start..end])
    }

    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a str> {
        (0..self.len()).map(move |i| self.get(i).unwrap_or_default())
    }
}

impl Value {
    /// What it is, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Number(kind, _) => format!("of type {}", kind.name()),
            Self::String(_) => "a string".into(),
            Self::Numbers(array) => format!("an array of {}", array.kind.name()),
            Self::Strings(_) => "an array of strings".into(),
            Self::Nested => "an array of arrays".into(),
        }
    }

    /// Reads the type and value of `key`.
    pub fn read(r: &mut HeaderReader, key: &str) -> Result<Self, CheckpointError> {
        let what = format!("the value of {}", quoted(key));
        match value_type(r, format_args!("{what}"))? {
            T::String => Ok(Self::String(r.string(format_args!("{what}"))?.into())),
            T::Array => array(r, &what),
            kind => {
                let bytes = numbers(r, kind, 1, &what)?;
                Ok(Self::Number(kind, Number::decode(kind, &bytes)))
            }
        }
    }
}

fn value_type(r: &mut HeaderReader, what: fmt::Arguments) -> Result<ValueType, CheckpointError> {
    let number = r.u32(format_args!("the type of {what}"))?;
    ValueType::from_u32(number)
        .ok_or_else(|| r.malformed(format!("{what} has the unknown type {number}")))
}

fn array(r: &mut HeaderReader, what: &str) -> Result<Value, CheckpointError> {
    let elements = format!("the elements of {what}");
    let kind = value_type(r, format_args!("{elements}"))?;
    let count = r.u64(format_args!("the length of {what}"))?;
    match kind {
        T::String => Ok(Value::Strings(strings(r, count, what)?)),
        T::Array => {
            skip_arrays(r, count, 1, what)?;
            Ok(Value::Nested)
        }
        kind => Ok(Value::Numbers(NumberArray {
            kind,
            bytes: numbers(r, kind, count, what)?.into(),
        })),
    }
}

fn numbers(
    r: &mut HeaderReader,
    kind: ValueType,
    count: u64,
    what: &str,
) -> Result<Vec<u8>, CheckpointError> {
    let size = kind.size().unwrap_or(1) as u64;
    r.expect(count, size, format_args!("{what}"))?;
    let bytes = r.vec(count * size, format_args!("{what}"))?;
    if kind == T::Bool
        && let Some(other) = bytes.iter().find(|b| **b > 1)
    {
        return Err(r.malformed(format!("{what} holds the bool {other}, neither 0 nor 1")));
    }
    Ok(bytes)
}

fn strings(r: &mut HeaderReader, count: u64, what: &str) -> Result<StringArray, CheckpointError> {
    // Each string has at least its length, 8 bytes.
    r.expect(count, 8, format_args!("{what}"))?;
    let mut ends = Vec::with_capacity(count as usize);
    let mut text = Vec::new();
    for i in 0..count {
        let what = format_args!("entry {i} of {what}");
        let length = r.u64(format_args!("the length of {what}"))?;
        r.expect(length, 1, what)?;
        let start = text.len();
        text.resize(start + length as usize, 0);
        r.bytes(&mut text[start..], what)?;
        if std::str::from_utf8(&text[start..]).is_err() {
            return Err(r.malformed(format!("{what} is not UTF-8")));
        }
        ends.push(text.len() as u32);
    }
    let text = String::from_utf8(text).map_err(|_| r.malformed(format!("{what} is not UTF-8")))?;
    Ok(StringArray {
        text: text.into(),
        ends: ends.into(),
    })
}

/// Walks over the `count` arrays within an array that is itself `depth` deep.
fn skip_arrays(
    r: &mut HeaderReader,
    count: u64,
    depth: u32,
    what: &str,
) -> Result<(), CheckpointError> {
    if depth > limits::GGUF_NESTING {
        return Err(r.malformed(format!(
            "{what} nests arrays more than {} deep",
            limits::GGUF_NESTING
        )));
    }
    // Each has at least its element type and length, 12 bytes.
    r.expect(count, 12, format_args!("{what}"))?;
    for _ in 0..count {
        let kind = value_type(r, format_args!("the elements of {what}"))?;
        let inner = r.u64(format_args!("the length of an array in {what}"))?;
        match kind {
            T::String => drop(strings(r, inner, what)?),
            T::Array => skip_arrays(r, inner, depth + 1, what)?,
            kind => drop(numbers(r, kind, inner, what)?),
        }
    }
    Ok(())
}
