//! Sizes as people write them: `14GB`, `800 MiB`, `512M`, `1073741824`.

/// Bytes. `GB` counts in powers of ten, `GiB` and a bare `G` in powers of two, as
/// memory is sold and as memory is made.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is not a size; write something like 14GB or 800MiB"))?;
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        other => return Err(format!("unknown unit `{other}`; use MB, MiB, GB or GiB")),
    };
    let bytes = number * factor;
    if bytes > 1e18 {
        Err(format!("`{text}` is too large"))
    } else {
        Ok(bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(parse_size("14GB"), Ok(14_000_000_000));
        assert_eq!(parse_size("1.5 GiB"), Ok(3 << 29));
        assert_eq!(parse_size("512m"), Ok(512 << 20));
        assert_eq!(parse_size("4096"), Ok(4096));
        for bad in ["", "GB", "12 bananas", "-1GB", "1e9GB", "99999999999999TB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
