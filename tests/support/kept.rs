//! Homes with chats in them.

use std::fs;
use std::rc::Rc;

use moestro_chats::{Ending, MessageState, Prompt, Store};

const DONE: Ending = Ending {
    state: MessageState::Done,
    end: None,
    figures: None,
    failure: None,
};

/// Keeps a chat whose answers are `answers`, each with its prompt.
pub fn keep(store: &mut Store, title: &str, answers: &[(&str, &str)]) {
    let chat = store.blank().unwrap();
    let mut parent = None;
    for (question, answer) in answers {
        let prompt = Prompt {
            text: question,
            files: &[],
        };
        let asked = store.ask(chat, parent, prompt, Some("Demo")).unwrap();
        store.finish(asked.answer.id, answer, &DONE).unwrap();
        parent = Some(asked.answer.id);
    }
    store.rename(chat, title).unwrap();
    store.open_chat(chat).unwrap();
}

/// A home whose chats are what `fill` puts there.
pub fn home_with(fill: impl FnOnce(&mut Store)) -> Rc<tempfile::TempDir> {
    let home = Rc::new(tempfile::tempdir().unwrap());
    let file = home.path().join("data/app.moestro.desktop/chats.sqlite");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fill(&mut Store::open(&file).unwrap());
    home
}
