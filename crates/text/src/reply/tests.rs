//! Replies in pieces of every size come apart the same way.

use serde_json::json;

use super::{Part, ReplyParser};

#[derive(Debug, Default, PartialEq)]
struct Whole {
    reasoning: String,
    content: String,
    calls: Vec<(String, String)>,
}

fn tools() -> serde_json::Value {
    json!([{ "type": "function", "function": { "name": "weather", "parameters": {
        "type": "object", "properties": {
            "city": { "type": "string" }, "days": { "type": "integer" } } } } }])
}

fn parse(text: &str, piece: usize, with_tools: bool) -> Whole {
    let mut parser = ReplyParser::new(with_tools.then(tools));
    let mut parts = Vec::new();
    let letters: Vec<char> = text.chars().collect();
    for letters in letters.chunks(piece) {
        parser.push(&letters.iter().collect::<String>(), &mut parts);
    }
    parser.finish(&mut parts);
    let mut whole = Whole::default();
    for part in parts {
        match part {
            Part::Reasoning(text) => whole.reasoning += &text,
            Part::Content(text) => whole.content += &text,
            Part::Call { index, name } => {
                assert_eq!(index, whole.calls.len());
                whole.calls.push((name, String::new()));
            }
            Part::Arguments { index, json } => whole.calls[index].1 += &json,
        }
    }
    whole
}

/// The same for pieces of 1, 2, 3, 7 letters and at once.
fn all(text: &str, with_tools: bool) -> Whole {
    let whole = parse(text, usize::MAX, with_tools);
    for piece in [1, 2, 3, 7] {
        assert_eq!(parse(text, piece, with_tools), whole, "pieces of {piece}");
    }
    whole
}

#[test]
fn plain_text_stays_as_it_is() {
    let text = " a <b> </think> <tool_call>x</tool_call> \n";
    assert_eq!(all(text, false).content, text);
    assert_eq!(all("1 < 2 <tool", true).content, "1 < 2 <tool");
    assert_eq!(all("", true), Whole::default());
}

#[test]
fn thoughts_are_kept_apart() {
    let whole = all("<think>\nHm, <b>.\n</think>\n\nIt is 4.\n", true);
    assert_eq!(whole.reasoning, "Hm, <b>.");
    assert_eq!(whole.content, "It is 4.\n");
    let cut = all("<think>\nI was cut", false);
    assert_eq!(
        (cut.reasoning.as_str(), cut.content.as_str()),
        ("I was cut", "")
    );
}

#[test]
fn calls_as_json() {
    let whole = all(
        "<think>x</think>Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": \
         {\"city\": \"a\\\"}{\", \"n\": [1, {}]}}\n</tool_call>\n<tool_call>\n\
         {\"arguments\": {\"city\": \"b\"}, \"name\": \"weather\"}\n</tool_call>",
        true,
    );
    assert_eq!(
        (whole.reasoning.as_str(), whole.content.as_str()),
        ("x", "Let me see.")
    );
    let arguments = |i: usize| -> serde_json::Value {
        assert_eq!(whole.calls[i].0, "weather");
        serde_json::from_str(&whole.calls[i].1).expect(&whole.calls[i].1)
    };
    assert_eq!(whole.calls.len(), 2);
    assert_eq!(arguments(0), json!({ "city": "a\"}{", "n": [1, {}] }));
    assert_eq!(arguments(1), json!({ "city": "b" }));
}

#[test]
fn calls_as_tags() {
    let whole = all(
        "<tool_call>\n<function=weather>\n<parameter=city>\n12\n</parameter>\n\
         <parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
        true,
    );
    let arguments: serde_json::Value = serde_json::from_str(&whole.calls[0].1).unwrap();
    assert_eq!(arguments, json!({ "city": "12", "days": 3 }));
    assert_eq!(whole.content, "");
}

#[test]
fn what_is_no_call_is_told() {
    let whole = all("<tool_call>\nnonsense\n</tool_call>", true);
    assert_eq!(whole.content, "<tool_call>\nnonsense\n</tool_call>");
    assert!(whole.calls.is_empty());
}

#[test]
fn a_name_comes_before_the_arguments_end() {
    let mut parser = ReplyParser::new(Some(tools()));
    let mut parts = Vec::new();
    parser.push(
        "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Ber",
        &mut parts,
    );
    assert_eq!(parts.len(), 2, "{parts:?}");
}
