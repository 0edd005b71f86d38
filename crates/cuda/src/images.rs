//! The compiled kernels in this program: compute capability (75 for 7.5; 0 is PTX,
//! which the driver compiles for anything newer) and image, several to a capability
//! if the sources were compiled one by one.

#[cfg(feature = "cuda")]
include!(concat!(env!("OUT_DIR"), "/images.rs"));

#[cfg(not(feature = "cuda"))]
pub(crate) const IMAGES: &[(u32, &[u8])] = &[];
