//! Words in all chats: titles and messages of every branch.

use rusqlite::params_from_iter;
use serde::{Deserialize, Serialize};

use crate::chat::ChatEntry;
use crate::error::{ChatsError, Result};
use crate::list::{ENTRY, entry};
use crate::store::Store;

/// Most that a search returns.
const MOST: i64 = 100;
/// More words than this are left out.
const MOST_WORDS: usize = 16;
/// Words of a message around what was found.
const AROUND: i64 = 16;
/// Characters around what was found where words are not set apart.
const AROUND_CHARACTERS: usize = 30;
/// They mark what was found in an excerpt; messages hardly have them.
const OPEN: char = '\u{2}';
const CLOSE: char = '\u{3}';

/// A chat in which something was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Hit {
    pub chat: ChatEntry,
    /// `None` if the title has the words.
    pub message: Option<i64>,
    pub excerpt: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Piece {
    pub text: String,
    /// Is it one of the words that were looked for?
    pub found: bool,
}

impl Store {
    /// Chats with all of these words: titles first, then the best message of each.
    /// A word also stands for the longer ones that begin with it.
    pub fn search(&self, words: &str) -> Result<Vec<Hit>> {
        let words: Vec<&str> = words.split_whitespace().take(MOST_WORDS).collect();
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let mut hits = self.titles(&words)?;
        let messages = match words.iter().any(|word| is_without_spaces(word)) {
            true => self.messages_that_contain(&words)?,
            false => self.messages_with(&words)?,
        };
        for hit in messages {
            if !hits.iter().any(|known| known.chat.id == hit.chat.id) {
                hits.push(hit);
            }
        }
        Ok(hits)
    }

    fn titles(&self, words: &[&str]) -> Result<Vec<Hit>> {
        let failed = ChatsError::sql("searched");
        let query = format!(
            "SELECT {ENTRY} FROM chat WHERE deleted IS NULL
             AND EXISTS (SELECT 1 FROM message WHERE message.chat = chat.id)
             ORDER BY changed DESC"
        );
        let mut statement = self.connection.prepare(&query).map_err(&failed)?;
        let rows = statement.query_map([], entry).map_err(&failed)?;
        let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
        let has_all = |chat: &ChatEntry| {
            let title = chat.title.to_lowercase();
            words.iter().all(|word| title.contains(word.as_str()))
        };
        let hit = |chat| Hit {
            chat,
            message: None,
            excerpt: Vec::new(),
        };
        Ok(rows
            .flatten()
            .filter(has_all)
            .take(MOST as usize)
            .map(hit)
            .collect())
    }

    fn messages_with(&self, words: &[&str]) -> Result<Vec<Hit>> {
        let query = format!(
            "SELECT {ENTRY}, message.id, snippet(message_text, 0, char(2), char(3), '…', {AROUND})
             FROM message_text
             JOIN message ON message.id = message_text.rowid
             JOIN chat ON chat.id = message.chat
             WHERE message_text MATCH ?1 AND chat.deleted IS NULL
             ORDER BY rank LIMIT {MOST}"
        );
        // Quoted, a word has no meaning to the query language.
        let quoted: Vec<String> = words
            .iter()
            .map(|word| format!("\"{}\"*", word.replace('"', "\"\"").replace('\0', "")))
            .collect();
        self.hits(&query, &[quoted.join(" ")], |text| pieces(&text))
    }

    /// Chinese, Japanese and Thai do not set words apart: every message is looked at.
    fn messages_that_contain(&self, words: &[&str]) -> Result<Vec<Hit>> {
        let contains = |number| format!("instr(lower(message.text), ?{number}) > 0");
        let conditions: Vec<String> = (1..=words.len()).map(contains).collect();
        let query = format!(
            "SELECT {ENTRY}, message.id, message.text FROM message
             JOIN chat ON chat.id = message.chat
             WHERE {} AND chat.deleted IS NULL
             ORDER BY message.id DESC LIMIT {MOST}",
            conditions.join(" AND ")
        );
        let words: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
        self.hits(&query, &words, |text| around(&text, &words[0]))
    }

    fn hits(
        &self,
        query: &str,
        values: &[String],
        excerpt: impl Fn(String) -> Vec<Piece>,
    ) -> Result<Vec<Hit>> {
        let failed = ChatsError::sql("searched");
        let mut statement = self.connection.prepare(query).map_err(&failed)?;
        let rows = statement.query_map(params_from_iter(values), |row| {
            Ok(Hit {
                chat: entry(row)?,
                message: row.get(6)?,
                excerpt: excerpt(row.get(7)?),
            })
        });
        Ok(rows.map_err(&failed)?.flatten().collect())
    }
}

fn is_without_spaces(word: &str) -> bool {
    word.chars().any(|c| {
        matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
            | '\u{2e80}'..='\u{9fff}' | '\u{a000}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}'
            | '\u{ff66}'..='\u{ff9f}' | '\u{20000}'..='\u{3ffff}')
    })
}

/// Splits an excerpt at its marks.
fn pieces(marked: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut found = false;
    for part in marked.split([OPEN, CLOSE]) {
        if !part.is_empty() {
            let text = part.replace('\n', " ");
            pieces.push(Piece { text, found });
        }
        found = !found;
    }
    pieces
}

/// The first place with `word`, which is in lower case.
fn around(text: &str, word: &str) -> Vec<Piece> {
    let lower: Vec<char> = text.chars().map(lower_case).collect();
    let word: Vec<char> = word.chars().map(lower_case).collect();
    let at = lower.windows(word.len()).position(|part| part == word);
    let characters: Vec<char> = text.chars().collect();
    let start = at.unwrap_or(0);
    let end = start + at.map_or(0, |_| word.len());
    let from = start.saturating_sub(AROUND_CHARACTERS);
    let to = (end + AROUND_CHARACTERS).min(characters.len());
    let piece = |range: std::ops::Range<usize>, found| Piece {
        text: characters[range]
            .iter()
            .collect::<String>()
            .replace('\n', " "),
        found,
    };
    let all = [
        piece(from..start, false),
        piece(start..end, true),
        piece(end..to, false),
    ];
    all.into_iter().filter(|p| !p.text.is_empty()).collect()
}

/// One character stays one, so that places in both texts are the same.
fn lower_case(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_pieces() {
        let piece = |text: &str, found| Piece {
            text: text.into(),
            found,
        };
        assert_eq!(
            pieces("a \u{2}b\u{3}\n\u{2}c\u{3}"),
            [
                piece("a ", false),
                piece("b", true),
                piece(" ", false),
                piece("c", true)
            ]
        );
        assert_eq!(around("我喜欢猫。", "猫")[1], piece("猫", true));
        assert_eq!(around("x", "猫"), [piece("x", false)]);
    }
}
