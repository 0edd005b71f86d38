//! How fast a large file comes, beside curl. Run by hand, in a release build.

use std::process::Command;
use std::time::Instant;

use moestro_hub::{Options, Progress, Stop};

use super::{Bench, MIB, PATH, fetcher};

#[test]
#[ignore = "a measurement: 2 GiB, needs curl"]
fn throughput_beside_curl() {
    let bench = Bench::new(2048 * MIB);
    let to = tempfile::NamedTempFile::new().unwrap();
    let bytes = bench.bytes.len() as f64 / 1e6;
    for _ in 0..3 {
        let start = Instant::now();
        let url = format!("{}{PATH}", bench.server.endpoint());
        let done = Command::new("curl")
            .args(["-s", "-o"])
            .arg(to.path())
            .arg(&url)
            .status();
        assert!(done.unwrap().success());
        let curl = bytes / start.elapsed().as_secs_f64();
        let start = Instant::now();
        let fetcher = fetcher(
            &bench.server.endpoint(),
            bench.cache.path(),
            Options::default(),
        );
        bench
            .fetch_with(&fetcher, &Progress::default(), &Stop::default())
            .unwrap();
        let own = bytes / start.elapsed().as_secs_f64();
        eprintln!("curl {curl:.0} MB/s, own {own:.0} MB/s: {:.2}", own / curl);
        std::fs::remove_dir_all(bench.cache.path().join("models--org--model")).unwrap();
    }
}
