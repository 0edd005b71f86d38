const long = `Here is a tour of what can appear in an answer.

## Lists and emphasis

1. A **bold** word, an *italic* one and \`inline code\`.
2. A second point
   - with a nested one
   - and another
- [x] something done
- [ ] something to do

> A quotation that runs over more than one line when the window is narrow enough for it to wrap.

## Code

\`\`\`rust
/// Reverses the words of a sentence.
fn reverse_words(sentence: &str) -> String {
    let words: Vec<&str> = sentence.split_whitespace().rev().collect();
    words.join(" ") // 42 is a number
}
\`\`\`

## A table

| Protocol | Connection | Order kept | Typical use |
|:--|:--:|:--:|--:|
| TCP | yes | yes | web pages, mail |
| UDP | no | no | calls, games |

See [the RFC](https://www.rfc-editor.org/rfc/rfc9293) or https://example.org/page. An image: ![a small cat](https://example.org/cat.png)

<script>alert(1)</script>

The end of it.`;

export function answerTo(question: string): string {
  if (question.includes('2+2')) return '2+2 is 4.';
  if (question.includes('capital')) return 'The capital of France is Paris.';
  return long;
}
