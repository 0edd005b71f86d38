//! The GPU's operations against those of the CPU, over the stand-in for the driver.
//!
//! Tolerances are parts of the largest value wanted. Both sides round activations and
//! multiply integers alike; what differs is the order in which groups of columns are
//! added, and the exponential function.
//!
//! With the number of an actual GPU in `MOESTRO_TEST_GPU` and the feature `cuda` that
//! one is tested; only what has to be made to fail is left out.

mod attention;
mod common;
mod delta;
mod elements;
mod experts;
mod faults;
mod matmul;
mod memory;
mod opening;
mod slots;
