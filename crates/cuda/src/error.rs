//! What can go wrong with a GPU, and what to do about it.

/// An error of this crate.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CudaError {
    /// There is no NVIDIA driver on this machine.
    #[error(
        "no NVIDIA driver: {0}; install the driver of your distribution (535 or newer) to use the GPU"
    )]
    NoDriver(String),
    /// The driver lacks something that version 535 has.
    #[error("the NVIDIA driver is too old, it has no {0}; install version 535 or newer")]
    OldDriver(String),
    /// No such GPU.
    #[error("there is no GPU number {ordinal}; the driver knows {count}")]
    NoDevice {
        /// The number asked for, from 0 on.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// The program was built without kernels.
    #[error(
        "this build has no GPU kernels; use a release package, or build with `--features cuda`"
    )]
    NoKernels,
    /// No kernels for this generation of GPU.
    #[error(
        "{name} has compute capability {}.{}; the kernels need 7.5 (Turing, 2018) or newer",
        capability.0,
        capability.1
    )]
    Unsupported {
        /// Of the GPU.
        name: String,
        /// Its compute capability.
        capability: (u32, u32),
    },
    /// An allocation did not fit; everything allocated before is intact.
    #[error(
        "not enough GPU memory: {} more are needed, {} of a budget of {} are in use and the GPU \
         has {} free; lower the budget of experts on the GPU or close other programs that use it",
        size(*wanted),
        size(*used),
        size(*budget),
        size(*free)
    )]
    OutOfMemory {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes held by this program.
        used: u64,
        /// Bytes it may hold.
        budget: u64,
        /// Bytes that the GPU has left.
        free: u64,
    },
    /// There is not enough memory that the GPU can read directly.
    #[error(
        "the system gives no {} of pinned memory for transfers to the GPU; close other programs",
        size(*wanted)
    )]
    PinnedMemory {
        /// Bytes asked for.
        wanted: u64,
    },
    /// A kernel computes something else than the CPU.
    #[error(
        "the GPU computes wrong results in {kernel} ({detail}); it is not used. Update the \
         NVIDIA driver; if that does not help, the GPU may be faulty"
    )]
    SelfTest {
        /// The operation.
        kernel: &'static str,
        /// How far it is off.
        detail: String,
    },
    /// The GPU cannot be used any more in this process.
    #[error("the GPU was lost: {0}; the CPU goes on, restart the program to use the GPU again")]
    Lost(String),
    /// Any other error of the driver.
    #[error("{call} failed: {message}")]
    Driver {
        /// The function of the driver.
        call: &'static str,
        /// Its result.
        code: u32,
        /// What the driver says about it.
        message: String,
    },
}

/// A result of this crate.
pub type Result<T, E = CudaError> = std::result::Result<T, E>;

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64),
        None => format!("{bytes} bytes"),
    }
}
