//! The byte alphabet of GPT-2's BPE: each byte has a printable character, so
//! that any text is a string of visible characters in the vocabulary.
//! (Radford et al. 2019, `bytes_to_unicode`.)

/// The byte a character stands for.
fn byte_of(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(code as u8),
        // The bytes without a printable character follow in order from U+0100:
        // 0x00-0x20, then 0x7f-0xa0, then 0xad.
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// Appends the bytes of a vocabulary entry. An entry with a character outside the
/// alphabet, as added tokens may have, stands for its own text.
pub fn append_bytes(token: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for c in token.chars() {
        match byte_of(c) {
            Some(byte) => out.push(byte),
            None => {
                out.truncate(start);
                out.extend_from_slice(token.as_bytes());
                return;
            }
        }
    }
}

/// The bytes of every token, by id, in one block.
pub struct TokenBytes {
    bytes: Vec<u8>,
    /// `ends[id]` is where token `id` ends; ids in gaps are empty.
    ends: Vec<usize>,
}

impl TokenBytes {
    pub fn new<'a>(tokens: impl Iterator<Item = Option<&'a str>>) -> TokenBytes {
        let mut table = TokenBytes {
            bytes: Vec::new(),
            ends: Vec::new(),
        };
        for token in tokens {
            if let Some(token) = token {
                append_bytes(token, &mut table.bytes);
            }
            table.ends.push(table.bytes.len());
        }
        table
    }

    /// Empty for an id that is no token.
    pub fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else {
            return &[];
        };
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let alphabet: Vec<char> = (0..0x200)
            .filter_map(char::from_u32)
            .filter(|c| byte_of(*c).is_some())
            .collect();
        let mut bytes: Vec<u8> = alphabet.iter().filter_map(|c| byte_of(*c)).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn agrees_with_the_tokenizers_crate() {
        use tokenizers::Decoder;
        let decoder = tokenizers::decoders::byte_level::ByteLevel::default();
        for code in (0..0x180).filter_map(char::from_u32) {
            let token = format!("a{code}");
            let mut own = Vec::new();
            append_bytes(&token, &mut own);
            let theirs = decoder.decode_chain(vec![token]).unwrap().concat();
            assert_eq!(String::from_utf8_lossy(&own), theirs, "{code:?}");
        }
    }

    #[test]
    fn gaps_are_empty() {
        let table = TokenBytes::new([Some("Ġa"), None, Some("<think>")].into_iter());
        assert_eq!(table.get(0), b" a");
        assert_eq!(table.get(1), b"");
        assert_eq!(table.get(2), b"<think>");
        assert_eq!(table.get(3), b"");
    }
}
