//! The GPU's operations against those of the CPU, over the stand-in for the driver.
//!
//! Tolerances are parts of the largest value wanted. Both sides round activations and
//! multiply integers alike; what differs is the order in which groups of columns are
//! added, and the exponential function.

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
