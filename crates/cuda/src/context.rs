//! A GPU's context and what belongs to it. Every call of the driver goes through
//! here: it makes the context current, and from its result it learns whether the GPU
//! is lost. Nothing outside `driver`, `probe`, `context`, `pinned` and `arguments`
//! needs `unsafe`: device addresses are numbers, and what a kernel does with a wrong
//! one happens on the GPU, not in memory that Rust knows.

use std::ffi::{CString, c_int, c_void};
use std::sync::{Arc, OnceLock};

use crate::arguments::Arguments;
use crate::driver::{self, Address, Code, Device, Driver, Handle};
use crate::error::{CudaError, Result};

/// A handle of the driver, which may be used on any thread.
#[derive(Clone, Copy)]
pub(crate) struct Raw(pub(crate) Handle);

// SAFETY: an opaque name; the driver's functions are thread-safe.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

/// After these results no call in this process will succeed.
const FATAL: &[Code] = &[
    4,   // the driver shuts down
    46,  // the device is unavailable
    214, // uncorrectable ECC error
    220, // uncorrectable NVLink error
    226, // an error that was contained, and ended the context
    700, // illegal address
    702, // launch timed out
    709, // the context is destroyed
    710, // assertion
    714, // hardware stack error
    715, // illegal instruction
    716, // misaligned address
    717, // invalid address space
    718, // invalid program counter
    719, // launch failed
    999, // unknown
];

pub(crate) struct Context {
    driver: Driver,
    device: Device,
    handle: Raw,
    lost: OnceLock<String>,
}

impl Context {
    /// Takes part in the primary context of a device, which frameworks share.
    pub(crate) fn retain(driver: Driver, device: Device) -> Result<Context> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` is a place for a handle.
        let code = unsafe { (driver.context_retain)(&mut handle, device) };
        driver.check("cuDevicePrimaryCtxRetain", code)?;
        Ok(Context {
            driver,
            device,
            handle: Raw(handle),
            lost: OnceLock::new(),
        })
    }

    /// Why the GPU cannot be used any more.
    pub(crate) fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Makes the context that of the calling thread.
    fn enter(&self) -> Result<()> {
        if let Some(why) = self.lost() {
            return Err(CudaError::Lost(why.to_owned()));
        }
        // SAFETY: the context is held until `self` is dropped.
        let code = unsafe { (self.driver.context_set)(self.handle.0) };
        self.judge("cuCtxSetCurrent", code)
    }

    fn judge(&self, call: &'static str, code: Code) -> Result<()> {
        if FATAL.contains(&code) {
            let why = format!("{call}: {}", self.driver.message(code));
            let why = self.lost.get_or_init(|| why);
            return Err(CudaError::Lost(why.clone()));
        }
        self.driver.check(call, code)
    }

    fn call(&self, name: &'static str, f: impl FnOnce(&Driver) -> Code) -> Result<()> {
        self.enter()?;
        self.judge(name, f(&self.driver))
    }

    /// Bytes of the GPU that are free, and all.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: both are places for numbers.
        self.call("cuMemGetInfo", |d| unsafe {
            (d.memory_info)(&mut free, &mut total)
        })?;
        Ok((free as u64, total as u64))
    }

    /// `None` if the GPU has no memory left.
    pub(crate) fn allocate(&self, bytes: usize) -> Result<Option<Address>> {
        let mut address = 0;
        self.enter()?;
        // SAFETY: `address` is a place for an address.
        match unsafe { (self.driver.memory_alloc)(&mut address, bytes) } {
            driver::OUT_OF_MEMORY => Ok(None),
            code => {
                self.judge("cuMemAlloc", code)?;
                Ok(Some(address))
            }
        }
    }

    /// Frees memory that no stream uses any more.
    pub(crate) fn free(&self, address: Address) -> Result<()> {
        // SAFETY: memory of the device only, see above.
        self.call("cuMemFree", |d| unsafe { (d.memory_free)(address) })
    }

    /// Host memory that the GPU reads and writes directly; `None` if there is none.
    pub(crate) fn pin(&self, bytes: usize) -> Result<Option<*mut u8>> {
        let mut start: *mut c_void = std::ptr::null_mut();
        self.enter()?;
        // SAFETY: `start` is a place for a pointer.
        match unsafe { (self.driver.host_alloc)(&mut start, bytes, 0) } {
            driver::OUT_OF_MEMORY => Ok(None),
            code => {
                self.judge("cuMemHostAlloc", code)?;
                Ok((!start.is_null()).then_some(start.cast()))
            }
        }
    }

    /// # Safety
    /// `start` came from [`Context::pin`], and neither host nor GPU uses it any more.
    pub(crate) unsafe fn unpin(&self, start: *mut u8) -> Result<()> {
        // SAFETY: as the caller promises.
        self.call("cuMemFreeHost", |d| unsafe { (d.host_free)(start.cast()) })
    }

    /// # Safety
    /// `from` stays readable and unchanged until the stream has done the copy.
    pub(crate) unsafe fn copy_in(
        &self,
        to: Address,
        from: *const u8,
        bytes: usize,
        stream: &Stream,
    ) -> Result<()> {
        // SAFETY: as the caller promises.
        self.call("cuMemcpyHtoDAsync", |d| unsafe {
            (d.copy_to_device)(to, from.cast(), bytes, stream.handle.0)
        })
    }

    /// # Safety
    /// `to` stays writable, and read by nobody, until the stream has done the copy.
    pub(crate) unsafe fn copy_out(
        &self,
        to: *mut u8,
        from: Address,
        bytes: usize,
        stream: &Stream,
    ) -> Result<()> {
        // SAFETY: as the caller promises.
        self.call("cuMemcpyDtoHAsync", |d| unsafe {
            (d.copy_to_host)(to.cast(), from, bytes, stream.handle.0)
        })
    }

    pub(crate) fn copy_within(
        &self,
        to: Address,
        from: Address,
        bytes: usize,
        stream: &Stream,
    ) -> Result<()> {
        // SAFETY: memory of the device only, see above.
        self.call("cuMemcpyDtoDAsync", |d| unsafe {
            (d.copy_within)(to, from, bytes, stream.handle.0)
        })
    }

    pub(crate) fn clear(&self, at: Address, bytes: usize, stream: &Stream) -> Result<()> {
        // SAFETY: memory of the device only, see above.
        self.call("cuMemsetD8Async", |d| unsafe {
            (d.fill)(at, 0, bytes, stream.handle.0)
        })
    }

    /// Runs a kernel over `grid` blocks of `threads`.
    pub(crate) fn launch<A: Arguments>(
        &self,
        kernel: Raw,
        grid: [u32; 3],
        threads: u32,
        arguments: &A,
        stream: &Stream,
    ) -> Result<()> {
        let mut parameters = [std::ptr::from_ref(arguments).cast_mut().cast::<c_void>()];
        // SAFETY: the driver reads one structure, whose size is that which the kernel
        // takes by the contract of `Arguments`, before it returns.
        self.call("cuLaunchKernel", |d| unsafe {
            (d.launch)(
                kernel.0,
                grid[0],
                grid[1],
                grid[2],
                threads,
                1,
                1,
                0,
                stream.handle.0,
                parameters.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once; everything in it holds the context and is gone.
        unsafe { (self.driver.context_release)(self.device) };
    }
}

/// A queue of operations.
pub(crate) struct Stream {
    context: Arc<Context>,
    handle: Raw,
}

impl Stream {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Stream> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` is a place for a handle.
        context.call("cuStreamCreate", |d| unsafe {
            (d.stream_create)(&mut handle, driver::NON_BLOCKING)
        })?;
        Ok(Stream {
            context: context.clone(),
            handle: Raw(handle),
        })
    }

    /// Until all operations are done.
    pub(crate) fn wait(&self) -> Result<()> {
        // SAFETY: the stream exists until `self` is dropped.
        self.context.call("cuStreamSynchronize", |d| unsafe {
            (d.stream_wait)(self.handle.0)
        })
    }

    /// Makes later operations wait for an event.
    pub(crate) fn wait_for(&self, event: &Event) -> Result<()> {
        // SAFETY: both exist.
        self.context.call("cuStreamWaitEvent", |d| unsafe {
            (d.stream_wait_event)(self.handle.0, event.handle.0, 0)
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: created once and not used again. An error has nowhere to go.
        let _ = self.context.call("cuStreamDestroy", |d| unsafe {
            (d.stream_destroy)(self.handle.0)
        });
    }
}

/// A point in a stream.
pub(crate) struct Event {
    context: Arc<Context>,
    handle: Raw,
}

impl Event {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Event> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` is a place for a handle.
        context.call("cuEventCreate", |d| unsafe {
            (d.event_create)(&mut handle, driver::WITHOUT_TIMING)
        })?;
        Ok(Event {
            context: context.clone(),
            handle: Raw(handle),
        })
    }

    /// Moves it behind everything that is in the stream.
    pub(crate) fn record(&self, stream: &Stream) -> Result<()> {
        // SAFETY: both exist.
        self.context.call("cuEventRecord", |d| unsafe {
            (d.event_record)(self.handle.0, stream.handle.0)
        })
    }

    /// Has the stream come so far? True if it was never recorded.
    pub(crate) fn is_past(&self) -> Result<bool> {
        self.context.enter()?;
        // SAFETY: the event exists until `self` is dropped.
        match unsafe { (self.context.driver.event_query)(self.handle.0) } {
            driver::NOT_READY => Ok(false),
            code => self.context.judge("cuEventQuery", code).map(|()| true),
        }
    }

    pub(crate) fn wait(&self) -> Result<()> {
        // SAFETY: the event exists until `self` is dropped.
        self.context.call("cuEventSynchronize", |d| unsafe {
            (d.event_wait)(self.handle.0)
        })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: created once and not used again. An error has nowhere to go.
        let _ = self.context.call("cuEventDestroy", |d| unsafe {
            (d.event_destroy)(self.handle.0)
        });
    }
}

/// Compiled kernels on the GPU.
pub(crate) struct Module {
    context: Arc<Context>,
    handle: Raw,
}

impl Module {
    /// `image` is a cubin, or PTX that ends with a zero byte.
    pub(crate) fn load(context: &Arc<Context>, image: &[u8]) -> Result<Module> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the image is whole, and the driver copies it.
        context.call("cuModuleLoadData", |d| unsafe {
            (d.module_load)(&mut handle, image.as_ptr().cast())
        })?;
        Ok(Module {
            context: context.clone(),
            handle: Raw(handle),
        })
    }

    /// The kernel of this name, if the module has it.
    pub(crate) fn kernel(&self, name: &str) -> Result<Option<Raw>> {
        const NOT_FOUND: Code = 500;
        let Ok(name) = CString::new(name) else {
            return Ok(None);
        };
        let mut handle = std::ptr::null_mut();
        self.context.enter()?;
        // SAFETY: `handle` is a place for a handle, the name ends with a zero byte.
        let code = unsafe {
            (self.context.driver.module_function)(&mut handle, self.handle.0, name.as_ptr())
        };
        match code {
            NOT_FOUND => Ok(None),
            code => self
                .context
                .judge("cuModuleGetFunction", code)
                .map(|()| Some(Raw(handle))),
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded once and not used again. An error has nowhere to go.
        let _ = self.context.call("cuModuleUnload", |d| unsafe {
            (d.module_unload)(self.handle.0)
        });
    }
}

/// A number that a function of the driver writes.
pub(crate) fn number(
    driver: &Driver,
    call: &'static str,
    f: impl FnOnce(&mut c_int) -> Code,
) -> Result<u32> {
    let mut number = 0;
    driver.check(call, f(&mut number))?;
    Ok(u32::try_from(number).unwrap_or(0))
}
