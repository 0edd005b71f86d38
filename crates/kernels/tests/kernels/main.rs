//! Every kernel against a plain reference in double precision, on each
//! instruction set of this CPU and with one to four threads.

mod attention;
mod common;
mod delta;
mod elementwise;
mod formats;
mod matmul;
mod pool;
mod quantize;
mod rope;
mod router;
mod safetensors_formats;
