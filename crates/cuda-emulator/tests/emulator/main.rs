//! The emulated GPU, with kernels of its own.

mod driver;
mod kernels;
mod memory;
mod streams;
