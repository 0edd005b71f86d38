//! Answers that must have a form, and calls of tools.

use serde_json::{Value, json};

use crate::http::{ask, events, post};
use crate::server::scaled;

fn hello() -> Value {
    json!([{ "role": "user", "content": "Tell me about Berlin." }])
}

type Check = fn(&Value) -> bool;

/// Schemas with what clients use, each with a check of its own.
fn schemas() -> Vec<(Value, Check)> {
    let person = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 8 },
            "age": { "type": "integer", "minimum": 0, "maximum": 130 },
            "tags": { "type": "array", "items": { "enum": ["a", "b"] }, "maxItems": 2 },
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": false,
    });
    let shape = json!({
        "$defs": { "side": { "type": "integer", "minimum": 1, "maximum": 9 } },
        "type": "object",
        "properties": { "shape": { "anyOf": [
            { "type": "object", "properties": { "kind": { "const": "square" },
                "side": { "$ref": "#/$defs/side" } }, "required": ["kind", "side"],
                "additionalProperties": false },
            { "type": "object", "properties": { "kind": { "const": "none" } },
                "required": ["kind"], "additionalProperties": false },
        ] } },
        "required": ["shape"],
        "additionalProperties": false,
    });
    let is_person = |v: &Value| {
        let age = v["age"].as_i64();
        let tags = v["tags"].as_array();
        v["name"].as_str().is_some_and(|n| n.chars().count() <= 8)
            && age.is_some_and(|n| (0..=130).contains(&n))
            && tags.is_some_and(|t| t.len() <= 2 && t.iter().all(|x| x == "a" || x == "b"))
    };
    let is_shape = |v: &Value| match v["shape"]["kind"].as_str() {
        Some("square") => v["shape"]["side"]
            .as_i64()
            .is_some_and(|n| (1..=9).contains(&n)),
        Some("none") => v["shape"].as_object().is_some_and(|s| s.len() == 1),
        _ => false,
    };
    vec![(person, is_person), (shape, is_shape)]
}

/// A thousand answers, hot enough to go wrong wherever they may.
#[test]
fn answers_keep_to_their_schema() {
    let mut checked = 0;
    let wanted = scaled(96, 1000);
    for round in 0.. {
        for (schema, is_valid) in schemas() {
            let body = json!({ "messages": hello(), "n": 16, "temperature": 1.3,
                "max_tokens": 200, "seed": round * 16, "response_format": { "type": "json_schema",
                    "json_schema": { "name": "x", "schema": schema } } });
            let whole = ask("/v1/chat/completions", &body);
            for choice in whole["choices"].as_array().unwrap() {
                let text = choice["message"]["content"].as_str().unwrap();
                let value: Value = serde_json::from_str(text).expect(text);
                assert!(is_valid(&value), "{text}");
                assert_eq!(choice["finish_reason"], "stop", "{text}");
                checked += 1;
            }
        }
        if checked >= wanted {
            return;
        }
    }
}

#[test]
fn json_without_a_schema_is_an_object() {
    let body = json!({ "messages": hello(), "n": 4, "temperature": 1, "seed": 3,
        "max_tokens": 300, "response_format": { "type": "json_object" } });
    for choice in ask("/v1/chat/completions", &body)["choices"]
        .as_array()
        .unwrap()
    {
        let text = choice["message"]["content"].as_str().unwrap();
        // One that was cut is at least the beginning of an object.
        match choice["finish_reason"].as_str() {
            Some("stop") => assert!(serde_json::from_str::<Value>(text).unwrap().is_object()),
            _ => assert!(text.starts_with('{'), "{text}"),
        }
    }
}

fn tools() -> Value {
    json!([
        { "type": "function", "function": { "name": "weather", "parameters": {
            "type": "object",
            "properties": { "city": { "enum": ["Berlin", "Paris"] } },
            "required": ["city"], "additionalProperties": false } } },
        { "type": "function", "function": { "name": "add", "parameters": {
            "type": "object",
            "properties": { "a": { "$ref": "#/$defs/n" }, "b": { "$ref": "#/$defs/n" } },
            "$defs": { "n": { "type": "integer", "minimum": 0, "maximum": 99 } },
            "required": ["a", "b"], "additionalProperties": false } } },
    ])
}

fn check_call(name: &str, arguments: &str) {
    let value: Value = serde_json::from_str(arguments).expect(arguments);
    match name {
        "weather" => assert!(value["city"] == "Berlin" || value["city"] == "Paris"),
        "add" => assert!(value["a"].as_i64().unwrap() < 100 && value["b"].is_i64()),
        other => panic!("{other}"),
    }
}

#[test]
fn tools_are_called_when_they_must_be() {
    let named = json!({ "type": "function", "function": { "name": "add" } });
    for choice in [json!("required"), named.clone()] {
        let body = json!({ "messages": hello(), "tools": tools(), "tool_choice": choice,
            "parallel_tool_calls": false, "temperature": 1, "seed": 1, "max_tokens": 200 });
        let whole = ask("/v1/chat/completions", &body);
        let answer = &whole["choices"][0];
        assert_eq!(answer["finish_reason"], "tool_calls", "{whole}");
        let calls = answer["message"]["tool_calls"].as_array().unwrap();
        assert_eq!(calls.len(), 1);
        let function = &calls[0]["function"];
        let name = function["name"].as_str().unwrap();
        assert!(choice == "required" || name == "add");
        check_call(name, function["arguments"].as_str().unwrap());

        let mut stream = body.clone();
        stream["stream"] = json!(true);
        let chunks = events(&post("/v1/chat/completions", &stream));
        let deltas: Vec<&Value> = chunks
            .iter()
            .map(|c| &c["choices"][0]["delta"]["tool_calls"][0])
            .filter(|d| !d.is_null())
            .collect();
        assert_eq!(deltas[0]["function"]["name"], name);
        assert!(deltas[0]["id"].is_string());
        let parts = deltas
            .iter()
            .filter_map(|d| d["function"]["arguments"].as_str());
        assert_eq!(
            parts.collect::<String>(),
            function["arguments"].as_str().unwrap()
        );
    }

    let own = json!([{ "name": "weather", "input_schema": { "type": "object",
        "properties": { "city": { "enum": ["Berlin", "Paris"] } }, "required": ["city"],
        "additionalProperties": false } }]);
    let body = json!({ "max_tokens": 200, "messages": hello(), "tools": own,
        "tool_choice": { "type": "any", "disable_parallel_tool_use": true } });
    let whole = ask("/v1/messages", &body);
    assert_eq!(whole["stop_reason"], "tool_use");
    let block = &whole["content"][0];
    assert_eq!(
        (&block["type"], &block["name"]),
        (&json!("tool_use"), &json!("weather"))
    );
    check_call("weather", &block["input"].to_string());

    let flat = json!([{ "type": "function", "name": "weather",
        "parameters": own[0]["input_schema"] }]);
    let body = json!({ "input": "hi", "tools": flat, "tool_choice": "required",
        "max_output_tokens": 200, "parallel_tool_calls": false });
    let item = &ask("/v1/responses", &body)["output"][0];
    assert_eq!(item["type"], "function_call");
    check_call("weather", item["arguments"].as_str().unwrap());
}

/// Ids of the demo model: what opens a call, and the character that tags begin with.
const CALL: &str = "1268";
const LESS: &str = "27";

/// Whether to call is free, but not how.
#[test]
fn calls_of_free_answers_keep_to_their_tools() {
    let ask_for = |bias: Value, parallel: bool| {
        let body = json!({ "messages": hello(), "tools": tools(), "n": 8, "seed": 5,
            "parallel_tool_calls": parallel, "temperature": 1.3, "max_tokens": 300,
            "logit_bias": bias });
        ask("/v1/chat/completions", &body)
    };
    // As JSON or as tags, whichever the model begins with.
    for bias in [json!({ CALL: 100 }), json!({ CALL: 100, LESS: 50 })] {
        for choice in ask_for(bias.clone(), false)["choices"].as_array().unwrap() {
            let calls = choice["message"]["tool_calls"].as_array().unwrap();
            assert_eq!(calls.len(), 1, "{choice}");
            assert_eq!(choice["finish_reason"], "tool_calls");
            assert_eq!(choice["message"]["content"], Value::Null);
            let function = &calls[0]["function"];
            let name = function["name"].as_str().unwrap();
            check_call(name, function["arguments"].as_str().unwrap());
        }
        let many = ask_for(bias, true);
        let calls = many["choices"][0]["message"]["tool_calls"].as_array();
        let (_cut, whole) = calls.unwrap().split_last().unwrap();
        assert!(whole.len() > 1, "one call after the other: {many}");
        for call in whole {
            let function = &call["function"];
            let name = function["name"].as_str().unwrap();
            check_call(name, function["arguments"].as_str().unwrap());
        }
    }
    // An answer without a call is as free as without tools.
    let (messages, text) = crate::answers::cases().remove(0);
    let body =
        json!({ "messages": messages, "tools": tools(), "temperature": 0, "max_tokens": 64 });
    let free = ask("/v1/chat/completions", &body);
    assert_eq!(free["choices"][0]["message"]["content"], text.as_str());
}

#[test]
fn a_schema_that_cannot_be_kept_is_refused() {
    let mut wide = json!({});
    for i in 0..20_000 {
        wide[format!("property-{i}")] = json!({ "type": "string" });
    }
    let schemas = [
        json!({ "type": "wizard" }),
        json!({ "$ref": "https://example.org/schema.json" }),
        json!({ "type": "string", "pattern": "(" }),
        json!({ "type": "object", "properties": wide }),
    ];
    for schema in schemas {
        let body = json!({ "messages": hello(), "max_tokens": 5, "response_format": {
            "type": "json_schema", "json_schema": { "schema": schema } } });
        let reply = post("/v1/chat/completions", &body);
        assert_eq!(reply.status, 400, "{}", reply.text());
    }
}
