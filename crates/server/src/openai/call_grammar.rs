//! Grammars (llguidance's dialect of Lark) for calls of tools in the forms that models
//! write: as JSON (Qwen, Hermes) and as tags (Qwen3-Coder).

use std::fmt::Write;

use moestro_engine::protocol::Form;
use serde_json::{Map, Value, json};

/// Calls of these tools, in whichever form the model writes them, and nothing else.
pub fn only_calls(tools: &[&Value], several: bool) -> Form {
    let repeat = match several {
        true => r#"("\n<tool_call>" call)*"#,
        false => "",
    };
    let rules = rules(tools);
    Form::Lark {
        grammar: format!("start: \"<tool_call>\" call {repeat}\n{rules}"),
    }
}

/// A free answer whose calls name a tool and keep to its schema, in whichever form the
/// model begins them. A schema that no grammar can keep still leaves an object.
pub fn free_with_calls(tools: &[Value], several: bool) -> Form {
    let all: Vec<&Value> = tools.iter().collect();
    let bare: Vec<Value> = tools
        .iter()
        .map(|t| json!({ "function": { "name": t["function"]["name"] } }))
        .collect();
    let bare: Vec<&Value> = bare.iter().collect();
    Form::Calls {
        grammars: vec![call(&all), call(&bare)],
        several,
    }
}

/// What follows the tag that opens a call, to the end of the one that closes it.
fn call(tools: &[&Value]) -> String {
    format!("start: call\n{}", rules(tools))
}

/// The rule `call` and those it is made of.
fn rules(tools: &[&Value]) -> String {
    let schema = schema(tools);
    let mut rules = String::from(
        "call: BLANKS? (as_json | as_tags) BLANKS? \"</tool_call>\"\n\
         BLANKS: /[ \\n]{1,4}/\n\
         text[suffix=\"\\n</parameter>\\n\"]: /(?s:.*)/\n\
         any: \"<parameter=\" /[^>\\n]{1,64}/ \">\\n\" text\n",
    );
    let _ = writeln!(rules, "as_json: %json {schema}");
    let names: Vec<String> = (0..tools.len()).map(|i| format!("tool_{i}")).collect();
    let _ = writeln!(rules, "as_tags: {}", names.join(" | "));
    for (i, tool) in tools.iter().enumerate() {
        tags(i, &tool["function"], MOST_ORDERS / tools.len(), &mut rules);
    }
    rules
}

/// Sets of parameters that a grammar tells apart, of all tools together.
const MOST_ORDERS: usize = 1024;

/// The rules of one tool's call as tags. Its parameters come in any order, each once,
/// if there are at most `orders` sets of them, else in the schema's.
fn tags(i: usize, function: &Value, orders: usize, rules: &mut String) {
    let name = function["name"].as_str().unwrap_or_default();
    let open = quoted(&format!("<function={name}>\n"));
    let schema = &function["parameters"];
    let Value::Object(properties) = &schema["properties"] else {
        let _ = writeln!(rules, "tool_{i}: {open} any* \"</function>\"");
        return;
    };
    let required = schema["required"].as_array();
    let is_required = |key: &str| required.is_some_and(|r| r.iter().any(|k| k == key));
    for (k, (key, property)) in properties.iter().enumerate() {
        let before = quoted(&format!("<parameter={key}>\n"));
        let value = value(property, schema);
        let _ = writeln!(rules, "t{i}_{k}: {before} {value}");
    }
    let n = properties.len();
    if n >= usize::BITS as usize || 1usize << n > orders {
        let many = |key: &str| if is_required(key) { "" } else { "?" };
        let keys = properties.keys().enumerate();
        let all: String = keys
            .map(|(k, key)| format!(" t{i}_{k}{}", many(key)))
            .collect();
        let _ = writeln!(rules, "tool_{i}: {open}{all} \"</function>\"");
        return;
    }
    let keys = properties.keys().enumerate();
    let needed: usize = keys
        .filter(|(_, key)| is_required(key))
        .map(|(k, _)| 1 << k)
        .sum();
    let _ = writeln!(rules, "tool_{i}: {open} after{i}_0");
    for given in 0..1usize << n {
        let left = (0..n).filter(|k| given >> k & 1 == 0);
        let mut next: Vec<String> = left
            .map(|k| format!("t{i}_{k} after{i}_{}", given | 1 << k))
            .collect();
        if given & needed == needed {
            next.push("\"</function>\"".into());
        }
        let _ = writeln!(rules, "after{i}_{given}: {}", next.join(" | "));
    }
}

/// A parameter's value and the tag that closes it. Text stands there as it is, all
/// else as JSON.
fn value(property: &Value, schema: &Value) -> String {
    let end = "\"\\n</parameter>\\n\"";
    let property = referred(property, schema);
    let choices = property["enum"].as_array();
    let texts: Option<Vec<&str>> = choices.and_then(|c| c.iter().map(Value::as_str).collect());
    if let Some(texts) = texts.filter(|texts| !texts.is_empty()) {
        let texts: Vec<String> = texts.into_iter().map(quoted).collect();
        return format!("({}) {end}", texts.join(" | "));
    }
    let is_composed = ["$ref", "anyOf", "oneOf", "allOf", "const", "enum"]
        .iter()
        .any(|key| !property[*key].is_null());
    let kind = property["type"].as_str();
    if kind == Some("string") || property["type"].is_null() && !is_composed {
        return "text".into();
    }
    let mut property = property.clone();
    property["x-guidance"] = blanks();
    for shared in ["$defs", "definitions"] {
        if !schema[shared].is_null() {
            property[shared] = schema[shared].clone();
        }
    }
    format!("%json {property} {end}")
}

/// What a reference leads to, if it is one into the same schema.
fn referred<'a>(property: &'a Value, schema: &'a Value) -> &'a Value {
    let path = property["$ref"].as_str();
    let path = path.and_then(|path| path.strip_prefix('#'));
    path.and_then(|path| schema.pointer(path))
        .unwrap_or(property)
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Blanks as models write them. What of a schema no grammar can keep is ignored.
fn blanks() -> Value {
    json!({
        "whitespace_flexible": false,
        "item_separator": ", ",
        "key_separator": ": ",
        "coerce_one_of": true,
        "lenient": true,
    })
}

/// `{"name": ..., "arguments": {...}}` of any of these tools.
fn schema(tools: &[&Value]) -> Value {
    // References count from the root of the whole schema.
    let mut shared = [("$defs", Map::new()), ("definitions", Map::new())];
    let mut call = |tool: &&Value| {
        let function = &tool["function"];
        let mut parameters = match &function["parameters"] {
            Value::Object(schema) => schema.clone(),
            _ => Map::from_iter([("type".to_string(), json!("object"))]),
        };
        for (name, all) in &mut shared {
            if let Some(Value::Object(own)) = parameters.remove(*name) {
                all.extend(own);
            }
        }
        json!({
            "type": "object",
            "properties": {
                "name": { "const": function["name"] },
                "arguments": parameters,
            },
            "required": ["name", "arguments"],
            "additionalProperties": false,
        })
    };
    let mut schema = match tools {
        [one] => call(one),
        many => json!({ "anyOf": many.iter().map(call).collect::<Vec<_>>() }),
    };
    schema["x-guidance"] = blanks();
    for (name, all) in shared {
        if !all.is_empty() {
            schema[name] = Value::Object(all);
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use moestro_text::{Form as TextForm, Grammars, Tokenizer};

    use super::*;

    fn tools() -> Vec<Value> {
        vec![
            json!({ "type": "function", "function": { "name": "look up", "parameters": {
                "type": "object",
                "properties": {
                    "words": { "type": "string" },
                    "most": { "$ref": "#/$defs/count" },
                    "days": { "type": "integer", "minimum": 1, "maximum": 9 },
                    "unit": { "enum": ["C", "F"] },
                    "when": { "type": "string", "format": "no such format" },
                },
                "required": ["words", "days"],
                "additionalProperties": false,
                "$defs": { "count": { "type": "integer" } },
            } } }),
            json!({ "type": "function", "function": { "name": "stop" } }),
        ]
    }

    /// Is this all of a call, none of it, or wrong?
    fn judge(grammar: &str, text: &str) -> Option<bool> {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/tokenizer/tokenizer.json"
        );
        let tokenizer = Tokenizer::from_json(&std::fs::read(file).unwrap()).unwrap();
        let end = tokenizer.token_id("<|im_end|>").unwrap();
        let grammars = Grammars::new(&tokenizer, &[end]).unwrap();
        let form = TextForm::Lark(grammar.into());
        let mut form = grammars.begin(&form).unwrap();
        let mut complete = false;
        for token in tokenizer.encode(text).unwrap() {
            complete = form.accept(token).ok()?;
        }
        Some(complete)
    }

    #[test]
    fn calls_keep_to_their_tools_in_both_forms() {
        let tools = tools();
        let all: Vec<&Value> = tools.iter().collect();
        let grammar = call(&all);
        let whole = |text: &str| judge(&grammar, text);
        let json = |call: &str| format!("\n{call}\n</tool_call>");
        let right = r#"{"name": "look up", "arguments": {"words": "a\nb", "days": 3}}"#;
        assert_eq!(whole(&json(right)), Some(true));
        assert_eq!(whole(&json(right)[..40]), Some(false), "it is not complete");
        let other = r#"{"name": "stop", "arguments": {"any": [1, 2]}}"#;
        assert_eq!(whole(&json(other)), Some(true));
        for wrong in [
            r#"{"name": "look down", "arguments": {}}"#,
            r#"{"name": "look up", "arguments": {"words": "a", "days": 33}}"#,
            r#"{"name": "look up", "arguments": {"words": "a"}}"#,
            r#"{"name": "look up", "arguments": {"words": 3, "days": 3}}"#,
        ] {
            assert_eq!(whole(&json(wrong)), None, "{wrong}");
        }

        let tags = |name: &str, parameters: &[(&str, &str)]| {
            let one =
                |(key, value): &(&str, &str)| format!("<parameter={key}>\n{value}\n</parameter>\n");
            let all: String = parameters.iter().map(one).collect();
            format!("\n<function={name}>\n{all}</function>\n</tool_call>")
        };
        let words = ("words", "two\n<lines> of it");
        for right in [
            tags("look up", &[words, ("days", "3")]),
            tags(
                "look up",
                &[
                    words,
                    ("most", "7"),
                    ("days", "9"),
                    ("unit", "C"),
                    ("when", "now"),
                ],
            ),
            tags("look up", &[("unit", "F"), ("days", "3"), words]),
            tags("stop", &[]),
            tags("stop", &[("anything", "at all"), ("and", "more")]),
        ] {
            assert_eq!(whole(&right), Some(true), "{right}");
        }
        for wrong in [
            tags("look", &[]),
            tags("look up", &[words]),
            tags("look up", &[words, ("days", "many")]),
            tags("look up", &[words, ("most", "all"), ("days", "3")]),
            tags("look up", &[words, ("days", "3"), ("unit", "K")]),
            tags("look up", &[words, ("days", "3"), ("other", "x")]),
            tags("look up", &[words, ("days", "3"), ("days", "4")]),
        ] {
            assert_eq!(whole(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn many_parameters_come_in_the_schemas_order() {
        let properties: Map<String, Value> = (0..12)
            .map(|i| (format!("p{i:02}"), json!({ "type": "integer" })))
            .collect();
        let tool = json!({ "function": { "name": "many", "parameters": {
            "type": "object", "properties": properties, "required": ["p03"] } } });
        let grammar = call(&[&tool]);
        let tags = |keys: &[u32]| {
            let one = |k: &u32| format!("<parameter=p{k:02}>\n1\n</parameter>\n");
            let all: String = keys.iter().map(one).collect();
            format!("\n<function=many>\n{all}</function>\n</tool_call>")
        };
        assert_eq!(judge(&grammar, &tags(&[0, 3, 11])), Some(true));
        assert_eq!(judge(&grammar, &tags(&[3, 0])), None);
        assert_eq!(judge(&grammar, &tags(&[0, 11])), None);
    }

    #[test]
    fn an_answer_that_must_call_does_nothing_else() {
        let tools = tools();
        let all: Vec<&Value> = tools.iter().collect();
        let Form::Lark { grammar } = only_calls(&all, true) else {
            panic!("another form");
        };
        let json = "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>";
        let tags = "<tool_call>\n<function=stop>\n</function>\n</tool_call>";
        assert_eq!(judge(&grammar, &format!("{json}\n{tags}")), Some(false));
        assert_eq!(judge(&grammar, "I would"), None);
        let Form::Lark { grammar } = only_calls(&all, false) else {
            panic!("another form");
        };
        assert_eq!(judge(&grammar, tags), Some(true));
        assert_eq!(judge(&grammar, &format!("{json}\n{tags}")), None);
    }

    #[test]
    fn a_schema_beyond_grammars_leaves_names_and_objects() {
        let odd = json!({ "function": { "name": "odd", "parameters": {
            "type": "object", "properties": { "a": { "type": "string", "pattern": "(" } } } } });
        let Form::Calls { grammars, several } = free_with_calls(&[odd], false) else {
            panic!("another form");
        };
        assert!(!several);
        let bare = &grammars[1];
        let right = "{\"name\": \"odd\", \"arguments\": {\"a\": \"x\"}}</tool_call>";
        assert_eq!(judge(bare, right), Some(true));
        assert_eq!(judge(bare, "{\"name\": \"even\""), None);
    }
}
