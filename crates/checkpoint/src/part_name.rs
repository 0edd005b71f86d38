//! Names of files that are parts of one: `STEM-00001-of-00003`.

/// A file's place in its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartName<'a> {
    /// What the names of the set have in common.
    pub stem: &'a str,
    pub number: usize,
    pub count: usize,
}

/// Reads a file's name without its ending; `None` if it stands alone.
pub fn part_name(name: &str) -> Option<PartName<'_>> {
    let (rest, count) = name.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    (digits(number) && digits(count)).then_some(PartName {
        stem,
        number: number.parse().ok()?,
        count: count.parse().ok()?,
    })
}
