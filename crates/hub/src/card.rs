//! A repository's card (README.md) as plain text: what a person wants to read
//! before a download, without anything that could load or run.

use crate::api::Repository;
use crate::error::Result;
use crate::fetch::{Fetcher, Progress, Stop};

/// Most of a card that is looked at, in bytes.
const LONGEST: u64 = 512 << 10;
/// Most of it that is shown, in characters.
const SHOWN: usize = 20_000;

/// The text of the card; empty if there is none or it is far too long.
pub async fn card(fetcher: &Fetcher, repository: &Repository) -> Result<String> {
    let readme = repository
        .files
        .iter()
        .find(|f| f.path.as_str() == "README.md");
    let Some(readme) = readme.filter(|f| f.size <= LONGEST) else {
        return Ok(String::new());
    };
    let (repo, commit) = (&repository.found.repo, &repository.commit);
    let (progress, stop) = (Progress::default(), Stop::default());
    let path = fetcher
        .fetch(repo, commit, readme, &progress, &stop)
        .await?;
    let bytes = std::fs::read(&path);
    let bytes = bytes.map_err(|e| crate::HubError::disk(&path, "cannot be read", e))?;
    Ok(plain_text(&String::from_utf8_lossy(&bytes)))
}

/// Markdown without its metadata, HTML and images. Links keep their words only,
/// so nothing here can be followed.
fn plain_text(markdown: &str) -> String {
    let body = without_front_matter(markdown);
    let body = without_tags(body);
    let mut text = String::new();
    let mut blank = true;
    for line in body.lines() {
        let line = words_of_links(line);
        let line = line.trim_end();
        let is_rule = line.len() > 2 && line.chars().all(|c| "-=_*".contains(c));
        if is_rule || (line.is_empty() && blank) {
            continue;
        }
        blank = line.is_empty();
        text.extend(line.chars().filter(|c| !c.is_control() || *c == '\t'));
        text.push('\n');
    }
    let text = text.trim_end();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// The YAML between two lines of `---` at the start.
fn without_front_matter(text: &str) -> &str {
    let text = text.trim_start_matches('\u{feff}');
    let Some(rest) = text.strip_prefix("---\n").or(text.strip_prefix("---\r\n")) else {
        return text;
    };
    rest.find("\n---").map_or(text, |end| {
        let after = &rest[end + 4..];
        after.find('\n').map_or("", |line| &after[line + 1..])
    })
}

/// Drops `<…>` and what stands between script and style tags.
fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        let tag = &rest[start..];
        let starts = |name: &str| {
            let head = tag.get(..name.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(name))
        };
        let is_tag =
            tag[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        let end = if starts("<!--") {
            tag.find("-->").map(|at| at + 3)
        } else if starts("<script") {
            tag.find("</script>").map(|at| at + 9)
        } else if starts("<style") {
            tag.find("</style>").map(|at| at + 8)
        } else if is_tag {
            tag.find('>').map(|at| at + 1)
        } else {
            None
        };
        match end {
            Some(end) => rest = &tag[end..],
            None => {
                out.push('<');
                rest = &tag[1..];
            }
        }
    }
    out + rest
}

/// `[words](address)` becomes its words, `![…](…)` nothing.
fn words_of_links(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find('[') {
        let after = &rest[start + 1..];
        let parts = after.find("](").and_then(|middle| {
            let end = closing(&after[middle + 2..])?;
            Some((&after[..middle], &after[middle + 3 + end..]))
        });
        let image = rest[..start].ends_with('!');
        match parts {
            Some((words, tail)) if !words.contains('[') => {
                out.push_str(if image {
                    &rest[..start - 1]
                } else {
                    &rest[..start]
                });
                out.push_str(if image { "" } else { words });
                rest = tail;
            }
            _ => {
                out.push_str(&rest[..=start]);
                rest = after;
            }
        }
    }
    out + rest
}

/// Position of the parenthesis that closes one opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    text.char_indices().find_map(|(at, c)| {
        open += i32::from(c == '(') - i32::from(c == ')');
        (open == 0).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_becomes_text() {
        let card = "---\nlicense: apache-2.0\ntags:\n- x\n---\n# Model <img src=x onerror=alert(1)>\n\n\n\
            <script>alert(1)</script>![logo](https://evil/x.png)\n\
            See [the paper](javascript:alert(1)) where a < b.\n-----\n<!-- hidden -->end\u{1b}[0m\n";
        let expected = "# Model\n\nSee the paper where a < b.\nend[0m";
        assert_eq!(plain_text(card), expected);
    }

    #[test]
    fn strange_cards_stay_harmless() {
        for text in [
            "",
            "---",
            "---\nx",
            "<",
            "<!--",
            "[",
            "[a](",
            "![",
            "<script>x",
            "[[a](b)](c)",
        ] {
            let plain = plain_text(text);
            assert!(plain.len() <= text.len() + 3, "{text:?} {plain:?}");
        }
        assert!(plain_text(&"x".repeat(100_000)).chars().count() <= SHOWN + 1);
        assert_eq!(plain_text("a <b <i>c</i>"), "a c");
    }
}
