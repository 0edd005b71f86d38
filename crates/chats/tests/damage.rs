//! Files that are damaged, older or newer than this program.

mod support;

use moestro_chats::{ChatsError, MessageState, SCHEMA_VERSION, Store};
use support::{Folder, exchange, text, texts};

/// The schema as it was released first.
const FIRST: &str = include_str!("../src/schema/1.sql");

#[test]
fn a_damaged_row_hides_one_message() {
    for damage in [
        "text = x'ff00ff'",
        "role = 'owner'",
        "state = x'00'",
        "text = CAST(x'c328' AS TEXT)",
    ] {
        let folder = Folder::new();
        let mut store = folder.open();
        let chat = store.blank().unwrap();
        exchange(&mut store, chat, "a", "A");
        let middle = exchange(&mut store, chat, "b", "B");
        exchange(&mut store, chat, "c", "C");
        let raw = folder.raw();
        raw.execute_batch("DROP TRIGGER message_indexed_again")
            .unwrap();
        let update = format!("UPDATE message SET {damage} WHERE id = ?1");
        raw.execute(&update, [middle.answer.id]).unwrap();
        let path = store.read_chat(chat).unwrap().path;
        assert_eq!(texts(&path), ["a", "A", "b", "", "c", "C"], "{damage}");
        assert_eq!(path[3].state, MessageState::Damaged);
        let damaged = path.iter().filter(|m| m.state == MessageState::Damaged);
        assert_eq!(damaged.count(), 1, "{damage}");
        // It can be gone on with and exported without that message.
        exchange(&mut store, chat, "d", "D");
        let exported = store.transfer(chat).unwrap();
        assert_eq!(exported.messages.len(), 7);
        let after = exported.messages.iter().find(|m| m.text == "c").unwrap();
        assert_eq!(after.parent, Some(middle.prompt.id));
        assert!(
            store
                .export_markdown(chat)
                .unwrap()
                .contains("cannot be read")
        );
    }
}

#[test]
fn damaged_details_settings_and_parents_hide_nothing() {
    let folder = Folder::new();
    let mut store = folder.open();
    let chat = store.blank().unwrap();
    exchange(&mut store, chat, "a", "A");
    let second = exchange(&mut store, chat, "b", "B");
    let raw = folder.raw();
    raw.execute_batch(
        "UPDATE message SET details = '{'; UPDATE chat SET settings = x'00', leaf = -4, draft = x'00';",
    )
    .unwrap();
    let kept = store.read_chat(chat).unwrap();
    assert_eq!(texts(&kept.path), ["a", "A", "b", "B"]);
    assert_eq!((kept.settings.temperature, kept.draft.as_str()), (None, ""));
    // In a circle, and after something that is not there.
    for parent in [second.answer.id, 999_999, -1] {
        raw.execute(
            "UPDATE message SET parent = ?1 WHERE id = ?2",
            [parent, second.prompt.id],
        )
        .unwrap();
        assert_eq!(texts(&store.read_chat(chat).unwrap().path), ["b", "B"]);
    }
}

#[test]
fn a_file_that_is_no_database_is_set_aside() {
    let folder = Folder::new();
    std::fs::write(
        folder.path(),
        b"this is no database, whatever its name says, at all",
    )
    .unwrap();
    let mut store = folder.open();
    let notice = store.notice().unwrap().to_owned();
    assert!(notice.contains("chats.damaged-1.sqlite"), "{notice}");
    let chat = store.blank().unwrap();
    exchange(&mut store, chat, "a", "A");
    drop(store);
    assert!(
        folder
            .names()
            .contains(&"chats.damaged-1.sqlite".to_owned())
    );
    let store = folder.open();
    assert_eq!(store.notice(), None);
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn every_cut_and_every_flipped_page_is_an_error_at_most() {
    let folder = Folder::new();
    let mut store = folder.open();
    let chat = store.blank().unwrap();
    for turn in 0..30 {
        exchange(
            &mut store,
            chat,
            &format!("prompt {turn}"),
            &"answer ".repeat(300),
        );
    }
    drop(store);
    let whole = std::fs::read(folder.path()).unwrap();
    let pages = whole.len() / 4096;
    assert!(pages > 20, "{pages}");
    for page in 0..pages {
        for cut in [false, true] {
            let mut bytes = whole.clone();
            match cut {
                true => bytes.truncate(page * 4096 + 100),
                false => bytes[page * 4096..][..4096].fill(0xa5),
            }
            let folder = Folder::new();
            std::fs::write(folder.path(), bytes).unwrap();
            let Ok(mut store) = Store::open(&folder.path()) else {
                continue;
            };
            let _ = store.list();
            let _ = store.search("answer");
            let _ = store.open_chat(chat);
            let _ = store.transfer(chat);
            if let Ok(chat) = store.blank() {
                let _ = store.ask(chat, None, text("x"), None);
            }
        }
    }
}

#[test]
fn a_newer_file_is_read_and_not_changed() {
    let folder = Folder::new();
    let mut store = folder.open();
    let chat = store.blank().unwrap();
    exchange(&mut store, chat, "a", "A");
    drop(store);
    folder
        .raw()
        .pragma_update(None, "user_version", SCHEMA_VERSION + 1)
        .unwrap();
    let before = std::fs::read(folder.path()).unwrap();
    let mut store = folder.open();
    assert!(store.is_read_only());
    let notice = store.notice().unwrap().to_owned();
    assert!(notice.contains("install a newer Moestro"), "{notice}");
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(texts(&store.open_chat(chat).unwrap().path), ["a", "A"]);
    assert_eq!(store.search("a").unwrap().len(), 1);
    let refused = [
        store.ask(chat, None, text("b"), None).map(drop),
        store.rename(chat, "b"),
        store.delete(chat),
        store.blank().map(drop),
        store
            .import(&b"[]"[..])
            .map(drop)
            .and(store.set_draft(chat, "x")),
    ];
    for refusal in refused {
        assert!(
            matches!(refusal, Err(ChatsError::ReadOnly { .. })),
            "{refusal:?}"
        );
    }
    drop(store);
    assert_eq!(std::fs::read(folder.path()).unwrap(), before);
}

#[test]
fn an_older_file_is_copied_and_brought_to_the_present() {
    let folder = Folder::new();
    let raw = folder.raw();
    raw.execute_batch(FIRST).unwrap();
    raw.execute_batch(
        "INSERT INTO chat (id, origin, title, created, changed) VALUES (1, 'x', 'old', 5, 5);
         INSERT INTO message (chat, parent, role, text, created, state)
         VALUES (1, NULL, 'user', 'from long ago', 5, 'done');
         INSERT INTO message (chat, parent, role, text, created, state)
         VALUES (1, 1, 'assistant', x'00ff', 5, 'done');
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(raw);
    let mut store = folder.open();
    assert_eq!(
        texts(&store.open_chat(1).unwrap().path),
        ["from long ago", ""]
    );
    assert_eq!(
        store.search("long").unwrap().len(),
        1,
        "old messages are found"
    );
    exchange(&mut store, 1, "new words", "B");
    assert_eq!(store.search("words").unwrap().len(), 1);
    drop(store);
    let copy = rusqlite::Connection::open(folder.path().with_extension("before-2.sqlite")).unwrap();
    let copied: (i64, String) = copy
        .query_row(
            "SELECT (SELECT * FROM pragma_user_version), text FROM message WHERE id = 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(copied, (1, "from long ago".to_owned()));
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_with_its_name() {
    let folder = Folder::new();
    let file = folder.path();
    std::fs::write(&file, "").unwrap();
    let below = file.join("chats.sqlite");
    let message = Store::open(&below).err().unwrap().to_string();
    assert!(message.contains("chats.sqlite"), "{message}");
}
