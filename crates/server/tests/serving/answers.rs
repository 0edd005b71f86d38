//! What is answered, in the forms of three APIs.

use serde_json::{Value, json};

use crate::http::{ask, events, get, get_from, post, post_to};
use crate::server::{repository, without_model};

/// Conversations with the answers that Transformers gives.
pub fn cases() -> Vec<(Value, String)> {
    let path = repository().join("models/demo/reference.json");
    let reference: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = reference["cases"].as_array().unwrap().iter();
    cases
        .map(|c| {
            (
                c["messages"].clone(),
                c["text"].as_str().unwrap().to_string(),
            )
        })
        .collect()
}

fn greedy(messages: &Value) -> Value {
    json!({ "model": "any", "messages": messages, "temperature": 0, "max_tokens": 64 })
}

#[test]
fn chats_are_answered_whole_and_as_streams() {
    for (messages, text) in cases() {
        let body = greedy(&messages);
        let whole = ask("/v1/chat/completions", &body);
        assert_eq!(whole["choices"][0]["message"]["content"], text.as_str());
        // The references were cut after as many tokens.
        let reason = &whole["choices"][0]["finish_reason"];
        assert!(reason == "stop" || reason == "length", "{reason}");
        let usage = &whole["usage"];
        let tokens = usage["completion_tokens"].as_u64().unwrap();
        assert!(tokens > 0 && usage["prompt_tokens"].as_u64().unwrap() > 3);

        let mut stream = body.clone();
        stream["stream"] = json!(true);
        stream["stream_options"] = json!({ "include_usage": true });
        let chunks = events(&post("/api/v1/chat/completions", &stream));
        let deltas = chunks
            .iter()
            .filter_map(|c| c["choices"][0]["delta"]["content"].as_str());
        assert_eq!(deltas.collect::<String>(), text);
        let last = chunks.last().unwrap();
        assert_eq!(last["usage"]["completion_tokens"], tokens);
        assert_eq!(last["choices"], json!([]));
    }
}

#[test]
fn responses_and_messages_say_the_same() {
    let (messages, text) = cases().remove(0);
    let body = json!({ "input": messages, "temperature": 0, "max_output_tokens": 64 });
    let whole = ask("/v1/responses", &body);
    assert_eq!(whole["status"], "completed");
    assert_eq!(whole["output"][0]["content"][0]["text"], text.as_str());
    let mut stream = body.clone();
    stream["stream"] = json!(true);
    let all = events(&post("/v1/responses", &stream));
    let kinds: Vec<&str> = all.iter().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(kinds[..2], ["response.created", "response.in_progress"]);
    assert_eq!(*kinds.last().unwrap(), "response.completed");
    assert!(
        all.iter()
            .enumerate()
            .all(|(i, e)| e["sequence_number"] == i)
    );
    let last = &all.last().unwrap()["response"];
    assert_eq!(last["output"][0]["content"][0]["text"], text.as_str());

    let body = json!({ "max_tokens": 64, "messages": messages, "temperature": 0 });
    let whole = ask("/v1/messages", &body);
    assert_eq!(whole["content"], json!([{ "type": "text", "text": text }]));
    assert_eq!(whole["stop_reason"], "end_turn");
    let mut stream = body.clone();
    stream["stream"] = json!(true);
    let all = events(&post("/v1/messages", &stream));
    let deltas = all.iter().filter_map(|e| e["delta"]["text"].as_str());
    assert_eq!(deltas.collect::<String>(), text);
    assert_eq!(all[0]["type"], "message_start");
    assert_eq!(all.last().unwrap()["type"], "message_stop");
}

#[test]
fn texts_are_continued() {
    let body = json!({ "prompt": ["one two", "three"], "n": 2, "echo": true, "max_tokens": 6,
        "temperature": 0.9, "seed": 7 });
    let whole = ask("/v1/completions", &body);
    let texts: Vec<&str> = (0..4)
        .map(|i| whole["choices"][i]["text"].as_str().unwrap())
        .collect();
    assert!(texts[0].starts_with("one two") && texts[3].starts_with("three"));
    assert_eq!(
        ask("/v1/completions", &body)["choices"],
        whole["choices"],
        "seeds repeat"
    );

    let body = json!({ "prompt": "one two", "max_tokens": 5, "temperature": 0, "logprobs": 3 });
    let told = &ask("/v1/completions", &body)["choices"][0];
    let list = |name: &str| told["logprobs"][name].as_array().unwrap().clone();
    assert_eq!(list("tokens").len(), list("top_logprobs").len());
    assert!(
        list("token_logprobs")
            .iter()
            .all(|p| p.as_f64().unwrap() <= 0.0)
    );
    let joined: String = list("tokens").iter().filter_map(Value::as_str).collect();
    assert_eq!(told["text"], joined.as_str());
    // Greedy takes the likeliest.
    let likeliest = list("top_logprobs")[0].as_object().unwrap().clone();
    let own = &list("token_logprobs")[0];
    assert!(likeliest.values().all(|p| p.as_f64() <= own.as_f64()));

    // A stop text ends the answer and is not part of it.
    let full = told["text"].as_str().unwrap().to_string();
    let stop = full
        .chars()
        .nth(full.chars().count() / 2)
        .unwrap()
        .to_string();
    let body = json!({ "prompt": "one two", "max_tokens": 5, "temperature": 0, "stop": stop });
    let cut = &ask("/v1/completions", &body)["choices"][0];
    assert_eq!(cut["text"], full.split(&stop).next().unwrap());
    assert_eq!(cut["finish_reason"], "stop");
    let body = json!({ "prompt": [5, 6, 7], "max_tokens": 2, "logit_bias": { "9": 100 },
        "temperature": 0, "logprobs": 0 });
    let biased = &ask("/v1/completions", &body)["choices"][0];
    assert_eq!(biased["finish_reason"], "length");
    assert_eq!(biased["logprobs"]["tokens"].as_array().unwrap().len(), 2);
}

/// Of every token of the prompt, as if it had been written from those before it.
#[test]
fn prompts_are_told_with_their_probabilities() {
    let ids: Vec<u32> = (0..150).map(|i| 30 + (i * 37) % 1100).collect();
    let body = json!({ "prompt": ids, "echo": true, "logprobs": 2, "max_tokens": 3,
        "temperature": 0 });
    let whole = ask("/v1/completions", &body);
    let choice = &whole["choices"][0];
    let list = |name: &str| choice["logprobs"][name].as_array().unwrap().clone();
    let (tokens, told) = (list("tokens"), list("token_logprobs"));
    assert_eq!((tokens.len(), told.len()), (153, 153));
    assert!(told[0].is_null() && list("top_logprobs")[0].is_null());
    assert_eq!(list("top_logprobs")[1].as_object().unwrap().len(), 2);
    assert_eq!(whole["usage"]["prompt_tokens"], 150);
    for at in [1, 2, 63, 64, 65, 129, 149] {
        let forced = json!({ "prompt": ids[..at], "logprobs": 0, "max_tokens": 1,
            "temperature": 0, "logit_bias": { ids[at].to_string(): 100 } });
        let alone = &ask("/v1/completions", &forced)["choices"][0]["logprobs"];
        assert_eq!(alone["tokens"][0], tokens[at]);
        let (alone, told) = (&alone["token_logprobs"][0], &told[at]);
        let difference = (alone.as_f64().unwrap() - told.as_f64().unwrap()).abs();
        assert!(difference < 1e-5, "token {at}: {told} but {alone} alone");
    }

    // The same comes as a stream, and for a text; and an answer need not follow.
    let mut stream = body.clone();
    stream["stream"] = json!(true);
    let chunks = events(&post("/v1/completions", &stream));
    let all = |name: &str| -> Vec<Value> {
        let lists = chunks.iter().map(|c| &c["choices"][0]["logprobs"][name]);
        let lists = lists.filter_map(Value::as_array);
        lists.flat_map(|list| list.iter().cloned()).collect()
    };
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(all(name), list(name), "{name}");
    }
    let texts = chunks
        .iter()
        .filter_map(|c| c["choices"][0]["text"].as_str());
    assert_eq!(choice["text"], texts.collect::<String>());
    for prompt in ["one two three four", "a"] {
        let body = json!({ "prompt": prompt, "echo": true, "logprobs": 0, "max_tokens": 0 });
        let choice = &ask("/v1/completions", &body)["choices"][0];
        assert_eq!(choice["text"], prompt);
        let tokens = choice["logprobs"]["tokens"].as_array().unwrap();
        let joined: String = tokens.iter().filter_map(Value::as_str).collect();
        assert_eq!(joined, prompt);
        assert_eq!(choice["finish_reason"], "length");
    }
    let bare = json!({ "prompt": [5, 6], "echo": true });
    assert_eq!(post("/v1/completions", &bare).status, 400);
}

#[test]
fn chats_tell_how_likely_their_tokens_were() {
    let (messages, text) = cases().remove(0);
    let mut body = greedy(&messages);
    body["logprobs"] = json!(true);
    body["top_logprobs"] = json!(2);
    let whole = ask("/v1/chat/completions", &body);
    let content = whole["choices"][0]["logprobs"]["content"]
        .as_array()
        .unwrap();
    let joined: String = content
        .iter()
        .map(|t| t["token"].as_str().unwrap())
        .collect();
    assert_eq!(joined, text);
    assert!(
        content
            .iter()
            .all(|t| t["top_logprobs"].as_array().unwrap().len() == 2)
    );
    body["stream"] = json!(true);
    let chunks = events(&post("/v1/chat/completions", &body));
    let told: usize = chunks
        .iter()
        .filter_map(|c| c["choices"][0]["logprobs"]["content"].as_array())
        .map(Vec::len)
        .sum();
    assert_eq!(told, content.len());
}

#[test]
fn wrong_values_are_named_in_the_form_of_the_api() {
    let hello = json!([{ "role": "user", "content": "hi" }]);
    let with = |name: &str, value: Value| {
        let mut body = json!({ "messages": hello });
        body[name] = value;
        body
    };
    let cases = [
        (with("temperature", json!(99)), "temperature"),
        (with("top_p", json!(-1)), "top_p"),
        (with("n", json!(0)), "n is 0"),
        (with("n", json!(4_000_000_000u32)), "from 1 to"),
        (with("max_tokens", json!(-2)), "or -1"),
        (with("stop", json!(vec!["x"; 17])), "stop"),
        (with("logit_bias", json!({ "x": 1 })), "logit_bias"),
        (with("logit_bias", json!({ "1": 1000 })), "logit_bias"),
        (with("top_logprobs", json!(3)), "logprobs"),
        (with("response_format", json!({ "type": "xml" })), "xml"),
        (with("tool_choice", json!("required")), "tool"),
        (with("tools", json!([{ "type": "magic" }])), "tool"),
        (with("messages", json!([])), "messages"),
        (
            with("messages", json!([{ "role": "wizard", "content": "" }])),
            "wizard",
        ),
        (with("messages", json!("hi")), "sequence"),
        (json!([]), "body"),
    ];
    for (body, part) in cases {
        let reply = post("/v1/chat/completions", &body);
        let error = &reply.json()["error"];
        assert_eq!(
            (reply.status, &error["type"]),
            (400, &json!("invalid_request_error"))
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(part), "{part}: {message}");
    }
    let image = json!([{ "role": "user", "content": [{ "type": "image_url" }] }]);
    assert_eq!(
        post("/v1/chat/completions", &with("messages", image)).status,
        400
    );
    let long = json!([{ "role": "user", "content": "word ".repeat(20_000) }]);
    let reply = post("/v1/chat/completions", &with("messages", long));
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(reply.json()["error"]["code"], "context_length_exceeded");

    let reply = post("/v1/messages", &json!({ "messages": hello }));
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["type"], "error");
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    let reply = get("/v1/nowhere");
    assert_eq!(
        (reply.status, reply.json()["error"]["code"].as_str()),
        (404, Some("unknown_url"))
    );
    assert_eq!(get("/v1/chat/completions").status, 405);
}

#[test]
fn models_are_listed_and_their_absence_said() {
    let list = get("/v1/models").json();
    let id = list["data"][0]["id"].as_str().unwrap().to_string();
    assert_eq!(get(&format!("/v1/models/{id}")).json()["id"], id.as_str());
    assert_eq!(get("/v1/models/other/name").status, 404);

    let (_host, server) = without_model();
    let port = server.address.port();
    assert_eq!(get_from(port, "/v1/models", "").json()["data"], json!([]));
    let body = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    let reply = post_to(port, "/v1/chat/completions", &body);
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json()["error"]["code"], "model_not_loaded");
    assert!(reply.header("retry-after").is_some());
    let health = get_from(port, "/api/v1/health", "").json();
    assert_eq!(health["status"], "no_model");
}
