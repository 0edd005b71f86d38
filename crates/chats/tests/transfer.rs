//! Exports and imports: our own, OpenAI's, and what only looks like them.

mod support;

use moestro_chats::{ChatSettings, ChatsError, MessageState, Store};
use serde_json::{Value, json};
use support::{Folder, done, exchange, text, texts};

fn import(store: &mut Store, file: &Value) -> moestro_chats::Imported {
    store.import(file.to_string().as_bytes()).unwrap()
}

#[test]
fn an_export_brings_everything_back() {
    let folder = Folder::new();
    let mut store = folder.open();
    let chat = store.blank().unwrap();
    let first = exchange(&mut store, chat, "a <b>&\u{1f600}\"", "A\n```\ncode\n```");
    let again = store.answer_again(first.prompt.id, Some("Other")).unwrap();
    store.finish(again.id, "A2", &done()).unwrap();
    store.ask(chat, Some(again.id), text("cut"), None).unwrap();
    store.show_branch(first.answer.id).unwrap();
    let settings = ChatSettings {
        seed: Some(7),
        ..ChatSettings::default()
    };
    store.set_settings(chat, &settings).unwrap();
    store.rename(chat, "Named").unwrap();
    store.pin(chat, true).unwrap();
    let mut file = Vec::new();
    store.export_json(&[chat], &mut file).unwrap();

    assert_eq!(
        store.import(file.as_slice()).unwrap().known,
        1,
        "it is here already"
    );
    let elsewhere = Folder::new();
    let mut other = elsewhere.open();
    let imported = other.import(file.as_slice()).unwrap();
    let (there, here) = (
        other.transfer(imported.added[0]).unwrap(),
        store.transfer(chat).unwrap(),
    );
    assert_eq!(
        (&there.title, there.pinned, &there.settings),
        (&"Named".into(), true, &settings)
    );
    let shape = |t: &moestro_chats::Transfer| -> Vec<(usize, String, MessageState)> {
        let place = |id: Option<i64>| t.messages.iter().position(|m| Some(m.id) == id);
        let messages = t.messages.iter();
        messages
            .map(|m| (place(m.parent).unwrap_or(99), m.text.clone(), m.state))
            .collect()
    };
    assert_eq!(shape(&there), shape(&here));
    assert_eq!(
        there.messages[4].state,
        MessageState::Interrupted,
        "nobody writes it there"
    );
    let path = other.read_chat(imported.added[0]).unwrap().path;
    assert_eq!(texts(&path), ["a <b>&\u{1f600}\"", "A\n```\ncode\n```"]);

    // Thrown away, it comes back with the import.
    store.delete(chat).unwrap();
    store.import(file.as_slice()).unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn markdown_has_the_branch_that_is_shown() {
    let folder = Folder::new();
    let mut store = folder.open();
    let chat = store.blank().unwrap();
    exchange(&mut store, chat, "What is it?", "It is **this**.");
    let page = store.export_markdown(chat).unwrap();
    assert_eq!(
        page,
        "# What is it?\n\n## You\n\nWhat is it?\n\n## Demo\n\nIt is **this**.\n"
    );
}

fn openai() -> Value {
    let message = |role: &str, parts: Value, time: f64| {
        json!({ "author": { "role": role }, "create_time": time, "recipient": "all",
            "content": { "content_type": "text", "parts": parts },
            "metadata": { "model_slug": "gpt-4o" } })
    };
    json!([{
        "title": "A talk\nabout trams",
        "create_time": 1700000000.5,
        "update_time": 1700000100.0,
        "conversation_id": "c-1",
        "current_node": "answer-2",
        "mapping": {
            "root": { "id": "root", "message": null, "parent": null, "children": ["system"] },
            "system": { "id": "system", "message": message("system", json!([""]), 1.0), "parent": "root" },
            "ask": { "id": "ask", "message": message("user", json!(["Trams?"]), 2.0), "parent": "system" },
            "answer-2": { "id": "answer-2", "parent": "tool",
                "message": message("assistant", json!(["Two.", { "content_type": "image_asset_pointer" }]), 5.0) },
            "answer-1": { "id": "answer-1", "message": message("assistant", json!(["One."]), 3.0), "parent": "ask" },
            "tool": { "id": "tool", "message": message("tool", json!(["secret result"]), 4.0), "parent": "ask" },
            "circle-a": { "message": message("user", json!(["x"]), 1.0), "parent": "circle-b" },
            "circle-b": { "message": message("user", json!(["y"]), 1.0), "parent": "circle-a" }
        }
    }])
}

#[test]
fn conversations_of_openai_keep_their_branches() {
    let folder = Folder::new();
    let mut store = folder.open();
    let imported = import(&mut store, &openai());
    let chat = store.read_chat(imported.added[0]).unwrap();
    assert_eq!(chat.entry.title, "A talk about trams");
    assert_eq!(chat.entry.created, 1_700_000_000_500);
    assert_eq!(texts(&chat.path), ["Trams?", "Two.\n\n(a picture)"]);
    assert_eq!(chat.path[1].siblings.len(), 2);
    assert_eq!(chat.path[1].details.model.as_deref(), Some("gpt-4o"));
    assert_eq!(import(&mut store, &openai()).known, 1);
    assert_eq!(store.search("one").unwrap().len(), 1);
}

#[test]
fn what_is_no_export_is_refused_and_changes_nothing() {
    let folder = Folder::new();
    let mut store = folder.open();
    for file in [
        "",
        "nonsense",
        "7",
        "\"x\"",
        "{}",
        "{\"chats\": []}",
        "{\"format\": \"other\", \"version\": 1, \"chats\": []}",
        "[{\"mapping\": {}}",
        "\u{feff}[]x",
        "{\"format\": \"moestro-chats\", \"version\": 1, \"chats\": {}}",
    ] {
        let refused = store.import(file.as_bytes());
        assert!(
            matches!(refused, Err(ChatsError::Unknown(_))),
            "{file}: {refused:?}"
        );
    }
    let newer = r#"{"format": "moestro-chats", "version": 2, "chats": []}"#;
    let refused = store.import(newer.as_bytes());
    assert!(matches!(refused, Err(ChatsError::NewerExport(2))));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(store.import(deep.as_bytes()).is_err());
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn hostile_conversations_are_skipped_or_made_harmless() {
    let folder = Folder::new();
    let mut store = folder.open();
    let node = |text: Value| json!({ "message": { "author": { "role": "user" }, "content": { "parts": [text] } }, "parent": null });
    let odd = json!([
        7, null, [], {}, { "mapping": 3 }, { "mapping": { "a": 3, "b": null, "c": { "message": 4 } } },
        { "mapping": { "a": { "message": { "author": { "role": 3 }, "content": [] } } } },
        { "mapping": { "a": node(json!("x")) }, "title": 9, "create_time": 1e300, "update_time": -1e300,
          "current_node": ["a"] },
        { "mapping": { "a": node(json!("\u{0}\u{202e}x")) }, "title": "\u{0}\u{1b}]0;x\u{7}", "id": "a\u{0}b" },
        { "mapping": { "a": node(json!({ "text": { "deep": 1 } })) } },
        { "mapping": { "self": { "parent": "self", "message": node(json!("y"))["message"] } } },
    ]);
    let imported = import(&mut store, &odd);
    assert_eq!((imported.added.len(), imported.skipped), (2, 9));
    for chat in store.list().unwrap() {
        assert!(
            !chat.title.contains(['\0', '\u{1b}', '\n']),
            "{:?}",
            chat.title
        );
        assert!(chat.created > 0 && chat.changed >= chat.created);
    }
    let chats = json!([
        3, { "messages": [] }, { "messages": 3 },
        { "title": "one", "messages": [
            { "id": 1, "role": "user", "text": "kept" },
            { "id": 2, "parent": 9, "role": "assistant", "text": "no parent" },
            { "id": 3, "parent": 3, "role": "assistant", "text": "own parent" },
            { "id": 4, "role": "system", "text": "no role" },
            { "id": 5, "role": "user" },
            { "id": "6", "role": "user", "text": "no id" },
            { "id": 1, "role": "user", "text": "twice", "state": "writing" } ],
          "leaf": 77, "created": -5, "settings": { "temperature": 1e9 } }
    ]);
    let own =
        format!(r#"{{"format":"moestro-chats","more":[1,{{"x":2}}],"version":1,"chats":{chats}}}"#);
    let imported = store.import(own.as_bytes()).unwrap();
    assert_eq!((imported.added.len(), imported.skipped), (1, 3));
    assert_eq!(store.transfer(imported.added[0]).unwrap().messages.len(), 4);
}

/// Every prefix and many single changes of real exports: errors, no panics.
#[test]
fn mangled_exports_never_panic() {
    let folder = Folder::new();
    let mut store = folder.open();
    let chat = store.blank().unwrap();
    exchange(&mut store, chat, "a", "A");
    let mut own = Vec::new();
    store.export_json(&[chat], &mut own).unwrap();
    for file in [own, openai().to_string().into_bytes()] {
        for end in (0..file.len()).step_by(7) {
            let _ = store.import(&file[..end]);
        }
        let mut state = 0x2545_f491_u32;
        for _ in 0..300 {
            let mut mangled = file.clone();
            for _ in 0..3 {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                let at = state as usize % mangled.len();
                mangled[at] = b"{}[]\",:0e-\\\xff a"[state as usize / 7 % 14];
            }
            let _ = store.import(mangled.as_slice());
        }
    }
}
