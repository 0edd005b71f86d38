//! Chats as a person uses them, in a real file.

mod support;

use moestro_chats::{
    AtLimit, AttachedFile, ChatSettings, ChatsError, Ending, Figures, MessageState, Prompt,
};
use support::{Folder, done, exchange, text, texts};

#[test]
fn a_chat_is_there_again() {
    let folder = Folder::new();
    let mut store = folder.open();
    let chat = store.last_opened().unwrap();
    assert_eq!(
        store.blank().unwrap(),
        chat,
        "there is one empty chat, not many"
    );
    assert!(store.list().unwrap().is_empty(), "and it is in no list");
    exchange(&mut store, chat, "What is 2+2?", "4.");
    exchange(&mut store, chat, "And 3+3?", "6.");
    store.set_draft(chat, "half a thought").unwrap();
    let settings = ChatSettings {
        system_prompt: Some("Be brief.".into()),
        temperature: Some(0.25),
        stop: vec!["END".into()],
        at_limit: AtLimit::DropOldest,
        ..ChatSettings::default()
    };
    store.set_settings(chat, &settings).unwrap();
    drop(store);

    let mut store = folder.open();
    assert_eq!(store.notice(), None);
    assert_eq!(store.last_opened().unwrap(), chat);
    let kept = store.open_chat(chat).unwrap();
    assert_eq!(kept.entry.title, "What is 2+2?");
    assert_eq!(texts(&kept.path), ["What is 2+2?", "4.", "And 3+3?", "6."]);
    assert_eq!(kept.path[1].details.model.as_deref(), Some("Demo"));
    assert_eq!(kept.draft, "half a thought");
    assert_eq!(kept.settings, settings);

    let second = store.blank().unwrap();
    assert_ne!(second, chat);
    store.open_chat(second).unwrap();
    assert_eq!(store.last_opened().unwrap(), second);
}

#[test]
fn prompts_are_edited_and_answers_tried_again_side_by_side() {
    let folder = Folder::new();
    let mut store = folder.open();
    let chat = store.blank().unwrap();
    let first = exchange(&mut store, chat, "a", "A");
    exchange(&mut store, chat, "b", "B");
    // Another beginning, another answer to the first prompt.
    let edited = store.ask(chat, None, text("a, edited"), None).unwrap();
    store.finish(edited.answer.id, "A2", &done()).unwrap();
    assert_eq!(
        texts(&store.read_chat(chat).unwrap().path),
        ["a, edited", "A2"]
    );
    assert_eq!(edited.prompt.siblings, [first.prompt.id, edited.prompt.id]);
    let again = store.answer_again(first.prompt.id, None).unwrap();
    store.finish(again.id, "A3", &done()).unwrap();
    assert_eq!(texts(&store.read_chat(chat).unwrap().path), ["a", "A3"]);
    // Back to where it went on.
    let branch = store.show_branch(first.answer.id).unwrap();
    assert_eq!(texts(&branch.path), ["a", "A", "b", "B"]);
    assert_eq!(branch.path[1].siblings, [first.answer.id, again.id]);
    drop(store);
    let branch = folder.open().read_chat(chat).unwrap();
    assert_eq!(texts(&branch.path), ["a", "A", "b", "B"]);
}

#[test]
fn an_answer_grows_is_stopped_and_goes_on() {
    let folder = Folder::new();
    let mut store = folder.open();
    let chat = store.blank().unwrap();
    let asked = store.ask(chat, None, text("Count."), None).unwrap();
    let figures = |generated_tokens, first_token_ms| Figures {
        generated_tokens,
        first_token_ms,
        ..Figures::default()
    };
    let stopped = |figures| Ending {
        state: MessageState::Stopped,
        end: None,
        figures: Some(figures),
        failure: None,
    };
    store.grow(asked.answer.id, "1, ").unwrap();
    store.grow(asked.answer.id, "2\0, ").unwrap();
    assert!(matches!(
        store.continue_answer(asked.answer.id),
        Err(ChatsError::NotContinuable)
    ));
    store
        .finish(asked.answer.id, "3", &stopped(figures(6, 50.0)))
        .unwrap();
    let read = store.message(asked.answer.id).unwrap();
    assert_eq!(
        (read.text.as_str(), read.state),
        ("1, 2\u{fffd}, 3", MessageState::Stopped)
    );
    assert!(matches!(
        store.grow(asked.answer.id, "late"),
        Err(ChatsError::NoMessage)
    ));

    let again = store.continue_answer(asked.answer.id).unwrap();
    assert_eq!(again.state, MessageState::Writing);
    store
        .finish(asked.answer.id, ", 4", &stopped(figures(2, 9.0)))
        .unwrap();
    let read = store.message(asked.answer.id).unwrap();
    assert_eq!(read.text, "1, 2\u{fffd}, 3, 4");
    assert_eq!(read.details.figures, Some(figures(8, 50.0)));
    assert_eq!(store.search("4").unwrap().len(), 1);
    assert!(matches!(
        store.continue_answer(asked.prompt.id),
        Err(ChatsError::NotContinuable)
    ));
}

#[test]
fn an_answer_is_cut_off_when_its_process_is_gone_and_not_before() {
    let folder = Folder::new();
    let mut first = folder.open();
    let chat = first.blank().unwrap();
    let asked = first.ask(chat, None, text("a"), None).unwrap();
    first.grow(asked.answer.id, "par").unwrap();
    let second = folder.open();
    let state = |store: &moestro_chats::Store| store.message(asked.answer.id).unwrap().state;
    assert_eq!(state(&second), MessageState::Writing, "its writer lives");
    first.grow(asked.answer.id, "tial").unwrap();
    drop(first);
    let third = folder.open();
    assert_eq!(state(&third), MessageState::Interrupted);
    assert_eq!(third.message(asked.answer.id).unwrap().text, "partial");
    assert_eq!(third.search("partial").unwrap().len(), 1);
    drop((second, third));
    assert_eq!(
        folder.names(),
        ["chats.lock", "chats.sqlite"],
        "nothing is left behind"
    );
}

#[test]
fn what_is_thrown_away_comes_back_for_a_day() {
    let folder = Folder::new();
    let mut store = folder.open();
    let chat = store.blank().unwrap();
    let asked = exchange(&mut store, chat, "a secret", "kept");
    store.delete(chat).unwrap();
    assert!(store.list().unwrap().is_empty());
    assert!(store.search("secret").unwrap().is_empty());
    assert!(matches!(store.read_chat(chat), Err(ChatsError::NoChat)));
    assert!(matches!(
        store.message(asked.answer.id),
        Err(ChatsError::NoMessage)
    ));
    assert!(matches!(
        store.ask(chat, None, text("b"), None),
        Err(ChatsError::NoChat)
    ));
    drop(store);
    let mut store = folder.open();
    store.restore(chat).unwrap();
    assert_eq!(
        texts(&store.read_chat(chat).unwrap().path),
        ["a secret", "kept"]
    );

    store.delete(chat).unwrap();
    let raw = folder.raw();
    raw.execute("UPDATE chat SET deleted = deleted - 25 * 3600 * 1000", [])
        .unwrap();
    drop((raw, store));
    let mut store = folder.open();
    assert!(matches!(store.restore(chat), Err(ChatsError::NoChat)));
    let count = |table: &str| -> i64 {
        let query = format!("SELECT count(*) FROM {table}");
        folder
            .raw()
            .query_row(&query, [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!((count("message"), count("message_text")), (0, 0));
    drop(store);
    let bytes = std::fs::read(folder.path()).unwrap();
    assert!(
        !bytes.windows(6).any(|part| part == b"secret"),
        "not a letter stays"
    );
}

#[test]
fn the_list_has_titles_pins_and_folders() {
    let folder = Folder::new();
    let mut store = folder.open();
    let mut begin = |prompt: &str| {
        let chat = store.blank().unwrap();
        exchange(&mut store, chat, prompt, "x");
        chat
    };
    let (a, b, c) = (begin("first"), begin("second"), begin("third\nline"));
    store.pin(a, true).unwrap();
    store.rename(b, "  A name\n ").unwrap();
    store.move_to(b, "Work").unwrap();
    exchange(&mut store, b, "more", "y");
    let list = store.list().unwrap();
    let titles: Vec<&str> = list.iter().map(|chat| chat.title.as_str()).collect();
    assert_eq!(titles, ["first", "A name", "third line"]);
    assert_eq!(list[1].folder, "Work");
    store.rename(b, " ").unwrap();
    assert_eq!(store.read_chat(b).unwrap().entry.title, "second");
    assert!(matches!(store.pin(c + 100, true), Err(ChatsError::NoChat)));
}

#[test]
fn words_are_found_in_every_branch_of_every_chat() {
    let folder = Folder::new();
    let mut store = folder.open();
    let chat = store.blank().unwrap();
    let first = exchange(
        &mut store,
        chat,
        "Tell me of Zürich",
        "A city with \"trams\" (many).",
    );
    let again = store.answer_again(first.prompt.id, None).unwrap();
    store.finish(again.id, "A lake.", &done()).unwrap();
    let other = store.blank().unwrap();
    exchange(&mut store, other, "我喜欢猫和狗。", "ねこが好きです。");

    let found = |words: &str| -> Vec<(i64, Option<i64>)> {
        let hits = store.search(words).unwrap();
        hits.iter().map(|hit| (hit.chat.id, hit.message)).collect()
    };
    assert_eq!(
        found("trams"),
        [(chat, Some(first.answer.id))],
        "in the branch not shown"
    );
    assert_eq!(found("TRAM cit"), [(chat, Some(first.answer.id))]);
    assert_eq!(found("zurich"), [(chat, Some(first.prompt.id))]);
    assert_eq!(found("zürich"), [(chat, None)], "the title first");
    assert_eq!(found("喜欢 狗"), [(other, None)]);
    assert_eq!(found("好き").len(), 1);
    assert_eq!(found("nowhere"), []);
    for odd in [
        "\"",
        "*",
        "a AND (",
        "NEAR(",
        "-",
        "^",
        "col:",
        "'; DROP TABLE chat",
        "\0",
        "%",
    ] {
        found(odd);
    }
    let hit = &store.search("lake").unwrap()[0];
    let marked: Vec<_> = hit.excerpt.iter().filter(|piece| piece.found).collect();
    assert_eq!(marked[0].text, "lake");
}

#[test]
fn files_go_with_their_prompt_and_sizes_are_bounded() {
    let folder = Folder::new();
    let mut store = folder.open();
    let chat = store.blank().unwrap();
    let files = [AttachedFile {
        name: "notes.txt".into(),
        text: "some notes".into(),
    }];
    let prompt = Prompt {
        text: "Sum up.",
        files: &files,
    };
    let asked = store.ask(chat, None, prompt, None).unwrap();
    assert_eq!(asked.prompt.details.files, files);
    let long = "x".repeat(moestro_chats::LONGEST_TEXT + 1);
    let refused = store.ask(chat, None, text(&long), None).unwrap_err();
    assert!(matches!(refused, ChatsError::TooLong { .. }));
    assert!(store.set_draft(chat, &long).is_err());
    // A message of another chat is no parent here.
    let other = store.blank().unwrap();
    let stray = store.ask(other, Some(asked.prompt.id), text("b"), None);
    assert!(matches!(stray, Err(ChatsError::NoMessage)));
}

#[test]
fn two_processes_write_in_turn() {
    let folder = Folder::new();
    let mut stores = [folder.open(), folder.open()];
    let before = stores[0].foreign_changes().unwrap();
    let chat = stores[0].blank().unwrap();
    std::thread::scope(|scope| {
        for (number, store) in stores.iter_mut().enumerate() {
            scope.spawn(move || {
                for turn in 0..40 {
                    exchange(store, chat, &format!("{number}: {turn}"), "answer");
                }
            });
        }
    });
    assert_ne!(stores[0].foreign_changes().unwrap(), before);
    let count: i64 = folder
        .raw()
        .query_row("SELECT count(*) FROM message", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 160);
    let sound: String = folder
        .raw()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}
