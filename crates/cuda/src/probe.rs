//! Which GPUs there are.

use std::ffi::{CStr, c_char, c_int};
use std::fmt::Write as _;

use crate::context::number;
use crate::driver::{CAPABILITY_MAJOR, CAPABILITY_MINOR, Device, Driver};
use crate::error::{CudaError, Result};

/// A GPU as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuInfo {
    /// Its number for [`Gpu::open`](crate::Gpu::open).
    pub ordinal: usize,
    /// As its maker calls it.
    pub name: String,
    /// Its identity, which NVML writes behind `GPU-`, or `MIG-` for a part of a GPU:
    /// the two do not number GPUs alike.
    pub uuid: String,
    /// Bytes of memory.
    pub total: u64,
    /// Major and minor number of its generation.
    pub capability: (u32, u32),
    /// The newest CUDA version that the driver knows, major and minor number.
    pub driver: (u32, u32),
}

/// Every GPU. Makes no context, so it takes neither VRAM nor much time.
///
/// Errors: no driver, or one that fails; a driver without a GPU is no error.
pub fn probe() -> Result<Vec<GpuInfo>> {
    let driver = Driver::load()?;
    (0..count(&driver)?)
        .map(|ordinal| Ok(describe(&driver, ordinal)?.1))
        .collect()
}

/// Bytes of a GPU that no program uses, by a context made for a moment, some 0.2 s and
/// 300 MiB of VRAM; for where NVML cannot tell.
pub fn free_vram(ordinal: usize) -> Result<u64> {
    let driver = Driver::load()?;
    let before = current(&driver);
    let (device, _) = describe(&driver, ordinal)?;
    let free = free(&driver, device);
    // SAFETY: the context that was current before, or none.
    unsafe { (driver.context_set)(before) };
    free
}

fn current(driver: &Driver) -> crate::driver::Handle {
    let mut handle = std::ptr::null_mut();
    // SAFETY: `handle` is a place for a handle; an error leaves it null.
    unsafe { (driver.context_get)(&mut handle) };
    handle
}

pub(crate) fn count(driver: &Driver) -> Result<usize> {
    // SAFETY: the place is one for a number.
    number(driver, "cuDeviceGetCount", |n| unsafe {
        (driver.device_count)(n)
    })
    .map(|n| n as usize)
}

/// What is known without a context.
pub(crate) fn describe(driver: &Driver, ordinal: usize) -> Result<(Device, GpuInfo)> {
    let count = count(driver)?;
    if ordinal >= count {
        return Err(CudaError::NoDevice { ordinal, count });
    }
    let mut device = 0;
    // SAFETY: `device` is a place for a device, the ordinal below their number.
    let code = unsafe { (driver.device_get)(&mut device, ordinal as c_int) };
    driver.check("cuDeviceGet", code)?;
    let attribute = |which| {
        // SAFETY: the place is one for a number.
        number(driver, "cuDeviceGetAttribute", |n| unsafe {
            (driver.device_attribute)(n, which, device)
        })
    };
    let mut total = 0;
    // SAFETY: `total` is a place for a number.
    let code = unsafe { (driver.device_memory)(&mut total, device) };
    driver.check("cuDeviceTotalMem", code)?;
    // SAFETY: as above.
    let version = number(driver, "cuDriverGetVersion", |n| unsafe {
        (driver.driver_version)(n)
    })?;
    let info = GpuInfo {
        ordinal,
        name: name(driver, device)?,
        uuid: uuid(driver, device)?,
        total: total as u64,
        capability: (attribute(CAPABILITY_MAJOR)?, attribute(CAPABILITY_MINOR)?),
        driver: (version / 1000, version % 1000 / 10),
    };
    Ok((device, info))
}

fn name(driver: &Driver, device: Device) -> Result<String> {
    const LEN: usize = 256;
    let mut name: [c_char; LEN] = [0; LEN];
    // SAFETY: the place has the length that is given, less the final zero byte.
    let code = unsafe { (driver.device_name)(name.as_mut_ptr(), LEN as c_int - 1, device) };
    driver.check("cuDeviceGetName", code)?;
    // SAFETY: the last byte is zero.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    Ok(name.to_string_lossy().into_owned())
}

/// In the form 8-4-4-4-12.
fn uuid(driver: &Driver, device: Device) -> Result<String> {
    let mut bytes = [0; 16];
    // SAFETY: a place for sixteen bytes.
    let code = unsafe { (driver.device_uuid)(&mut bytes, device) };
    driver.check("cuDeviceGetUuid", code)?;
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&i) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// Free memory, asked in the device's primary context.
fn free(driver: &Driver, device: Device) -> Result<u64> {
    let (mut handle, mut free, mut total) = (std::ptr::null_mut(), 0, 0);
    // SAFETY: places for a handle and for numbers; the context is held until it is
    // released, and not used behind that.
    unsafe {
        let code = (driver.context_retain)(&mut handle, device);
        driver.check("cuDevicePrimaryCtxRetain", code)?;
        let code = match (driver.context_set)(handle) {
            0 => (driver.memory_info)(&mut free, &mut total),
            code => code,
        };
        (driver.context_release)(device);
        driver.check("cuMemGetInfo", code)?;
    }
    Ok(free as u64)
}
