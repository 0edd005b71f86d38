//! Writes GGUF files, right or wrong in any field.

/// Numbers of value types.
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Numbers of tensor types.
pub const F32: u32 = 0;
pub const F16: u32 = 1;
pub const Q4_0: u32 = 2;
pub const Q4_K: u32 = 12;

/// A GGUF file as it will be written.
#[derive(Clone)]
pub struct Gguf {
    pub magic: [u8; 4],
    pub version: u32,
    /// Instead of the true counts.
    pub key_count: Option<u64>,
    pub tensor_count: Option<u64>,
    pub alignment: usize,
    /// Encoded entries.
    pub keys: Vec<Vec<u8>>,
    pub tensors: Vec<Tensor>,
    /// Bytes missing at the end.
    pub cut: usize,
}

#[derive(Clone)]
pub struct Tensor {
    pub name: Vec<u8>,
    pub dimensions: Vec<u64>,
    /// Instead of the true count.
    pub dimension_count: Option<u32>,
    pub kind: u32,
    /// Instead of the next free one.
    pub offset: Option<u64>,
    pub data: Vec<u8>,
}

/// A value: its type, then its bytes.
pub type Value = Vec<u8>;

pub fn scalar(kind: u32, bytes: &[u8]) -> Value {
    [&kind.to_le_bytes(), bytes].concat()
}

fn text(s: &[u8]) -> Vec<u8> {
    [&(s.len() as u64).to_le_bytes(), s].concat()
}

pub fn string(s: impl AsRef<[u8]>) -> Value {
    scalar(STRING, &text(s.as_ref()))
}

/// An array that declares `count` elements of `kind` and brings `bytes`.
pub fn array(kind: u32, count: u64, bytes: &[u8]) -> Value {
    scalar(
        ARRAY,
        &[&kind.to_le_bytes(), &count.to_le_bytes()[..], bytes].concat(),
    )
}

/// The bytes of strings in an array.
pub fn strings<S: AsRef<[u8]>>(list: &[S]) -> Vec<u8> {
    list.iter().flat_map(|s| text(s.as_ref())).collect()
}

pub fn string_array<S: AsRef<[u8]>>(list: &[S]) -> Value {
    array(STRING, list.len() as u64, &strings(list))
}

impl Gguf {
    /// Version 3 with an architecture and nothing else.
    pub fn new() -> Self {
        let empty = Self {
            magic: *b"GGUF",
            version: 3,
            key_count: None,
            tensor_count: None,
            alignment: 32,
            keys: Vec::new(),
            tensors: Vec::new(),
            cut: 0,
        };
        empty.key("general.architecture", string("qwen3next"))
    }

    /// With one small tensor as well.
    pub fn small() -> Self {
        Self::new().tensor("output_norm.weight", F32, &[4], &[1; 16])
    }

    pub fn key(self, key: impl AsRef<[u8]>, value: Value) -> Self {
        let key = text(key.as_ref());
        self.raw_key([key, value].concat())
    }

    pub fn u32(self, key: &str, value: u32) -> Self {
        self.key(key, scalar(4, &value.to_le_bytes()))
    }

    pub fn raw_key(mut self, entry: Vec<u8>) -> Self {
        self.keys.push(entry);
        self
    }

    /// Adds a tensor; `dimensions` innermost first, as in the file.
    pub fn tensor(
        self,
        name: impl AsRef<[u8]>,
        kind: u32,
        dimensions: &[u64],
        data: &[u8],
    ) -> Self {
        self.raw_tensor(Tensor {
            name: name.as_ref().to_vec(),
            dimensions: dimensions.to_vec(),
            dimension_count: None,
            kind,
            offset: None,
            data: data.to_vec(),
        })
    }

    pub fn tensor_at(self, name: &str, offset: u64, data: &[u8]) -> Self {
        let mut gguf = self.tensor(name, F32, &[data.len() as u64 / 4], data);
        gguf.tensors.last_mut().unwrap().offset = Some(offset);
        gguf
    }

    fn raw_tensor(mut self, tensor: Tensor) -> Self {
        self.tensors.push(tensor);
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(
            self.tensor_count
                .unwrap_or(self.tensors.len() as u64)
                .to_le_bytes(),
        );
        out.extend(
            self.key_count
                .unwrap_or(self.keys.len() as u64)
                .to_le_bytes(),
        );
        for entry in &self.keys {
            out.extend(entry);
        }
        let alignment = self.alignment;
        let mut data = Vec::new();
        for t in &self.tensors {
            data.resize(data.len().next_multiple_of(alignment), 0);
            out.extend(text(&t.name));
            let count = t.dimension_count.unwrap_or(t.dimensions.len() as u32);
            out.extend(count.to_le_bytes());
            for n in &t.dimensions {
                out.extend(n.to_le_bytes());
            }
            out.extend(t.kind.to_le_bytes());
            out.extend(t.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&t.data);
        }
        out.resize(out.len().next_multiple_of(alignment), 0);
        out.extend(data);
        out.truncate(out.len() - self.cut);
        out
    }
}
