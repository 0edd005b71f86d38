//! What lies in the GPU's memory: activations, numbers of rows, weights.

use std::ops::Range;
use std::sync::OnceLock;

use crate::driver::Address;
use crate::error::{CudaError, Result};
use crate::gpu::Gpu;
use crate::memory::Buffer;
use crate::ops::Rounded;
use crate::pinned::bytes_of;

/// Floats on the GPU, in a pooled buffer.
pub struct Array {
    gpu: Gpu,
    buffer: Buffer,
    len: usize,
    /// The same as signed bytes, made once for all products that read it.
    rounded: OnceLock<Box<Rounded>>,
}

/// Unsigned numbers on the GPU, in a pooled buffer.
pub struct Indices {
    gpu: Gpu,
    buffer: Buffer,
    len: usize,
}

/// Bytes on the GPU that stay for long: weights.
pub struct Bytes {
    gpu: Gpu,
    buffer: Buffer,
    len: usize,
}

impl Gpu {
    /// A copy of `values`. Returns before the copy has arrived; whatever is queued
    /// later comes after it.
    ///
    /// Errors: as all that make arrays, if the memory does not suffice.
    pub fn array(&self, values: &[f32]) -> Result<Array> {
        let mut array = self.empty(values.len())?;
        array.write(0, values)?;
        Ok(array)
    }

    /// Zeros.
    pub fn zeros(&self, len: usize) -> Result<Array> {
        let mut array = self.empty(len)?;
        array.clear()?;
        Ok(array)
    }

    /// Floats of undefined values, to be written before they are read.
    pub fn empty(&self, len: usize) -> Result<Array> {
        Ok(Array {
            buffer: self.take(4 * len as u64)?,
            gpu: self.clone(),
            len,
            rounded: OnceLock::new(),
        })
    }

    /// A copy of `values`.
    pub fn indices(&self, values: &[u32]) -> Result<Indices> {
        let indices = self.empty_indices(values.len())?;
        self.send(bytes_of(values), indices.address())?;
        Ok(indices)
    }

    pub(crate) fn empty_indices(&self, len: usize) -> Result<Indices> {
        Ok(Indices {
            buffer: self.take(4 * len as u64)?,
            gpu: self.clone(),
            len,
        })
    }

    /// `len` bytes of undefined contents.
    pub fn bytes(&self, len: usize) -> Result<Bytes> {
        Ok(Bytes {
            buffer: self.memory().allocate(len as u64, self.main())?,
            gpu: self.clone(),
            len,
        })
    }

    /// The values of all, after everything that was queued before, with one wait.
    ///
    /// Errors: a lost GPU, for instance because of one of those operations.
    #[allow(clippy::type_complexity, reason = "one list for each argument")]
    pub fn read(
        &self,
        arrays: &[&Array],
        indices: &[&Indices],
    ) -> Result<(Vec<Vec<f32>>, Vec<Vec<u32>>)> {
        self.read_while(arrays, indices, || Ok::<(), CudaError>(()))
    }

    /// The same; `meanwhile` queues operations that are not waited for. It must not
    /// read.
    ///
    /// Errors: those of `meanwhile`, too.
    #[allow(clippy::type_complexity, reason = "one list for each argument")]
    pub fn read_while<E: From<CudaError>>(
        &self,
        arrays: &[&Array],
        indices: &[&Indices],
        meanwhile: impl FnOnce() -> Result<(), E>,
    ) -> Result<(Vec<Vec<f32>>, Vec<Vec<u32>>), E> {
        let mut from: Vec<_> = arrays.iter().map(|a| (a.address(), 4 * a.len)).collect();
        from.extend(indices.iter().map(|i| (i.address(), 4 * i.len)));
        self.receive(&from, meanwhile, |bytes| {
            let (mut words, _) = bytes.as_chunks::<4>();
            let mut next = |len: usize| {
                let (first, rest) = words.split_at(len);
                words = rest;
                first
            };
            let floats = |a: &&Array| next(a.len).iter().map(|w| f32::from_le_bytes(*w)).collect();
            let floats = arrays.iter().map(floats).collect();
            let numbers =
                |i: &&Indices| next(i.len).iter().map(|w| u32::from_le_bytes(*w)).collect();
            (floats, indices.iter().map(numbers).collect())
        })
    }
}

impl Array {
    /// Floats.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No float at all?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the GPU's memory that it takes.
    pub fn bytes(&self) -> u64 {
        self.buffer.bytes
    }

    pub(crate) fn address(&self) -> Address {
        self.buffer.address
    }

    /// The address for whoever changes the values.
    pub(crate) fn address_mut(&mut self) -> Address {
        self.rounded.take();
        self.buffer.address
    }

    /// The values as signed bytes, groups of 32.
    pub(crate) fn rounded(&self) -> Result<&Rounded> {
        if self.rounded.get().is_none() {
            let made = Rounded::of(&self.gpu, self)?;
            // Another thread may have been first; both are the same.
            let _ = self.rounded.set(Box::new(made));
        }
        Ok(self.rounded.get().expect("just made"))
    }

    /// What an operation that wrote the values has rounded as well.
    pub(crate) fn set_rounded(&mut self, rounded: Rounded) {
        self.rounded = OnceLock::from(Box::new(rounded));
    }

    /// The address of float `i`.
    pub(crate) fn at(&self, i: usize) -> Address {
        self.buffer.address + 4 * i as Address
    }

    /// The values, after everything that was queued before.
    pub fn read(&self) -> Result<Vec<f32>> {
        let (mut values, _) = self.gpu.read(&[self], &[])?;
        Ok(values.pop().unwrap_or_default())
    }

    /// Writes `values` from float `at` on, after everything that was queued before;
    /// returns at once.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn write(&mut self, at: usize, values: &[f32]) -> Result<()> {
        let fits = at
            .checked_add(values.len())
            .is_some_and(|end| end <= self.len);
        assert!(
            fits,
            "array: {} floats at {at} of {}",
            values.len(),
            self.len
        );
        let to = self.address_mut() + 4 * at as Address;
        self.gpu.send(bytes_of(values), to)
    }

    /// Zeros everything.
    pub fn clear(&mut self) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let address = self.address_mut();
        let (context, main) = (self.gpu.context(), self.gpu.main());
        context.clear(address, 4 * self.len, main)
    }

    /// A copy.
    pub fn duplicate(&self) -> Result<Array> {
        self.slice(0..self.len)
    }

    /// A copy of a part.
    ///
    /// # Panics
    /// If it is not a part.
    pub fn slice(&self, range: Range<usize>) -> Result<Array> {
        let mut part = self.gpu.empty(range.len())?;
        part.copy_from(0, self, range)?;
        Ok(part)
    }

    /// Copies `range` of another array to float `at` and on.
    ///
    /// # Panics
    /// If it is not a part of `from`, or does not fit.
    pub fn copy_from(&mut self, at: usize, from: &Array, range: Range<usize>) -> Result<()> {
        let inside = range.start <= range.end && range.end <= from.len;
        assert!(inside, "array: {range:?} of {}", from.len);
        let fits = at
            .checked_add(range.len())
            .is_some_and(|end| end <= self.len);
        assert!(
            fits,
            "array: {} floats at {at} of {}",
            range.len(),
            self.len
        );
        if range.is_empty() {
            return Ok(());
        }
        let to = self.address_mut() + 4 * at as Address;
        let (context, main) = (self.gpu.context(), self.gpu.main());
        context.copy_within(to, from.at(range.start), 4 * range.len(), main)
    }
}

impl Indices {
    /// Numbers.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No number at all?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn address(&self) -> Address {
        self.buffer.address
    }

    /// The values, after everything that was queued before.
    pub fn read(&self) -> Result<Vec<u32>> {
        let (_, mut values) = self.gpu.read(&[], &[self])?;
        Ok(values.pop().unwrap_or_default())
    }
}

impl Bytes {
    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No byte at all?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn address(&self) -> Address {
        self.buffer.address
    }

    /// Writes `data` from byte `at` on, after everything that was queued before;
    /// waits for a part of it if it is larger than 8 MiB.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn write(&mut self, at: usize, data: &[u8]) -> Result<()> {
        let fits = at
            .checked_add(data.len())
            .is_some_and(|end| end <= self.len);
        assert!(fits, "bytes: {} at {at} of {}", data.len(), self.len);
        self.gpu.send(data, self.address() + at as Address)
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        self.gpu.memory().give(self.buffer);
    }
}

impl Drop for Indices {
    fn drop(&mut self) {
        self.gpu.memory().give(self.buffer);
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.gpu.release(self.buffer);
    }
}

impl std::fmt::Debug for Array {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Array({})", self.len)
    }
}

impl std::fmt::Debug for Indices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Indices({})", self.len)
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({})", self.len)
    }
}
