//! Sizes as a person reads them.

/// Bytes for a person, as the memory they will fill: GiB with two decimals, MiB or
/// KiB with one.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64, usize); 3] = [
        ("GiB", 1 << 30, 2),
        ("MiB", 1 << 20, 1),
        ("KiB", 1 << 10, 1),
    ];
    let unit = UNITS.iter().find(|(_, size, _)| bytes >= *size);
    match unit {
        Some((name, size, digits)) => format!("{:.*} {name}", digits, bytes as f64 / *size as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::show_bytes;

    #[test]
    fn sizes_are_those_of_memory() {
        assert_eq!(show_bytes(1023), "1023 bytes");
        assert_eq!(show_bytes(1536), "1.5 KiB");
        assert_eq!(show_bytes(48 << 20), "48.0 MiB");
        assert_eq!(show_bytes(48_561_234_000), "45.23 GiB");
    }
}
