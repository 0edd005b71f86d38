//! What is kept: chats, the tree of messages in each, and what the person set for it.

use serde::{Deserialize, Serialize};

/// Longest text of one message in bytes.
pub const LONGEST_TEXT: usize = 16 << 20;
/// Longest title in characters.
pub const LONGEST_TITLE: usize = 200;

/// A chat as a line of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ChatEntry {
    pub id: i64,
    pub title: String,
    /// Empty outside of folders.
    pub folder: String,
    pub pinned: bool,
    /// Milliseconds since 1970, like every time here.
    pub created: i64,
    pub changed: i64,
}

/// One chat with the branch that is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Chat {
    pub entry: ChatEntry,
    /// What was typed and not sent.
    pub draft: String,
    pub settings: ChatSettings,
    /// From the first message to the last of this branch.
    pub path: Vec<Message>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Message {
    pub id: i64,
    pub parent: Option<i64>,
    pub role: Role,
    pub text: String,
    pub created: i64,
    pub state: MessageState,
    /// All messages with the same parent, this one included, oldest first.
    pub siblings: Vec<i64>,
    pub details: Details,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Assistant,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Role> {
        [Role::User, Role::Assistant]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// How a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// A process that lives writes it.
    Writing,
    Done,
    /// The person stopped it.
    Stopped,
    /// The engine or the window went away in the middle.
    Interrupted,
    Failed,
    /// Its row cannot be read. Never written.
    Damaged,
}

impl MessageState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            MessageState::Writing => "writing",
            MessageState::Done => "done",
            MessageState::Stopped => "stopped",
            MessageState::Interrupted => "interrupted",
            MessageState::Failed => "failed",
            MessageState::Damaged => "damaged",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<MessageState> {
        use MessageState::{Done, Failed, Interrupted, Stopped, Writing};
        [Writing, Done, Stopped, Interrupted, Failed]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// What is kept with a message besides its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(default)]
pub struct Details {
    /// Files that go with a prompt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "typescript", ts(as = "Option<Vec<AttachedFile>>", optional))]
    pub files: Vec<AttachedFile>,
    /// Name of the model that wrote an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub end: Option<End>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub figures: Option<Figures>,
    /// Why there is no answer, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub failure: Option<String>,
}

/// A text file that was put in with a prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(default)]
pub struct AttachedFile {
    pub name: String,
    pub text: String,
}

/// Why a whole answer ends where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum End {
    Stop,
    MaxTokens,
    ContextFull,
}

/// Speed and size of one answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(default)]
pub struct Figures {
    pub prompt_tokens: u64,
    /// Of those, tokens whose state was still there.
    pub reused_tokens: u64,
    pub generated_tokens: u64,
    pub first_token_ms: f64,
    pub tokens_per_second: f64,
    /// Share of expert uses served from a slot, 0 to 1.
    pub hit_rate: f64,
    pub seed: u64,
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    pub state: MessageState,
    pub end: Option<End>,
    pub figures: Option<Figures>,
    pub failure: Option<String>,
}

/// What differs in one chat from the settings of the application; `None` takes those.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(default)]
pub struct ChatSettings {
    pub system_prompt: Option<String>,
    pub temperature: Option<f64>,
    pub top_k: Option<u32>,
    pub top_p: Option<f64>,
    pub min_p: Option<f64>,
    pub repetition_penalty: Option<f64>,
    pub presence_penalty: Option<f64>,
    pub frequency_penalty: Option<f64>,
    pub seed: Option<u64>,
    pub max_tokens: Option<u64>,
    /// Texts that end an answer.
    pub stop: Vec<String>,
    pub at_limit: AtLimit,
}

/// What happens when a chat no longer fits into the context.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum AtLimit {
    /// Nothing is sent, and the person is told.
    #[default]
    Stop,
    /// The oldest messages are not sent. The system prompt is.
    DropOldest,
    /// Only the system prompt and the last prompt are sent.
    KeepLast,
}

/// The beginning of a prompt as a title: one line of words.
pub fn title_of(prompt: &str) -> String {
    const MOST: usize = 60;
    let words = prompt
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    let mut title = String::new();
    for word in words {
        let length = title.chars().count();
        let left = MOST.saturating_sub(length + usize::from(length > 0));
        if word.chars().count() > left {
            if length == 0 {
                title.extend(word.chars().take(MOST));
            }
            title.push('…');
            return title;
        }
        if length > 0 {
            title.push(' ');
        }
        title.push_str(word);
    }
    title
}

/// A title as it can be shown on one line; `None` if nothing is left of it.
pub(crate) fn clean_title(title: &str) -> Option<String> {
    let words: Vec<&str> = title
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let title: String = words.join(" ").chars().take(LONGEST_TITLE).collect();
    (!title.is_empty()).then_some(title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_short_line() {
        assert_eq!(title_of("  What is\n\n2+2?\u{0}\u{1b} "), "What is 2+2?");
        assert_eq!(title_of(" \n\t"), "");
        let long = title_of(&"word ".repeat(100));
        assert!(
            long.ends_with("word…") && long.chars().count() <= 61,
            "{long}"
        );
        let unbroken = title_of(&"名".repeat(500));
        assert_eq!(unbroken.chars().count(), 61);
        assert_eq!(clean_title("\u{202e}\n\n").as_deref(), Some("\u{202e}"));
        assert_eq!(clean_title(" \u{7}\n"), None);
    }

    #[test]
    fn settings_of_another_version_are_read_as_far_as_they_are_known() {
        let read: ChatSettings =
            serde_json::from_str(r#"{"temperature": 0.5, "mirostat": 2}"#).unwrap();
        assert_eq!(read.temperature, Some(0.5));
        assert_eq!(read.at_limit, AtLimit::Stop);
    }
}
