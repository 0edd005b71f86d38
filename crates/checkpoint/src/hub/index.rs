//! `model.safetensors.index.json`: which shard holds which tensor.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::json;
use crate::error::{CheckpointError, SAVE_AGAIN, brief, quoted};
use crate::limits;
use crate::source::{SourceFile, mistaken_for_model};

/// The `weight_map` of an index.
pub(super) struct ShardIndex {
    pub path: PathBuf,
    /// File names, in alphabetical order.
    pub shards: Vec<String>,
    /// Each tensor with the position of its file in `shards`.
    pub tensors: Vec<(String, u32)>,
}

impl ShardIndex {
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = SourceFile::open(path)?.read_all(limits::HUB_HEADER)?;
        if let Some((problem, way_out)) = mistaken_for_model(&bytes) {
            return Err(CheckpointError::incomplete(path, problem, way_out));
        }
        let mut input = serde_json::Deserializer::from_slice(&bytes);
        let invalid = |e: serde_json::Error| json::invalid(path, &brief(&e));
        let map = TopLevel.deserialize(&mut input).map_err(invalid)?;
        input.end().map_err(invalid)?;
        let Some(map) = map else {
            return Err(json::invalid(path, "there is no weight_map"));
        };
        map.into_index(path)
    }
}

#[derive(Default)]
struct WeightMap {
    /// Shards in the order of their first mention.
    shards: HashMap<String, u32>,
    tensors: Vec<(String, u32)>,
}

impl WeightMap {
    fn into_index(mut self, path: &Path) -> Result<ShardIndex, CheckpointError> {
        let malformed = |problem: String| CheckpointError::malformed(path, problem, SAVE_AGAIN);
        if self.tensors.is_empty() {
            return Err(malformed("lists no tensors".into()));
        }
        self.tensors.sort_unstable();
        if let Some(pair) = self.tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let name = quoted(&pair[0].0);
            return Err(malformed(format!("lists the tensor {name} twice")));
        }
        let mut shards: Vec<(String, u32)> = self.shards.into_iter().collect();
        shards.sort_unstable();
        for (name, _) in &shards {
            // A shard lies beside its index; anything else could reach other files.
            let plain = (1..=limits::FILE_NAME_BYTES).contains(&name.len())
                && !name.contains(['/', '\\'])
                && !name.contains(char::is_control);
            if !plain || name.starts_with('.') {
                let name = quoted(name);
                return Err(malformed(format!(
                    "names the file {name}, which is not a plain name in the same folder"
                )));
            }
            if !name.ends_with(".safetensors") {
                let name = quoted(name);
                return Err(malformed(format!(
                    "names the file {name}, which is not safetensors"
                )));
            }
        }
        let mut position = vec![0; shards.len()];
        for (i, (_, mention)) in (0u32..).zip(&shards) {
            position[*mention as usize] = i;
        }
        for (_, shard) in &mut self.tensors {
            *shard = position[*shard as usize];
        }
        Ok(ShardIndex {
            path: path.into(),
            shards: shards.into_iter().map(|(name, _)| name).collect(),
            tensors: self.tensors,
        })
    }
}

/// The whole file, of which only `weight_map` is kept.
struct TopLevel;

impl<'de> DeserializeSeed<'de> for TopLevel {
    type Value = Option<WeightMap>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TopLevel {
    type Value = Option<WeightMap>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with a weight_map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "weight_map" {
                map.next_value::<IgnoredAny>()?;
            } else if found.is_some() {
                return Err(A::Error::custom("weight_map is given twice"));
            } else {
                found = Some(map.next_value_seed(WeightMap::default())?);
            }
        }
        Ok(found)
    }
}

impl<'de> DeserializeSeed<'de> for WeightMap {
    type Value = Self;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WeightMap {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("weight_map to be an object from tensor names to file names")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some((name, shard)) = map.next_entry::<String, String>()? {
            let next = self.shards.len() as u32;
            let id = *self.shards.entry(shard).or_insert(next);
            self.tensors.push((name, id));
            if self.shards.len() > limits::FILES {
                let most = limits::FILES;
                return Err(A::Error::custom(format!("names more than {most} files")));
            }
            if self.tensors.len() as u64 > limits::TENSORS {
                let most = limits::TENSORS;
                return Err(A::Error::custom(format!("lists more than {most} tensors")));
            }
        }
        Ok(self)
    }
}
