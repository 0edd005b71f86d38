//! Streaming gives what decoding everything at once gives, and never part of a
//! stop string.

mod common;

use std::sync::Arc;

use common::{Random, tokenizer};
use moestro_text::{StreamDecoder, Tokenizer};

/// Pushes all tokens; the pieces, the stop string, and what `finish` added.
fn stream(
    tokenizer: &Arc<Tokenizer>,
    stops: &[&str],
    ids: &[u32],
) -> (Vec<String>, Option<String>) {
    let stops = stops.iter().map(|s| s.to_string()).collect();
    let mut decoder = StreamDecoder::new(tokenizer.clone(), stops);
    let mut pieces = Vec::new();
    for &id in ids {
        let piece = decoder.push(id).unwrap();
        pieces.push(piece.text);
        if piece.stopped_by.is_some() {
            assert_eq!(
                decoder.push(id).unwrap().text,
                "",
                "text after a stop string"
            );
            assert_eq!(decoder.finish().unwrap(), "");
            return (pieces, piece.stopped_by);
        }
    }
    pieces.push(decoder.finish().unwrap());
    (pieces, None)
}

/// Tokens of lively text, with single bytes and special tokens among them.
fn random_tokens(tokenizer: &Tokenizer, random: &mut Random) -> Vec<u32> {
    let phrases = [
        "Hello",
        " wörld",
        "🙂",
        "👩‍👩‍👧‍👦",
        "你好",
        "\n\n",
        "<think>",
        "\u{fffd}",
        " a b",
    ];
    let mut ids = Vec::new();
    for _ in 0..random.below(30) {
        match random.below(4) {
            0 => ids.push(random.below(tokenizer.vocab_size() + 10) as u32),
            1 => {
                // The middle of a character, or all but its end.
                let emoji = tokenizer.encode(phrases[2 + random.below(3)]).unwrap();
                let cut = random.below(emoji.len() + 1);
                let part = if random.below(2) == 0 {
                    &emoji[cut..]
                } else {
                    &emoji[..cut]
                };
                ids.extend_from_slice(part);
            }
            _ => ids.extend(
                tokenizer
                    .encode(phrases[random.below(phrases.len())])
                    .unwrap(),
            ),
        }
    }
    ids
}

#[test]
fn the_pieces_together_are_the_whole_text() {
    let tokenizer = Arc::new(tokenizer());
    let mut random = Random(7);
    for _ in 0..2000 {
        let ids = random_tokens(&tokenizer, &mut random);
        let expected = tokenizer.decode(&ids, true).unwrap();
        let (pieces, stop) = stream(&tokenizer, &[], &ids);
        assert_eq!(pieces.concat(), expected, "{ids:?}");
        assert_eq!(stop, None);
        // With stop strings that do not occur, too.
        let (pieces, _) = stream(&tokenizer, &["🙂🙂🙂!", "\u{fffd}\u{fffd}x", "ab"], &ids);
        if !["🙂🙂🙂!", "\u{fffd}\u{fffd}x", "ab"]
            .iter()
            .any(|s| expected.contains(s))
        {
            assert_eq!(pieces.concat(), expected, "{ids:?}");
        }
    }
}

#[test]
fn an_unfinished_character_is_not_shown() {
    let tokenizer = Arc::new(tokenizer());
    let ids = tokenizer.encode("a🙂b").unwrap();
    let (pieces, _) = stream(&tokenizer, &[], &ids);
    assert!(pieces.iter().all(|p| !p.contains('\u{fffd}')), "{pieces:?}");
    assert_eq!(pieces.concat(), "a🙂b");
    let emoji = tokenizer.encode("🙂").unwrap();
    let (pieces, _) = stream(&tokenizer, &[], &emoji[..emoji.len() - 1]);
    let (last, before) = pieces.split_last().unwrap();
    assert_eq!(before.concat(), "");
    assert_eq!(last, "\u{fffd}");
}

/// The text up to the stop string that is complete first, of several the longest.
fn reference_stop<'s>(text: &str, stops: &[&'s str]) -> Option<(String, &'s str)> {
    let ends = stops
        .iter()
        .filter_map(|s| Some((text.find(s)? + s.len(), *s)));
    let (end, stop) = ends.min_by_key(|(end, s)| (*end, usize::MAX - s.len()))?;
    Some((text[..end - stop.len()].to_string(), stop))
}

#[test]
fn stop_strings_never_leak_however_they_are_split() {
    let tokenizer = Arc::new(tokenizer());
    let bytes: Vec<u32> = (0..=255u8).map(|b| token_of_byte(&tokenizer, b)).collect();
    let stops = ["</s>", "aab", "abab", "🙂!", "\n\nUser", "é", "<|im_end|>"];
    let alphabet = [
        "a", "b", "ab", "aa", "<", "/s", ">", "🙂", "!", "\n", "User", "e", "é", "<|",
    ];
    let mut random = Random(11);
    let mut stopped = 0;
    for _ in 0..3000 {
        let count = random.below(12);
        let text: String = (0..count)
            .map(|_| alphabet[random.below(alphabet.len())])
            .collect();
        let chosen: Vec<&str> = (0..1 + random.below(3))
            .map(|_| stops[random.below(7)])
            .collect();
        let by_bytes: Vec<u32> = text.bytes().map(|b| bytes[b as usize]).collect();
        for ids in [by_bytes, tokenizer.encode(&text).unwrap()] {
            let text = tokenizer.decode(&ids, true).unwrap();
            let (pieces, stop) = stream(&tokenizer, &chosen, &ids);
            match reference_stop(&text, &chosen) {
                Some((before, expected)) => {
                    assert_eq!(pieces.concat(), before, "{text:?} {chosen:?}");
                    assert_eq!(stop.as_deref(), Some(expected), "{text:?} {chosen:?}");
                    stopped += 1;
                }
                None => {
                    assert_eq!(pieces.concat(), text, "{chosen:?}");
                    assert_eq!(stop, None);
                }
            }
            // Before it is decided, no beginning of a stop string is visible.
            let mut shown = String::new();
            for piece in &pieces[..pieces.len() - 1] {
                shown.push_str(piece);
                for s in &chosen {
                    let leaks = (1..s.len()).filter(|&n| s.is_char_boundary(n)).any(|n| {
                        shown.ends_with(&s[..n]) && text[shown.len()..].starts_with(&s[n..])
                    });
                    assert!(
                        !leaks || stop.is_some(),
                        "{shown:?} of {text:?} begins {s:?}"
                    );
                }
            }
        }
    }
    assert!(stopped > 500, "only {stopped} texts had a stop string");
}

/// The token of one byte, by the character GPT-2 writes for it.
fn token_of_byte(tokenizer: &Tokenizer, byte: u8) -> u32 {
    let printable = |b: u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let code = match printable(byte) {
        true => u32::from(byte),
        false => 256 + (0..byte).filter(|&b| !printable(b)).count() as u32,
    };
    let name = char::from_u32(code).unwrap().to_string();
    tokenizer.token_id(&name).unwrap()
}

#[test]
fn a_special_token_can_be_a_stop_string() {
    let tokenizer = Arc::new(tokenizer());
    let ids = tokenizer.encode("yes<|im_end|>no").unwrap();
    let (pieces, stop) = stream(&tokenizer, &["<|im_end|>"], &ids);
    assert_eq!(pieces.concat(), "yes");
    assert_eq!(stop.as_deref(), Some("<|im_end|>"));
}

#[test]
fn text_held_back_comes_out_at_the_end() {
    let tokenizer = Arc::new(tokenizer());
    let ids = tokenizer.encode("price < 3 </").unwrap();
    let (pieces, stop) = stream(&tokenizer, &["</s>", ""], &ids);
    assert_eq!(pieces.concat(), "price < 3 </");
    assert_eq!(stop, None);
}
