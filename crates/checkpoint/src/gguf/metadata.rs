//! The key-value metadata of a GGUF with typed access.

use std::path::{Path, PathBuf};

use super::reader::HeaderReader;
use super::value::{Number, NumberArray, Strings, Value};
use crate::error::{CONVERT_AGAIN, CheckpointError, quoted};
use crate::limits;

/// Metadata of a GGUF model; of a split one, that of its first file.
///
/// The getters give `Ok(None)` for a key that is absent and an error for one
/// whose value is of another type or out of range.
#[derive(Debug, Clone)]
pub struct GgufMetadata {
    path: PathBuf,
    /// Ordered by key.
    entries: Vec<(Box<str>, Value)>,
}

impl GgufMetadata {
    pub(super) fn read(r: &mut HeaderReader, count: u64) -> Result<Self, CheckpointError> {
        let mut entries: Vec<(Box<str>, Value)> = Vec::with_capacity(count as usize);
        for i in 0..count {
            let key = r.name(limits::GGUF_KEY_BYTES, format_args!("metadata key {i}"))?;
            let value = Value::read(r, &key)?;
            entries.push((key.into(), value));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(r.malformed(format!("has the key {} twice", quoted(&pair[0].0))));
        }
        Ok(Self {
            path: r.path().into(),
            entries,
        })
    }

    /// The file the metadata came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `general.architecture`, for example "qwen3next".
    pub fn architecture(&self) -> &str {
        match self.get("general.architecture") {
            Some(Value::String(name)) => name,
            _ => "",
        }
    }

    /// All keys, in alphabetical order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| &**key)
    }

    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The error for a key that a model cannot do without.
    pub fn missing(&self, key: &str) -> CheckpointError {
        let problem = format!("the metadata has no {}", quoted(key));
        CheckpointError::malformed(&self.path, problem, CONVERT_AGAIN)
    }

    pub fn string(&self, key: &str) -> Result<Option<&str>, CheckpointError> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Some(&**text),
            _ => None,
        })
    }

    /// An integer of any type that fits.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, CheckpointError> {
        self.integer(key)
    }

    /// An integer of any type that fits.
    pub fn u64(&self, key: &str) -> Result<Option<u64>, CheckpointError> {
        self.integer(key)
    }

    pub fn f32(&self, key: &str) -> Result<Option<f32>, CheckpointError> {
        self.typed(key, "a floating-point number", |value| match value {
            Value::Number(_, number) => number.float(),
            _ => None,
        })
    }

    pub fn bool(&self, key: &str) -> Result<Option<bool>, CheckpointError> {
        self.typed(key, "a bool", |value| match value {
            Value::Number(_, number) => number.bool(),
            _ => None,
        })
    }

    pub fn string_array(&self, key: &str) -> Result<Option<Strings<'_>>, CheckpointError> {
        self.typed(key, "an array of strings", |value| match value {
            Value::Strings(array) => Some(Strings(array)),
            _ => None,
        })
    }

    /// Integers of any type, each of which fits.
    pub fn u32_array(&self, key: &str) -> Result<Option<Vec<u32>>, CheckpointError> {
        self.array(key, "an array of integers from 0 to 2^32-1", |n| {
            n.integer()?.try_into().ok()
        })
    }

    /// Integers of any type, each of which fits.
    pub fn i32_array(&self, key: &str) -> Result<Option<Vec<i32>>, CheckpointError> {
        self.array(key, "an array of integers from -2^31 to 2^31-1", |n| {
            n.integer()?.try_into().ok()
        })
    }

    pub fn f32_array(&self, key: &str) -> Result<Option<Vec<f32>>, CheckpointError> {
        self.array(key, "an array of floating-point numbers", Number::float)
    }

    pub fn bool_array(&self, key: &str) -> Result<Option<Vec<bool>>, CheckpointError> {
        self.array(key, "an array of bools", Number::bool)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let at = self
            .entries
            .binary_search_by(|(k, _)| (**k).cmp(key))
            .ok()?;
        Some(&self.entries[at].1)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        pick: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, CheckpointError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match pick(value) {
            Some(found) => Ok(Some(found)),
            None => Err(self.wrong(key, wanted, &value.describe())),
        }
    }

    fn integer<T: TryFrom<i128>>(&self, key: &str) -> Result<Option<T>, CheckpointError> {
        let Some(number) = self.typed(key, "an integer", |value| match value {
            Value::Number(_, number) => number.integer(),
            _ => None,
        })?
        else {
            return Ok(None);
        };
        let bits = 8 * size_of::<T>();
        T::try_from(number).map(Some).map_err(|_| {
            let wanted = format!("an integer from 0 to 2^{bits}-1");
            self.wrong(key, &wanted, &number.to_string())
        })
    }

    fn array<T>(
        &self,
        key: &str,
        wanted: &str,
        pick: impl Fn(Number) -> Option<T>,
    ) -> Result<Option<Vec<T>>, CheckpointError> {
        let array: Option<&NumberArray> = self.typed(key, wanted, |value| match value {
            Value::Numbers(array) => Some(array),
            _ => None,
        })?;
        let Some(array) = array else {
            return Ok(None);
        };
        let mut out = Vec::with_capacity(array.iter().len());
        for number in array.iter() {
            match pick(number) {
                Some(n) => out.push(n),
                None => return Err(self.wrong(key, wanted, &array.describe(number))),
            }
        }
        Ok(Some(out))
    }

    fn wrong(&self, key: &str, wanted: &str, found: &str) -> CheckpointError {
        let problem = format!("{} should be {wanted} but is {found}", quoted(key));
        CheckpointError::malformed(&self.path, problem, CONVERT_AGAIN)
    }
}
