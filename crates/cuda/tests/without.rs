//! Without the stand-in: what this machine has, be it no driver at all.

use moestro_cuda::{CudaError, Gpu, Kernels, probe};

#[test]
fn no_driver_is_an_error_that_says_what_to_do() {
    let opened = Gpu::open_with(0, 1 << 20, &Kernels::from_image(Vec::new()));
    match probe() {
        Err(error) => {
            let text = error.to_string();
            assert!(
                matches!(error, CudaError::NoDriver(_) | CudaError::OldDriver(_)),
                "{text}"
            );
            assert!(text.contains("535 or newer"), "{text}");
            assert_eq!(opened.unwrap_err().to_string(), text);
        }
        Ok(gpus) => {
            assert!(
                gpus.iter()
                    .all(|gpu| gpu.uuid.len() == 36 && !gpu.name.is_empty())
            );
            // No image is no kernels, on whatever GPU.
            assert!(opened.is_err());
        }
    }
}
