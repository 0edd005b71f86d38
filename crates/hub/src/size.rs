//! Sizes as a person reads them.

/// Decimal units, as the Hub and disk makers count: 48.6 GB.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::show_bytes;

    #[test]
    fn sizes_have_one_decimal() {
        assert_eq!(show_bytes(999), "999 bytes");
        assert_eq!(show_bytes(1000), "1.0 kB");
        assert_eq!(show_bytes(48_561_234_000), "48.6 GB");
        assert_eq!(show_bytes(999_999_999), "1.0 GB");
        assert_eq!(show_bytes(u64::MAX), "18446744.1 TB");
    }
}
