//! How long a long chat takes to open, to be searched and to grow by a prompt.
//! `cargo run --release -p moestro-chats --example open [MESSAGES]`

use std::time::{Duration, Instant};

use moestro_chats::{End, Ending, MessageState, Prompt, Store};

/// About 200 tokens.
const WORDS: usize = 150;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let messages: usize = match std::env::args().nth(1) {
        Some(number) => number.parse()?,
        None => 2000,
    };
    let folder = tempfile::tempdir()?;
    let mut store = Store::open(&folder.path().join("chats.sqlite"))?;
    let chat = store.blank()?;
    let done = Ending {
        state: MessageState::Done,
        end: Some(End::Stop),
        figures: None,
        failure: None,
    };
    let mut parent = None;
    let mut grown = Vec::new();
    for number in 0..messages / 2 {
        let text: String = (0..WORDS)
            .map(|word| format!("word{} ", (number * 31 + word * 7) % 5000))
            .collect();
        let prompt = Prompt {
            text: &text,
            files: &[],
        };
        let began = Instant::now();
        let asked = store.ask(chat, parent, prompt, Some("model"))?;
        grown.push(began.elapsed());
        store.finish(asked.answer.id, &text, &done)?;
        parent = Some(asked.answer.id);
    }
    drop(store);

    let began = Instant::now();
    let mut store = Store::open(&folder.path().join("chats.sqlite"))?;
    tell("the file opens in", began);
    let began = Instant::now();
    let opened = store.open_chat(chat)?;
    let characters: usize = opened.path.iter().map(|message| message.text.len()).sum();
    tell("the chat opens in", began);
    let began = Instant::now();
    let json = serde_json::to_vec(&opened)?;
    tell("and is JSON in", began);
    println!(
        "{} messages, {characters} bytes of text, {} bytes of JSON",
        opened.path.len(),
        json.len()
    );
    let began = Instant::now();
    let hits = store.search("word42 word77")?;
    tell("a search takes", began);
    println!("{} chats found", hits.len());
    grown.sort();
    let median = grown.get(grown.len() / 2).copied().unwrap_or_default();
    let most = grown.last().copied().unwrap_or(Duration::ZERO);
    println!("a prompt is on the disk in {median:?} (median), {most:?} (most)");
    Ok(())
}

fn tell(what: &str, began: Instant) {
    println!("{what} {:?}", began.elapsed());
}
