//! A folder in memory where a target writes its input, so that it takes the same
//! way through the program as any file of a user.

use std::path::{Path, PathBuf};

use moestro_checkpoint::Checkpoint;

/// A folder of this process alone.
pub fn folder() -> PathBuf {
    let path = Path::new("/dev/shm").join(format!("moestro-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("/dev/shm is writable");
    path
}

/// Opens the checkpoint and, if it is accepted, reads every byte of every tensor,
/// all of which must be in the file.
pub fn open_and_read(path: &Path, bytes_there: usize) -> Option<Checkpoint> {
    let checkpoint = match Checkpoint::open(path) {
        Ok(checkpoint) => checkpoint,
        Err(e) => {
            assert!(e.to_string().contains("; "), "no way out: {e}");
            return None;
        }
    };
    assert!(checkpoint.total_bytes() <= bytes_there as u64);
    for t in checkpoint.tensors() {
        let mut data = vec![0; t.bytes as usize];
        checkpoint
            .read(t, 0, &mut data)
            .expect("the file has not changed");
        assert_eq!(checkpoint.tensor(&t.name), Some(t));
    }
    Some(checkpoint)
}
