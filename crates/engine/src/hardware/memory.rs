//! How much memory there is and is left, within the limits of control groups.

use std::path::{Path, PathBuf};

use moestro_residency::Pressure;

/// Total and available bytes as Linux counts them, cut back to the tightest
/// control group of this process. Page cache that can be dropped is available.
pub fn total_and_available() -> (u64, u64) {
    let meminfo = read(Path::new("/proc/meminfo"));
    let kib = |key: &str| field(&meminfo, key).unwrap_or(0) * 1024;
    let (mut total, mut available) = (kib("MemTotal:"), kib("MemAvailable:"));
    for limit in limits(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup")) {
        if limit.most < total {
            total = limit.most;
        }
        available = available.min(limit.most.saturating_sub(limit.used));
    }
    (total, available)
}

/// Memory now and how much programs wait for it.
pub fn pressure() -> Pressure {
    Pressure {
        available: total_and_available().1,
        stalled: stalled(&read(Path::new("/proc/pressure/memory"))),
    }
}

/// Share of the last ten seconds in which some program waited for memory.
fn stalled(text: &str) -> f64 {
    let line = text.lines().find(|l| l.starts_with("some "));
    let average = line.and_then(|l| l.split(' ').find_map(|w| w.strip_prefix("avg10=")));
    average.and_then(|a| a.parse::<f64>().ok()).unwrap_or(0.0) / 100.0
}

struct Limit {
    most: u64,
    /// Without page cache that can be dropped.
    used: u64,
}

/// The limits of the groups that the process is in, from its own up to the root,
/// in both versions of the interface.
fn limits(groups: &Path, mounted: &Path) -> Vec<Limit> {
    let groups = read(groups);
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let names = match controllers {
            "" => &V2,
            c if c.split(',').any(|c| c == "memory") => &V1,
            _ => continue,
        };
        let mut group = PathBuf::from(path.trim_start_matches('/'));
        loop {
            found.extend(names.limit(&mounted.join(names.folder).join(&group)));
            if !group.pop() {
                break;
            }
        }
    }
    found
}

struct Names {
    folder: &'static str,
    most: &'static str,
    used: &'static str,
    cache: &'static str,
}

const V2: Names = Names {
    folder: "",
    most: "memory.max",
    used: "memory.current",
    cache: "inactive_file",
};
const V1: Names = Names {
    folder: "memory",
    most: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: "total_inactive_file",
};

impl Names {
    fn limit(&self, group: &Path) -> Option<Limit> {
        let number = |name: &str| read(&group.join(name)).trim().parse::<u64>().ok();
        let most = number(self.most)?;
        let stat = read(&group.join("memory.stat"));
        let prefix = self.cache.trim_end_matches("inactive_file");
        let active = field(&stat, &format!("{prefix}active_file")).unwrap_or(0);
        let cache = field(&stat, self.cache).unwrap_or(0) + active;
        Some(Limit {
            most,
            used: number(self.used)?.saturating_sub(cache),
        })
    }
}

/// The number behind a key at the start of a line.
fn field(text: &str, key: &str) -> Option<u64> {
    let mut words = text
        .lines()
        .map(str::split_ascii_whitespace)
        .find_map(|mut words| (words.next() == Some(key)).then_some(words))?;
    words.next()?.parse().ok()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_from_its_line() {
        let text = "some avg10=12.50 avg60=0.45 avg300=0.25 total=1\nfull avg10=1.00 avg60=0 avg300=0 total=1\n";
        assert_eq!(stalled(text), 0.125);
        assert_eq!(stalled(""), 0.0);
    }

    #[test]
    fn the_tightest_group_counts_in_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("memory/a/memory.limit_in_bytes", "5000\n");
        write("memory/a/memory.usage_in_bytes", "4000\n");
        write(
            "memory/a/memory.stat",
            "cache 9\ntotal_inactive_file 1000\ntotal_active_file 500\n",
        );
        write("b/c/memory.max", "max\n");
        write("b/memory.max", "7000\n");
        write("b/memory.current", "6000\n");
        write("b/memory.stat", "inactive_file 100\nactive_file 0\n");
        write("groups", "5:memory,x:/a\n4:cpu:/z\n0::/b/c\n");
        let found = limits(&folder.path().join("groups"), folder.path());
        let found: Vec<(u64, u64)> = found.iter().map(|l| (l.most, l.used)).collect();
        assert_eq!(found, [(5000, 2500), (7000, 5900)]);
    }

    #[test]
    fn this_machine_has_memory() {
        let (total, available) = total_and_available();
        assert!(total > 64 << 20 && available <= total);
        assert!((0.0..=1.0).contains(&pressure().stalled));
    }
}
