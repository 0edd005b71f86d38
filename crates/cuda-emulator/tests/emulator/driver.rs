//! The functions of the driver that these tests call, without any comfort.

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

use moestro_cuda_emulator::Emulator;

pub type Address = u64;
pub type Handle = *mut c_void;
pub type Code = c_uint;

pub const NOT_READY: Code = 600;

macro_rules! calls {
    ($($name:ident = $symbol:literal ($($arg:ident: $type:ty),*);)*) => {
        impl Gpu<'_> {
            $(#[allow(clippy::too_many_arguments)]
            pub fn $name(&self, $($arg: $type),*) -> Code {
                type Function = unsafe extern "C" fn($($type),*) -> Code;
                let name = concat!($symbol, "\0").as_bytes();
                // SAFETY: declared like this in the reference of the driver; tests
                // pass what the emulator must accept or refuse.
                unsafe { self.emulator.library().get::<Function>(name).unwrap()($($arg),*) }
            })*
        }
    };
}

/// The GPU with a context that is current on this thread.
pub struct Gpu<'a> {
    pub emulator: &'a Emulator,
    pub module: Handle,
}

calls! {
    init = "cuInit"(flags: c_uint);
    retain = "cuDevicePrimaryCtxRetain"(out: *mut Handle, device: c_int);
    release = "cuDevicePrimaryCtxRelease_v2"(device: c_int);
    set_current = "cuCtxSetCurrent"(context: Handle);
    memory_info = "cuMemGetInfo_v2"(free: *mut usize, total: *mut usize);
    alloc = "cuMemAlloc_v2"(out: *mut Address, bytes: usize);
    free = "cuMemFree_v2"(at: Address);
    host_alloc = "cuMemHostAlloc"(out: *mut *mut c_void, bytes: usize, flags: c_uint);
    host_free = "cuMemFreeHost"(at: *mut c_void);
    to_device = "cuMemcpyHtoDAsync_v2"(to: Address, from: *const c_void, bytes: usize, stream: Handle);
    to_host = "cuMemcpyDtoHAsync_v2"(to: *mut c_void, from: Address, bytes: usize, stream: Handle);
    stream_create = "cuStreamCreate"(out: *mut Handle, flags: c_uint);
    stream_wait = "cuStreamSynchronize"(stream: Handle);
    stream_wait_event = "cuStreamWaitEvent"(stream: Handle, event: Handle, flags: c_uint);
    event_create = "cuEventCreate"(out: *mut Handle, flags: c_uint);
    event_record = "cuEventRecord"(event: Handle, stream: Handle);
    event_query = "cuEventQuery"(event: Handle);
    module_load = "cuModuleLoadData"(out: *mut Handle, image: *const c_void);
    function = "cuModuleGetFunction"(out: *mut Handle, module: Handle, name: *const c_char);
    launch_raw = "cuLaunchKernel"(
        function: Handle,
        grid_x: c_uint, grid_y: c_uint, grid_z: c_uint,
        block_x: c_uint, block_y: c_uint, block_z: c_uint,
        shared: c_uint, stream: Handle, arguments: *mut *mut c_void, extra: *mut *mut c_void
    );
}

impl<'a> Gpu<'a> {
    pub fn start(emulator: &'a Emulator) -> Gpu<'a> {
        let mut gpu = Gpu {
            emulator,
            module: null_mut(),
        };
        let mut context = null_mut();
        let mut module = null_mut();
        assert_eq!(gpu.init(0), 0);
        assert_eq!(gpu.retain(&mut context, 0), 0);
        assert_eq!(gpu.set_current(context), 0);
        assert_eq!(gpu.module_load(&mut module, c"any".as_ptr().cast()), 0);
        gpu.module = module;
        gpu
    }

    pub fn stream(&self) -> Handle {
        let mut stream = null_mut();
        assert_eq!(self.stream_create(&mut stream, 1), 0);
        stream
    }

    pub fn event(&self) -> Handle {
        let mut event = null_mut();
        assert_eq!(self.event_create(&mut event, 2), 0);
        event
    }

    pub fn bytes(&self, bytes: usize) -> Address {
        let mut at = 0;
        assert_eq!(self.alloc(&mut at, bytes), 0);
        at
    }

    /// Memory with these values, on the way there on `stream`.
    pub fn upload<T: Copy>(&self, values: &[T], stream: Handle) -> Address {
        let at = self.bytes(size_of_val(values));
        let bytes = size_of_val(values);
        assert_eq!(self.to_device(at, values.as_ptr().cast(), bytes, stream), 0);
        at
    }

    /// Waits for what is on the stream; the values, or its error.
    pub fn download<T: Copy + Default>(
        &self,
        at: Address,
        len: usize,
        stream: Handle,
    ) -> Result<Vec<T>, Code> {
        let mut values = vec![T::default(); len];
        let bytes = size_of_val(values.as_slice());
        match self.to_host(values.as_mut_ptr().cast(), at, bytes, stream) {
            0 => Ok(values),
            code => Err(code),
        }
    }

    pub fn launch(
        &self,
        name: &str,
        blocks: u32,
        threads: u32,
        stream: Handle,
        arguments: &mut [*mut c_void],
    ) -> Code {
        let name = CString::new(name).unwrap();
        let mut function = null_mut();
        let code = self.function(&mut function, self.module, name.as_ptr());
        if code != 0 {
            return code;
        }
        self.launch_raw(
            function,
            blocks,
            1,
            1,
            threads,
            1,
            1,
            0,
            stream,
            arguments.as_mut_ptr(),
            null_mut(),
        )
    }
}

/// The address of an argument, as the driver wants it.
pub fn argument<T>(value: &T) -> *mut c_void {
    std::ptr::from_ref(value).cast_mut().cast()
}
