//! What a session remembers of the tokens it has seen: keys and values of the
//! attention layers, recurrent and convolution state of the DeltaNet layers.

use half::f16;
use moestro_cuda::{self as cuda, Gpu};
use moestro_kernels::KvSlice;

use crate::blueprint::{Blueprint, DeltaNetShape, Mixer};
use crate::error::Result;
use crate::ops::{Array, Place};

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
    /// Bytes held in a place.
    pub fn bytes(&self, place: Place) -> u64 {
        let there = |d: &&DeltaState| d.memory.place() == place;
        let recurrent = self.recurrent.iter().filter(there);
        recurrent.map(DeltaState::bytes).sum()
    }
}

impl State {
    /// The state of the first `on_gpu.1` layers is kept on a GPU.
    ///
    /// Errors: no memory there.
    pub fn new(
        blueprint: &Blueprint,
        format: KvFormat,
        on_gpu: Option<(&Gpu, usize)>,
    ) -> Result<State> {
        let layers = blueprint.layers.iter().enumerate().map(|(i, l)| {
            let gpu = on_gpu.filter(|(_, layers)| i < *layers).map(|(gpu, _)| gpu);
            Ok(match &l.mixer {
                Mixer::Attention(a) => {
                    LayerState::Attention(KvCache::new(gpu, a.kv_heads * a.head_dim, format))
                }
                Mixer::DeltaNet(d) => LayerState::DeltaNet(DeltaState::new(gpu, d)?),
            })
        });
        Ok(State {
            layers: layers.collect::<Result<_>>()?,
            position: 0,
        })
    }

    /// Errors: no memory on the GPU.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let recurrent = self.layers.iter().filter_map(|l| match l {
            LayerState::DeltaNet(d) => Some(d.copy()),
            LayerState::Attention(_) => None,
        });
        Ok(Snapshot {
            position: self.position,
            recurrent: recurrent.collect::<Result<_>>()?,
        })
    }

    /// Goes back to `position`, of which `snapshot` holds the recurrent state, if the
    /// model has any.
    ///
    /// Errors: the GPU was lost; the state means nothing then.
    pub fn restore(&mut self, position: usize, snapshot: Option<&Snapshot>) -> Result<()> {
        let mut recurrent = snapshot.iter().flat_map(|s| &s.recurrent);
        for layer in &mut self.layers {
            match layer {
                LayerState::Attention(kv) => kv.truncate(position),
                LayerState::DeltaNet(d) => {
                    if let Some(saved) = recurrent.next() {
                        d.set(saved)?;
                    }
                }
            }
        }
        self.position = position;
        Ok(())
    }

    /// A second state at an earlier `position` of this one, of which `snapshot` holds
    /// the recurrent state; `None` if that is the present one.
    ///
    /// Errors: no memory on the GPU.
    pub fn fork(&self, position: usize, snapshot: Option<&Snapshot>) -> Result<State> {
        let mut recurrent = snapshot.iter().flat_map(|s| &s.recurrent);
        let layers = self.layers.iter().map(|l| {
            Ok(match l {
                LayerState::Attention(kv) => LayerState::Attention(kv.prefix(position)?),
                LayerState::DeltaNet(live) => {
                    LayerState::DeltaNet(recurrent.next().unwrap_or(live).copy()?)
                }
            })
        });
        Ok(State {
            layers: layers.collect::<Result<_>>()?,
            position,
        })
    }

    /// Errors: the GPU was lost.
    pub fn clear(&mut self) -> Result<()> {
        for layer in &mut self.layers {
            match layer {
                LayerState::Attention(kv) => kv.truncate(0),
                LayerState::DeltaNet(d) => d.clear()?,
            }
        }
        self.position = 0;
        Ok(())
    }

    /// Bytes held now in a place.
    pub fn bytes(&self, place: Place) -> u64 {
        let bytes = |l: &LayerState| match l {
            LayerState::Attention(kv) if kv.place() == place => kv.bytes(),
            LayerState::DeltaNet(d) if d.memory.place() == place => d.bytes(),
            _ => 0,
        };
        self.layers.iter().map(bytes).sum()
    }
}

/// Keys and values of one layer, growing in blocks so that memory follows the
/// conversation.
pub enum KvCache {
    Host(HostCache),
    Gpu(cuda::KvCache),
}

impl KvCache {
    fn new(gpu: Option<&Gpu>, width: usize, format: KvFormat) -> KvCache {
        match gpu {
            None => KvCache::Host(HostCache::new(width, format)),
            Some(gpu) => {
                let format = match format {
                    KvFormat::F16 => cuda::KvFormat::F16,
                    KvFormat::F32 => cuda::KvFormat::F32,
                };
                KvCache::Gpu(cuda::KvCache::new(gpu, width, format))
            }
        }
    }

    fn place(&self) -> Place {
        match self {
            KvCache::Host(_) => Place::Host,
            KvCache::Gpu(_) => Place::Gpu,
        }
    }

    /// A copy of the first `positions`.
    fn prefix(&self, positions: usize) -> Result<KvCache> {
        Ok(match self {
            KvCache::Host(cache) => KvCache::Host(cache.prefix(positions)),
            KvCache::Gpu(cache) => KvCache::Gpu(cache.prefix(positions)?),
        })
    }

    fn truncate(&mut self, positions: usize) {
        match self {
            KvCache::Host(cache) => cache.truncate(positions),
            KvCache::Gpu(cache) => cache.truncate(positions),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            KvCache::Host(cache) => cache.bytes(),
            KvCache::Gpu(cache) => cache.bytes(),
        }
    }
}

/// Keys and values in RAM, `[positions, kv_heads * head_dim]` each.
pub struct HostCache {
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

impl HostCache {
    fn new(width: usize, format: KvFormat) -> HostCache {
        let empty = || match format {
            KvFormat::F16 => Values::F16(Vec::new()),
            KvFormat::F32 => Values::F32(Vec::new()),
        };
        HostCache {
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
    fn prefix(&self, positions: usize) -> HostCache {
        let step = BLOCK * self.width;
        let len = positions * self.width;
        HostCache {
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
pub struct DeltaState {
    /// Raw inputs of the last `conv_kernel - 1` positions, oldest first.
    pub conv: Array,
    /// `[value_heads, key_dim, value_dim]`.
    pub memory: Array,
}

impl DeltaState {
    fn new(gpu: Option<&Gpu>, shape: &DeltaNetShape) -> Result<DeltaState> {
        Ok(DeltaState {
            conv: Array::zeros(gpu, shape.conv_elements())?,
            memory: Array::zeros(gpu, shape.state_elements())?,
        })
    }

    fn copy(&self) -> Result<DeltaState> {
        Ok(DeltaState {
            conv: self.conv.copy()?,
            memory: self.memory.copy()?,
        })
    }

    fn set(&mut self, other: &DeltaState) -> Result<()> {
        self.conv.set(&other.conv)?;
        self.memory.set(&other.memory)
    }

    fn clear(&mut self) -> Result<()> {
        self.conv.clear()?;
        self.memory.clear()
    }

    fn bytes(&self) -> u64 {
        ((self.conv.len() + self.memory.len()) * 4) as u64
    }
}
