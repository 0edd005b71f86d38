//! One conversation of OpenAI's `conversations.json`: a tree of nodes by their names, in
//! which system messages, tool calls and empty messages are passed over.

use std::collections::HashMap;

use serde_json::Value;

use crate::chat::{Details, MessageState, Role};
use crate::transfer::{Transfer, TransferMessage};

/// `None` if it has no tree of nodes.
pub fn read(conversation: &Value) -> Option<Transfer> {
    let nodes = conversation.get("mapping")?.as_object()?;
    let text = |field: &str| conversation.get(field).and_then(Value::as_str);
    let name = text("conversation_id").or_else(|| text("id"));
    let parent_of = |name: &str| nodes.get(name)?.get("parent")?.as_str();

    // Children are found by their parents, for lists of children may be wrong.
    let mut children: HashMap<Option<&str>, Vec<&str>> = HashMap::new();
    for name in nodes.keys() {
        let parent = parent_of(name).filter(|parent| nodes.contains_key(*parent));
        children.entry(parent).or_default().push(name);
    }
    for siblings in children.values_mut() {
        siblings.sort_by(|a, b| created(&nodes[*a]).cmp(&created(&nodes[*b])));
    }

    // From the roots down, so parents come first. Nodes in a circle are never reached.
    let mut messages = Vec::new();
    let mut numbers: HashMap<&str, Option<i64>> = HashMap::new();
    let mut open: Vec<(&str, Option<i64>)> = Vec::new();
    let roots = children.get(&None).into_iter().flatten();
    open.extend(roots.rev().map(|name| (*name, None)));
    while let Some((name, parent)) = open.pop() {
        let message = message(&nodes[name], messages.len() as i64 + 1, parent);
        let number = message.as_ref().map(|message| message.id).or(parent);
        messages.extend(message);
        numbers.insert(name, number);
        let next = children.get(&Some(name)).into_iter().flatten();
        open.extend(next.rev().map(|name| (*name, number)));
    }

    let current = text("current_node").and_then(|name| numbers.get(name).copied().flatten());
    Some(Transfer {
        origin: name
            .map(|name| format!("openai:{name}"))
            .unwrap_or_default(),
        title: text("title").unwrap_or_default().to_owned(),
        created: milliseconds(conversation.get("create_time")),
        changed: milliseconds(conversation.get("update_time")),
        leaf: current,
        messages,
        ..Transfer::default()
    })
}

fn created(node: &Value) -> i64 {
    milliseconds(node.get("message").and_then(|m| m.get("create_time")))
}

/// 0 if there is no time.
fn milliseconds(seconds: Option<&Value>) -> i64 {
    let seconds = seconds.and_then(Value::as_f64).unwrap_or(0.0);
    // Too large or no number becomes the nearest that can be told.
    (seconds * 1000.0) as i64
}

fn message(node: &Value, id: i64, parent: Option<i64>) -> Option<TransferMessage> {
    let message = node.get("message")?;
    let role = Role::parse(message.get("author")?.get("role")?.as_str()?)?;
    // Calls of tools are addressed to them and not to the person.
    let recipient = message.get("recipient").and_then(Value::as_str);
    if recipient.is_some_and(|recipient| recipient != "all") {
        return None;
    }
    let text = words(message.get("content")?);
    if text.trim().is_empty() {
        return None;
    }
    let model = message
        .get("metadata")
        .and_then(|metadata| metadata.get("model_slug"))
        .and_then(Value::as_str);
    Some(TransferMessage {
        id,
        parent,
        role,
        text,
        created: created(node),
        state: MessageState::Done,
        details: Details {
            model: model.map(|model| model.chars().take(200).collect()),
            ..Details::default()
        },
    })
}

/// The parts that are text; what is not is named.
fn words(content: &Value) -> String {
    if let Some(parts) = content.get("parts").and_then(Value::as_array) {
        let words: Vec<String> = parts.iter().map(part).collect();
        return words.join("\n\n");
    }
    let text = content.get("text").and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn part(part: &Value) -> String {
    let kind = || part.get("content_type").and_then(Value::as_str);
    match part {
        Value::String(text) => text.clone(),
        _ => match (part.get("text").and_then(Value::as_str), kind()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(kind)) if kind.starts_with("image") => "(a picture)".into(),
            (None, Some(kind)) => format!("({})", kind.chars().take(40).collect::<String>()),
            (None, None) => String::new(),
        },
    }
}
