//! A GPU in use: its context, streams, kernels and memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::arguments::Arguments;
use crate::context::{Context, Module, Raw, Stream};
use crate::driver::{Address, Driver, NO_BINARY_FOR_GPU};
use crate::error::{CudaError, Result};
use crate::memory::{Buffer, Memory};
use crate::names;
use crate::pinned::{Reads, Ring};
use crate::probe::{GpuInfo, describe};
use crate::self_test;
use crate::uploads::Uploads;

/// A GPU. Clones share it; when the last one and everything made from it is gone, so
/// are its memory and context.
#[derive(Clone)]
pub struct Gpu {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    info: GpuInfo,
    kernels: HashMap<&'static str, Raw>,
    /// Dropped before what it lies in, as are the others.
    ring: Mutex<Ring>,
    reads: Mutex<Reads>,
    uploads: Mutex<Uploads>,
    memory: Mutex<Memory>,
    _modules: Vec<Module>,
    main: Stream,
    copies: Stream,
    context: Arc<Context>,
}

/// What the self-test may use, however small the budget is.
const TEST_BUDGET: u64 = 32 << 20;

/// Compiled kernels.
#[derive(Clone)]
pub struct Kernels {
    /// Capability, or 0 for PTX, and image.
    images: Vec<(u32, Vec<u8>)>,
}

impl Kernels {
    /// Those that this program was built with.
    ///
    /// Errors: it was built without.
    pub fn embedded() -> Result<Kernels> {
        let images = crate::images::IMAGES;
        if images.is_empty() {
            return Err(CudaError::NoKernels);
        }
        Ok(Kernels {
            images: images
                .iter()
                .map(|(sm, image)| (*sm, image.to_vec()))
                .collect(),
        })
    }

    /// An image, cubin or PTX, for whatever GPU it is used with.
    pub fn from_image(mut image: Vec<u8>) -> Kernels {
        // PTX is text that ends with a zero byte.
        image.push(0);
        Kernels {
            images: vec![(0, image)],
        }
    }

    /// The images to try, sets of one kind, best first: machine code of the same major
    /// and no higher minor number, then PTX.
    fn candidates(&self, capability: (u32, u32)) -> Vec<Vec<&[u8]>> {
        let (major, minor) = capability;
        let fits = |sm: u32| sm / 10 == major && sm % 10 <= minor || sm == 0;
        let mut kinds: Vec<u32> = self.images.iter().map(|(sm, _)| *sm).collect();
        kinds.retain(|sm| fits(*sm));
        kinds.sort_unstable_by(|a, b| b.cmp(a));
        kinds.dedup();
        let of = |kind: u32| {
            let images = self.images.iter().filter(move |(sm, _)| *sm == kind);
            images.map(|(_, image)| image.as_slice()).collect()
        };
        kinds.into_iter().map(of).collect()
    }
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernels({} images)", self.images.len())
    }
}

impl Gpu {
    /// Opens GPU `ordinal`, of whose memory at most `budget` bytes are to be used, and
    /// tests its kernels.
    pub fn open(ordinal: usize, budget: u64) -> Result<Gpu> {
        Gpu::open_with(ordinal, budget, &Kernels::embedded()?)
    }

    /// The same with given kernels.
    pub fn open_with(ordinal: usize, budget: u64, kernels: &Kernels) -> Result<Gpu> {
        let driver = Driver::load()?;
        let (device, info) = describe(&driver, ordinal)?;
        let unsupported = CudaError::Unsupported {
            name: info.name.clone(),
            capability: info.capability,
        };
        if info.capability < (7, 5) {
            return Err(unsupported);
        }
        let context = Arc::new(Context::retain(driver, device)?);
        let modules = load(&context, kernels, info.capability)?.ok_or(unsupported)?;
        let inner = Inner {
            kernels: find(&modules)?,
            ring: Mutex::new(Ring::new(&context)?),
            reads: Mutex::new(Reads::new(&context)?),
            uploads: Mutex::new(Uploads::new(&context)),
            memory: Mutex::new(Memory::new(context.clone(), budget.max(TEST_BUDGET))),
            _modules: modules,
            main: Stream::new(&context)?,
            copies: Stream::new(&context)?,
            context,
            info,
        };
        let gpu = Gpu {
            inner: Arc::new(inner),
        };
        self_test::run(&gpu)?;
        gpu.set_budget(budget);
        Ok(gpu)
    }

    /// What the driver said about it when it was opened.
    pub fn info(&self) -> &GpuInfo {
        &self.inner.info
    }

    /// Bytes that may be used.
    pub fn budget(&self) -> u64 {
        self.memory().budget()
    }

    /// Changes the budget. Below what is in use, it only refuses more.
    pub fn set_budget(&self, bytes: u64) {
        self.memory().set_budget(bytes);
    }

    /// Bytes that are held from the driver, idle ones included.
    pub fn used(&self) -> u64 {
        self.memory().used()
    }

    /// Bytes of buffers that nobody uses now and that are kept for later.
    pub fn idle(&self) -> u64 {
        self.memory().idle()
    }

    /// Bytes of the whole GPU that no program uses.
    pub fn free_vram(&self) -> Result<u64> {
        Ok(self.inner.context.memory()?.0)
    }

    /// Gives idle buffers back to the driver.
    pub fn trim(&self) -> Result<()> {
        self.memory().trim(&self.inner.main)
    }

    /// Waits until all operations are done. The errors of kernels show here.
    pub fn wait(&self) -> Result<()> {
        self.inner.main.wait()
    }

    /// Why it cannot be used any more, if so.
    pub fn lost(&self) -> Option<String> {
        self.inner.context.lost().map(str::to_owned)
    }

    pub(crate) fn main(&self) -> &Stream {
        &self.inner.main
    }

    pub(crate) fn copies(&self) -> &Stream {
        &self.inner.copies
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.inner.context
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        locked(&self.inner.memory)
    }

    pub(crate) fn uploads(&self) -> MutexGuard<'_, Uploads> {
        locked(&self.inner.uploads)
    }

    /// A pooled buffer.
    pub(crate) fn take(&self, bytes: u64) -> Result<Buffer> {
        self.memory().take(bytes, &self.inner.main)
    }

    /// Gives memory back that operations in the queue may still use.
    pub(crate) fn release(&self, buffer: Buffer) {
        // When the GPU is lost its memory is, too.
        if self.inner.main.wait().and(self.inner.copies.wait()).is_ok() {
            let _ = self.memory().free(buffer);
        }
    }

    /// Queues a copy by way of pinned memory.
    pub(crate) fn send(&self, data: &[u8], to: Address) -> Result<()> {
        locked(&self.inner.ring).send(data, to, &self.inner.main)
    }

    /// Copies all `(address, bytes)` back, after everything queued before but not what
    /// `meanwhile` queues; `f` gets them one after the other.
    pub(crate) fn receive<R, E: From<CudaError>>(
        &self,
        from: &[(Address, usize)],
        meanwhile: impl FnOnce() -> Result<(), E>,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, E> {
        locked(&self.inner.reads)
            .receive(from, &self.inner.main, meanwhile)
            .map(f)
    }

    /// Queues a kernel; nothing if the grid is empty.
    pub(crate) fn launch<A: Arguments>(
        &self,
        kernel: &'static str,
        grid: [usize; 3],
        threads: u32,
        arguments: &A,
    ) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        let handle = self.inner.kernels.get(kernel);
        let handle = handle.unwrap_or_else(|| panic!("{kernel} is not in the list of kernels"));
        let grid = grid.map(|n| u32::try_from(n).expect("a grid that fits in words"));
        let main = &self.inner.main;
        self.inner
            .context
            .launch(*handle, grid, threads, arguments, main)
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Gpu({}, {})",
            self.inner.info.ordinal, self.inner.info.name
        )
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Pinned memory must not be in use when it goes.
        let _ = self.main.wait();
        let _ = self.copies.wait();
    }
}

/// A panic while one was held leaves nothing half done that matters.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first set of images that the driver accepts.
fn load(
    context: &Arc<Context>,
    kernels: &Kernels,
    capability: (u32, u32),
) -> Result<Option<Vec<Module>>> {
    const INVALID_IMAGE: u32 = 200;
    const INVALID_PTX: u32 = 218;
    const UNSUPPORTED_PTX: u32 = 222;
    let mut refused = None;
    for images in kernels.candidates(capability) {
        match load_all(context, &images) {
            Ok(modules) => return Ok(Some(modules)),
            Err(error) => match error {
                CudaError::Driver { code, .. }
                    if [
                        INVALID_IMAGE,
                        NO_BINARY_FOR_GPU,
                        INVALID_PTX,
                        UNSUPPORTED_PTX,
                    ]
                    .contains(&code) =>
                {
                    refused = Some(error);
                }
                _ => return Err(error),
            },
        }
    }
    refused.map_or(Ok(None), Err)
}

/// At once: of PTX the driver makes code first, which takes a while.
fn load_all(context: &Arc<Context>, images: &[&[u8]]) -> Result<Vec<Module>> {
    std::thread::scope(|scope| {
        let loading: Vec<_> = images
            .iter()
            .map(|image| scope.spawn(move || Module::load(context, image)))
            .collect();
        let loaded = loading.into_iter();
        loaded
            .map(|one| one.join().expect("loading does not panic"))
            .collect()
    })
}

fn find(modules: &[Module]) -> Result<HashMap<&'static str, Raw>> {
    let mut kernels = HashMap::new();
    for name in names::all() {
        for module in modules {
            if let Some(kernel) = module.kernel(name)? {
                kernels.insert(name, kernel);
                break;
            }
        }
        if !kernels.contains_key(name) {
            return Err(CudaError::SelfTest {
                kernel: name,
                detail: "it is not among the kernels of this build".into(),
            });
        }
    }
    Ok(kernels)
}

#[cfg(test)]
mod tests {
    use super::Kernels;

    #[test]
    fn the_best_images_come_first() {
        let image = |sm: u32| (sm, vec![sm as u8]);
        let kernels = Kernels {
            images: [75, 80, 86, 89, 90, 0].map(image).into(),
        };
        let first = |capability| {
            let sets = kernels.candidates(capability);
            sets.iter()
                .map(|set| u32::from(set[0][0]))
                .collect::<Vec<_>>()
        };
        assert_eq!(first((7, 5)), [75, 0]);
        assert_eq!(first((8, 0)), [80, 0]);
        assert_eq!(first((8, 6)), [86, 80, 0]);
        assert_eq!(first((8, 9)), [89, 86, 80, 0]);
        assert_eq!(first((12, 0)), [0]);
    }
}
