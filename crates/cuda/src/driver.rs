//! The functions of the CUDA driver, `libcuda.so.1`, loaded when a GPU is looked
//! for, so that the program starts where there is none. Declared after the
//! reference of the CUDA Driver API 12.2.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use crate::error::{CudaError, Result};

/// `CUdevice`.
pub(crate) type Device = c_int;
/// `CUdeviceptr`.
pub(crate) type Address = u64;
/// `CUcontext`, `CUstream`, `CUevent`, `CUmodule` and `CUfunction`: opaque.
pub(crate) type Handle = *mut c_void;
/// `CUresult`.
pub(crate) type Code = c_uint;

pub(crate) const SUCCESS: Code = 0;
pub(crate) const OUT_OF_MEMORY: Code = 2;
pub(crate) const NO_DEVICE: Code = 100;
pub(crate) const NO_BINARY_FOR_GPU: Code = 209;
pub(crate) const NOT_READY: Code = 600;

/// `CU_STREAM_NON_BLOCKING`.
pub(crate) const NON_BLOCKING: c_uint = 1;
/// `CU_EVENT_DISABLE_TIMING`.
pub(crate) const WITHOUT_TIMING: c_uint = 2;
/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR`.
pub(crate) const CAPABILITY_MAJOR: c_int = 75;
/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR`.
pub(crate) const CAPABILITY_MINOR: c_int = 76;

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $symbol:literal ($($arg:ty),*);)*) => {
        /// The library and its functions.
        pub(crate) struct Driver {
            $($(#[$doc])* pub(crate) $name: unsafe extern "C" fn($($arg),*) -> Code,)*
            /// Stays loaded: the driver's threads outlive any handle.
            _library: std::mem::ManuallyDrop<libloading::Library>,
        }

        impl Driver {
            /// Loads the driver and starts it.
            pub(crate) fn load() -> Result<Driver> {
                // SAFETY: the initialisers of the driver's library may run in any
                // program, on any thread.
                let library = unsafe { libloading::Library::new("libcuda.so.1") }
                    .map_err(|error| CudaError::NoDriver(error.to_string()))?;
                let driver = Driver {
                    $($name: {
                        // SAFETY: the type is that of the documented function.
                        let symbol = unsafe { library.get(concat!($symbol, "\0").as_bytes()) };
                        *symbol.map_err(|_| CudaError::OldDriver($symbol.into()))?
                    },)*
                    _library: std::mem::ManuallyDrop::new(library),
                };
                driver.start()?;
                Ok(driver)
            }
        }
    };
}

functions! {
    init = "cuInit"(c_uint);
    driver_version = "cuDriverGetVersion"(*mut c_int);
    error_string = "cuGetErrorString"(Code, *mut *const c_char);
    device_count = "cuDeviceGetCount"(*mut c_int);
    device_get = "cuDeviceGet"(*mut Device, c_int);
    device_name = "cuDeviceGetName"(*mut c_char, c_int, Device);
    device_uuid = "cuDeviceGetUuid_v2"(*mut [u8; 16], Device);
    device_attribute = "cuDeviceGetAttribute"(*mut c_int, c_int, Device);
    device_memory = "cuDeviceTotalMem_v2"(*mut usize, Device);
    context_retain = "cuDevicePrimaryCtxRetain"(*mut Handle, Device);
    context_release = "cuDevicePrimaryCtxRelease_v2"(Device);
    context_set = "cuCtxSetCurrent"(Handle);
    context_get = "cuCtxGetCurrent"(*mut Handle);
    memory_info = "cuMemGetInfo_v2"(*mut usize, *mut usize);
    memory_alloc = "cuMemAlloc_v2"(*mut Address, usize);
    memory_free = "cuMemFree_v2"(Address);
    host_alloc = "cuMemHostAlloc"(*mut *mut c_void, usize, c_uint);
    host_free = "cuMemFreeHost"(*mut c_void);
    copy_to_device = "cuMemcpyHtoDAsync_v2"(Address, *const c_void, usize, Handle);
    copy_to_host = "cuMemcpyDtoHAsync_v2"(*mut c_void, Address, usize, Handle);
    copy_within = "cuMemcpyDtoDAsync_v2"(Address, Address, usize, Handle);
    fill = "cuMemsetD8Async"(Address, u8, usize, Handle);
    stream_create = "cuStreamCreate"(*mut Handle, c_uint);
    stream_destroy = "cuStreamDestroy_v2"(Handle);
    stream_wait = "cuStreamSynchronize"(Handle);
    stream_wait_event = "cuStreamWaitEvent"(Handle, Handle, c_uint);
    event_create = "cuEventCreate"(*mut Handle, c_uint);
    event_destroy = "cuEventDestroy_v2"(Handle);
    event_record = "cuEventRecord"(Handle, Handle);
    event_query = "cuEventQuery"(Handle);
    event_wait = "cuEventSynchronize"(Handle);
    module_load = "cuModuleLoadData"(*mut Handle, *const c_void);
    module_unload = "cuModuleUnload"(Handle);
    module_function = "cuModuleGetFunction"(*mut Handle, Handle, *const c_char);
    launch = "cuLaunchKernel"(
        Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle,
        *mut *mut c_void, *mut *mut c_void
    );
}

impl Driver {
    fn start(&self) -> Result<()> {
        // SAFETY: no arguments but flags, which must be 0.
        match unsafe { (self.init)(0) } {
            SUCCESS | NO_DEVICE => Ok(()),
            code => Err(CudaError::NoDriver(format!(
                "cuInit: {}",
                self.message(code)
            ))),
        }
    }

    /// What the driver says about a result.
    pub(crate) fn message(&self, code: Code) -> String {
        let mut text: *const c_char = std::ptr::null();
        // SAFETY: `text` is a place for a pointer to a static string.
        let known = unsafe { (self.error_string)(code, &mut text) } == SUCCESS;
        if !known || text.is_null() {
            return format!("error {code}");
        }
        // SAFETY: the driver gave a string that lives as long as it.
        let text = unsafe { CStr::from_ptr(text) };
        format!("{} (error {code})", text.to_string_lossy())
    }

    /// An error unless `code` is success.
    pub(crate) fn check(&self, call: &'static str, code: Code) -> Result<()> {
        match code {
            SUCCESS => Ok(()),
            _ => Err(CudaError::Driver {
                call,
                code,
                message: self.message(code),
            }),
        }
    }
}
