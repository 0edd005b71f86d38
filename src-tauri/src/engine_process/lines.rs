//! Lines of bounded length from a pipe.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What stood before the next line feed.
#[derive(Debug, PartialEq)]
pub enum Line {
    /// Without its line feed.
    Whole(Vec<u8>),
    /// Longer than allowed; it was skipped.
    TooLong,
    End,
}

/// Reads up to the next line feed, keeping at most `max` bytes.
pub async fn read_line(
    input: &mut (impl AsyncBufRead + Unpin),
    max: usize,
) -> std::io::Result<Line> {
    let mut line = Vec::new();
    let mut length = 0usize;
    loop {
        let chunk = input.fill_buf().await?;
        if chunk.is_empty() {
            // A last line without line feed was cut off by the end of its writer.
            return Ok(Line::End);
        }
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        length = length.saturating_add(part.len());
        if length <= max {
            line.extend_from_slice(part);
        }
        let used = end.map_or(chunk.len(), |at| at + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(if length <= max {
                Line::Whole(line)
            } else {
                Line::TooLong
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    /// All lines of `input`, with at most 6 bytes each, read 4 bytes at a time.
    fn lines(input: &[u8]) -> Vec<Line> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut reader = BufReader::with_capacity(4, input);
            let mut lines = Vec::new();
            loop {
                match read_line(&mut reader, 6).await.unwrap() {
                    Line::End => return lines,
                    line => lines.push(line),
                }
            }
        })
    }

    #[test]
    fn lines_are_split_and_bounded() {
        let whole = |text: &str| Line::Whole(text.into());
        assert_eq!(lines(b""), []);
        assert_eq!(
            lines(b"a\n\nbcdef\n"),
            [whole("a"), whole(""), whole("bcdef")]
        );
        assert_eq!(
            lines(b"123456\n1234567\nend\n"),
            [whole("123456"), Line::TooLong, whole("end")]
        );
        assert_eq!(lines(b"whole\ncut"), [whole("whole")]);
    }
}
