//! GGUF files that are no models.

/// Is a GGUF file of this name no model, but something that lies beside one: a
/// vision tower, an importance matrix, a vocabulary?
pub(crate) fn is_beside(name: &str) -> bool {
    let name = name.to_lowercase();
    let words = ["mmproj", "imatrix", "vocab"];
    words.iter().any(|word| name.contains(word))
}
