//! What a session remembers of the tokens it has seen: keys and values of the
//! attention layers, recurrent and convolution state of the DeltaNet layers.

use half::f16;
use moestro_kernels::KvSlice;

use crate::blueprint::{Blueprint, DeltaNetShape, Mixer};

/// Number format of cached keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvFormat {
    #[default]
    F16,
    /// Twice the memory; for comparing with float32 references.
    F32,
}

impl KvFormat {
    pub fn bytes(self) -> usize {
        match self {
            KvFormat::F16 => 2,
            KvFormat::F32 => 4,
        }
    }
}

/// State of all layers after `position` tokens.
pub struct State {
    pub layers: Vec<LayerState>,
    pub position: usize,
}

pub enum LayerState {
    Attention(KvCache),
    DeltaNet(DeltaState),
}

/// A copy of the part of a state that cannot be truncated. Keys and values of
/// earlier positions never change, so they are shared with the live state.
pub struct Snapshot {
    pub position: usize,
    recurrent: Vec<DeltaState>,
}

impl Snapshot {
    pub fn bytes(&self) -> u64 {
        self.recurrent.iter().map(DeltaState::bytes).sum()
    }
}

impl State {
    pub fn new(blueprint: &Blueprint, format: KvFormat) -> State {
        let layers = blueprint
            .layers
            .iter()
            .map(|l| match &l.mixer {
                Mixer::Attention(a) => {
                    LayerState::Attention(KvCache::new(a.kv_heads * a.head_dim, format))
                }
                Mixer::DeltaNet(d) => LayerState::DeltaNet(DeltaState::new(d)),
            })
            .collect();
        State {
            layers,
            position: 0,
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let recurrent = self
            .layers
            .iter()
            .filter_map(|l| match l {
                LayerState::DeltaNet(d) => Some(d.clone()),
                LayerState::Attention(_) => None,
            })
            .collect();
        Snapshot {
            position: self.position,
            recurrent,
        }
    }

    /// Goes back to an earlier snapshot of this same state.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        let mut recurrent = snapshot.recurrent.iter();
        for layer in &mut self.layers {
            match layer {
                LayerState::Attention(kv) => kv.truncate(snapshot.position),
                LayerState::DeltaNet(d) => {
                    if let Some(saved) = recurrent.next() {
                        d.clone_from(saved);
                    }
                }
            }
        }
        self.position = snapshot.position;
    }

    /// A second state at an earlier snapshot of this one.
    pub fn fork(&self, snapshot: &Snapshot) -> State {
        let mut recurrent = snapshot.recurrent.iter();
        let layer = |l: &LayerState| match l {
            LayerState::Attention(kv) => LayerState::Attention(kv.prefix(snapshot.position)),
            LayerState::DeltaNet(live) => {
                LayerState::DeltaNet(recurrent.next().unwrap_or(live).clone())
            }
        };
        State {
            layers: self.layers.iter().map(layer).collect(),
            position: snapshot.position,
        }
    }

    pub fn clear(&mut self) {
        for layer in &mut self.layers {
            match layer {
                LayerState::Attention(kv) => kv.truncate(0),
                LayerState::DeltaNet(d) => d.clear(),
            }
        }
        self.position = 0;
    }

    /// Bytes held now.
    pub fn bytes(&self) -> u64 {
        self.layers
            .iter()
            .map(|l| match l {
                LayerState::Attention(kv) => kv.bytes(),
                LayerState::DeltaNet(d) => d.bytes(),
            })
            .sum()
    }
}

/// Keys and values of one layer, `[positions, kv_heads * head_dim]` each, growing
/// in blocks so that memory follows the conversation.
pub struct KvCache {
    width: usize,
    keys: Values,
    values: Values,
}

enum Values {
    F16(Vec<f16>),
    F32(Vec<f32>),
}

/// Positions by which a cache grows.
const BLOCK: usize = 256;

impl KvCache {
    fn new(width: usize, format: KvFormat) -> KvCache {
        let empty = || match format {
            KvFormat::F16 => Values::F16(Vec::new()),
            KvFormat::F32 => Values::F32(Vec::new()),
        };
        KvCache {
            width,
            keys: empty(),
            values: empty(),
        }
    }

    /// Appends rows of `width` values.
    pub fn append(&mut self, keys: &[f32], values: &[f32]) {
        let step = BLOCK * self.width;
        self.keys.extend(keys, step);
        self.values.extend(values, step);
    }

    pub fn keys(&self) -> KvSlice<'_> {
        self.keys.slice()
    }

    pub fn values(&self) -> KvSlice<'_> {
        self.values.slice()
    }

    /// A copy of the first `positions`.
    fn prefix(&self, positions: usize) -> KvCache {
        let step = BLOCK * self.width;
        let len = positions * self.width;
        KvCache {
            width: self.width,
            keys: self.keys.prefix(len, step),
            values: self.values.prefix(len, step),
        }
    }

    fn truncate(&mut self, positions: usize) {
        self.keys.truncate(positions * self.width);
        self.values.truncate(positions * self.width);
    }

    fn bytes(&self) -> u64 {
        self.keys.bytes() + self.values.bytes()
    }
}

impl Values {
    fn extend(&mut self, rows: &[f32], step: usize) {
        match self {
            Values::F16(v) => {
                reserve(v, rows.len(), step);
                v.extend(rows.iter().map(|x| f16::from_f32(*x)));
            }
            Values::F32(v) => {
                reserve(v, rows.len(), step);
                v.extend_from_slice(rows);
            }
        }
    }

    fn prefix(&self, len: usize, step: usize) -> Values {
        fn copy<T: Clone>(from: &[T], step: usize) -> Vec<T> {
            let mut to = Vec::new();
            reserve(&mut to, from.len(), step);
            to.extend_from_slice(from);
            to
        }
        match self {
            Values::F16(v) => Values::F16(copy(&v[..len], step)),
            Values::F32(v) => Values::F32(copy(&v[..len], step)),
        }
    }

    fn slice(&self) -> KvSlice<'_> {
        match self {
            Values::F16(v) => KvSlice::F16(v),
            Values::F32(v) => KvSlice::F32(v),
        }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Values::F16(v) => v.truncate(len),
            Values::F32(v) => v.truncate(len),
        }
    }

    fn bytes(&self) -> u64 {
        (match self {
            Values::F16(v) => v.capacity() * 2,
            Values::F32(v) => v.capacity() * 4,
        }) as u64
    }
}

/// Room for `more`, rounded up to whole blocks and never doubled.
fn reserve<T>(v: &mut Vec<T>, more: usize, step: usize) {
    let needed = v.len() + more;
    if needed > v.capacity() {
        v.reserve_exact(needed.next_multiple_of(step) - v.len());
    }
}

/// State of one DeltaNet layer.
#[derive(Clone)]
pub struct DeltaState {
    /// Raw inputs of the last `conv_kernel - 1` positions, oldest first.
    pub conv: Vec<f32>,
    /// `[value_heads, key_dim, value_dim]`.
    pub memory: Vec<f32>,
}

impl DeltaState {
    fn new(shape: &DeltaNetShape) -> DeltaState {
        DeltaState {
            conv: vec![0.0; shape.conv_elements()],
            memory: vec![0.0; shape.state_elements()],
        }
    }

    fn clear(&mut self) {
        self.conv.fill(0.0);
        self.memory.fill(0.0);
    }

    fn bytes(&self) -> u64 {
        ((self.conv.len() + self.memory.len()) * 4) as u64
    }
}
