//! The compiled kernels in this program: compute capability (75 for 7.5; 0 is PTX,
//! which the driver compiles for anything newer) and image, several to a capability
//! if the sources were compiled one by one.

#[cfg(feature = "cuda")]
include!(concat!(env!("OUT_DIR"), "/images.rs"));

#[cfg(not(feature = "cuda"))]
pub(crate) const IMAGES: &[(u32, &[u8])] = &[];

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::IMAGES;
    use crate::names;

    /// Does `text` stand in one of the images?
    fn names(images: &[&[u8]], text: &str) -> bool {
        let holds = |image: &&[u8]| {
            image
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        images.iter().any(holds)
    }

    #[test]
    fn every_kernel_is_there_for_every_generation() {
        for generation in [75, 80, 90, 0] {
            let of = |(sm, image): &(u32, &'static [u8])| (*sm == generation).then_some(*image);
            let images: Vec<&[u8]> = IMAGES.iter().filter_map(of).collect();
            assert!(!images.is_empty(), "nothing for {generation}");
            for image in &images {
                if generation == 0 {
                    assert!(names(&[image], ".target sm_75"));
                    assert_eq!(image.last(), Some(&0));
                } else {
                    assert!(image.starts_with(b"\x7fELF"));
                    // The lowest byte of an ELF file's flags is the generation.
                    assert_eq!(u32::from(image[48]), generation);
                }
            }
            for name in names::all() {
                assert!(names(&images, name), "no {name} for {generation}");
            }
        }
    }
}
