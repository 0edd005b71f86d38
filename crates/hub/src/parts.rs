//! Names of files that are parts of one: `STEM-00001-of-00003`.

/// A file's place in its set.
pub(crate) struct Part<'a> {
    /// What the names of the set have in common.
    pub stem: &'a str,
    pub number: usize,
    pub count: usize,
}

/// Reads a file's name without its ending; `None` if it stands alone.
pub(crate) fn part(name: &str) -> Option<Part<'_>> {
    let (rest, count) = name.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    (digits(number) && digits(count)).then_some(Part {
        stem,
        number: number.parse().ok()?,
        count: count.parse().ok()?,
    })
}

/// Is a GGUF file of this name no model, but something that lies beside one: a
/// vision tower, an importance matrix, a vocabulary?
pub(crate) fn is_beside(name: &str) -> bool {
    let name = name.to_lowercase();
    let words = ["mmproj", "imatrix", "vocab"];
    words.iter().any(|word| name.contains(word))
}
