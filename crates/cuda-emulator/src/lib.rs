//! A stand-in for NVIDIA's driver that runs the kernels of `crates/cuda` on the CPU,
//! so that everything around a GPU can be tested without one. Only tests use it.
//!
//! `libcuda.so.1` has the functions that `moestro-cuda` calls, `libnvidia-ml.so.1`
//! those that `moestro-engine` asks about VRAM. Work is done as late as CUDA allows,
//! in an order that a seed picks, and mistakes that a GPU might forgive end the
//! process with the kernel, thread and line.
//!
//! Settings are words with commas between, given to [`load`] or, for another process,
//! in the variable `MOESTRO_EMULATED_GPU` beside [`folder`] in `LD_LIBRARY_PATH`:
//!
//! | word | what it does |
//! |-|-|
//! | `vram=2G`, `others=0`, `context=64M` | VRAM, how much of it other programs hold, and what this one needs before any allocation |
//! | `seed=1` | for everything left to chance |
//! | `devices=1`, `name=`, `capability=8.0`, `cuda=12.2`, `driver=535.104.05` | what GPU it is, and its driver |
//! | `fail=launch:N`, `fail=copy:N`, `fail=alloc:N` | the N-th launch or copy breaks the context, like an error in a kernel (719); the N-th allocation finds the memory full (2) |
//! | `full=N` | every allocation from the N-th on finds the memory full |
//! | `lost=launch:N`, `lost=copy:N` | then the GPU is gone for good (999) |
//! | `garbage=NAME` | what this kernel writes is wrong; `*` for all |
//! | `image=209` | loading the kernels fails with this error |
//! | `faults=report` | mistakes break the context instead of ending the process |
//! | `shared=FILE` | processes with the same file see each other's VRAM |

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use libloading::Library;
use libloading::os::unix::{Library as UnixLibrary, RTLD_GLOBAL, RTLD_NOW};

static IN_USE: Mutex<()> = Mutex::new(());

/// The folder with the libraries, for `LD_LIBRARY_PATH` of another process.
pub fn folder() -> &'static Path {
    Path::new(env!("EMULATED_DRIVER_FOLDER"))
}

/// The emulated GPU of this process.
pub struct Emulator {
    library: Library,
    _nvml: Library,
    /// Tests in one process take turns.
    _turn: MutexGuard<'static, ()>,
}

/// Loads the stand-ins, so that whoever asks for a driver from now on finds them,
/// and switches the GPU on anew. To be called before anything looks for a driver,
/// and kept until everything on the GPU is dropped.
///
/// # Panics
///
/// If a setting is not understood, or an actual driver has been loaded before.
pub fn load(settings: &str) -> Emulator {
    let turn = IN_USE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let emulator = Emulator {
        library: open("libcuda.so.1"),
        _nvml: open("libnvidia-ml.so.1"),
        _turn: turn,
    };
    emulator.configure(settings, true);
    emulator
}

/// Later loads by name alone find a library by the name it has inside.
fn open(name: &str) -> Library {
    let path = folder().join(name);
    // SAFETY: the initialisers of this library fill tables of its own.
    unsafe { UnixLibrary::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .into()
}

impl Emulator {
    /// Replaces all settings in the middle of the work. Counting begins anew.
    pub fn change(&self, settings: &str) {
        self.configure(settings, false);
    }

    fn configure(&self, settings: &str, fresh: bool) {
        let text = CString::new(settings).unwrap();
        // SAFETY: declared like this in runtime/driver.cpp.
        let result = unsafe {
            self.library
                .get::<unsafe extern "C" fn(*const c_char, c_int) -> c_int>(
                    b"moestro_emulator_configure\0",
                )
                .unwrap()(text.as_ptr(), c_int::from(fresh))
        };
        assert_eq!(result, 0, "settings not understood: {settings}");
    }

    /// `launches`, `copies`, `fills` and `allocations` so far, `waits` of the host for
    /// the GPU, work that is `pending`, or the bytes of VRAM `used`.
    pub fn count(&self, what: &str) -> u64 {
        let text = CString::new(what).unwrap();
        // SAFETY: declared like this in runtime/driver.cpp.
        unsafe {
            self.library
                .get::<unsafe extern "C" fn(*const c_char) -> u64>(b"moestro_emulator_count\0")
                .unwrap()(text.as_ptr())
        }
    }

    /// The mistake that broke the context, with `faults=report`; empty if none did.
    pub fn fault(&self) -> String {
        let mut text = [0 as c_char; 1000];
        // SAFETY: declared like this in runtime/driver.cpp; it writes a string that
        // ends within the length given.
        unsafe {
            self.library
                .get::<unsafe extern "C" fn(*mut c_char, usize)>(b"moestro_emulator_fault\0")
                .unwrap()(text.as_mut_ptr(), text.len());
            CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
        }
    }

    /// The library that stands in for `libcuda.so.1`.
    pub fn library(&self) -> &Library {
        &self.library
    }
}
