//! A process that is killed at any moment loses nothing that it acknowledged.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use moestro_chats::{MessageState, SCHEMA_VERSION, Store};
use support::{Folder, text};

/// Tells the process that is to be killed what to do, and with which file.
const WORK: &str = "MOESTRO_CHATS_WORK";
const FILE: &str = "MOESTRO_CHATS_FILE";
const KILLS: usize = 50;
const KILLS_WHILE_MIGRATING: usize = 20;
const MESSAGES: usize = 3000;

/// Not a test of its own: what the processes below do until they are killed.
#[test]
#[ignore = "runs only as a process that is killed"]
fn work() {
    let (Some(work), Some(file)) = (std::env::var_os(WORK), std::env::var_os(FILE)) else {
        return;
    };
    tell("ready");
    let mut store = Store::open(Path::new(&file)).unwrap();
    if work == "migrate" {
        tell("migrated");
        return;
    }
    let chat = store.last_opened().unwrap();
    for number in 0.. {
        let path = store.read_chat(chat).unwrap().path;
        let parent = path.last().map(|message| message.id);
        let asked = store
            .ask(chat, parent, text(&format!("prompt {number}")), None)
            .unwrap();
        tell(&format!("prompt {}", asked.prompt.id));
        for piece in 0..3 {
            store.grow(asked.answer.id, "word ").unwrap();
            tell(&format!("grown {} {}", asked.answer.id, piece + 1));
        }
        store
            .finish(asked.answer.id, "end", &support::done())
            .unwrap();
        tell(&format!("finished {}", asked.answer.id));
    }
}

/// A line with a mark at its end, so that half a line is known as such.
fn tell(line: &str) {
    let mut pipe = std::io::stderr();
    pipe.write_all(format!("{line}.\n").as_bytes()).unwrap();
}

fn start(work: &str, file: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "work", "--ignored", "--nocapture"])
        .env(WORK, work)
        .env(FILE, file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Other moments in every run.
struct Moments(u64);

impl Moments {
    fn new() -> Moments {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Moments(now.as_nanos() as u64 | 1)
    }

    /// Below `most`.
    fn next(&mut self, most: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        most.mul_f64((self.0 >> 11) as f64 / (1u64 << 53) as f64)
    }
}

fn is_sound(folder: &Folder) {
    let sound: String = folder
        .raw()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
    folder
        .raw()
        .execute(
            "INSERT INTO message_text (message_text) VALUES ('integrity-check')",
            [],
        )
        .unwrap();
}

#[test]
fn fifty_kills_lose_no_acknowledged_message() {
    let folder = Folder::new();
    let mut moments = Moments::new();
    let mut acknowledged: Vec<String> = Vec::new();
    for _ in 0..KILLS {
        let mut child = start("write", &folder.path());
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(told.any(|line| line.unwrap() == "ready."));
        let moment = moments.next(Duration::from_millis(250));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(moment);
            child.kill().unwrap();
            child.wait().unwrap();
        });
        // What was written to the pipe before the kill is still read from it.
        let lines = told.map_while(Result::ok);
        let whole = lines.filter_map(|line| line.strip_suffix('.').map(str::to_owned));
        acknowledged.extend(whole.filter(|line| line.contains(' ')));
        killer.join().unwrap();
    }
    assert!(acknowledged.len() > KILLS, "only {}", acknowledged.len());

    let mut store = folder.open();
    let chat = store.last_opened().unwrap();
    let path = store.read_chat(chat).unwrap().path;
    let kept = |id: &str| path.iter().find(|message| message.id.to_string() == id);
    let mut lost = Vec::new();
    for line in &acknowledged {
        let words: Vec<&str> = line.split(' ').collect();
        let message = kept(words[1]);
        let there = message.is_some_and(|message| match words[0] {
            "prompt" => message.text.starts_with("prompt "),
            "grown" => {
                let pieces: usize = words.get(2).and_then(|n| n.parse().ok()).unwrap_or(0);
                message.text.matches("word ").count() >= pieces
            }
            _ => message.text.ends_with("end") && message.state == MessageState::Done,
        });
        if !there {
            lost.push(line);
        }
    }
    assert!(lost.is_empty(), "lost of {}: {lost:?}", acknowledged.len());
    let writing = path.iter().filter(|m| m.state == MessageState::Writing);
    assert_eq!(writing.count(), 0, "whoever was killed writes no more");
    let cut = path.iter().filter(|m| m.state == MessageState::Interrupted);
    assert!(cut.count() <= KILLS);
    eprintln!(
        "{} acknowledged, 0 lost in {KILLS} kills",
        acknowledged.len()
    );
    drop(store);
    is_sound(&folder);
}

/// A file of the first version, large enough that bringing it up takes a while.
fn old_file(folder: &Folder) {
    let mut raw = folder.raw();
    raw.execute_batch(include_str!("../src/schema/1.sql"))
        .unwrap();
    let transaction = raw.transaction().unwrap();
    transaction
        .execute(
            "INSERT INTO chat (id, origin, title, created, changed) VALUES (1, 'x', 'old', 5, 5)",
            [],
        )
        .unwrap();
    for number in 0..MESSAGES {
        let words: String = (0..60)
            .map(|word| format!("w{} ", number * 7 + word * 31))
            .collect();
        transaction
            .execute(
                "INSERT INTO message (chat, parent, role, text, created, state)
                 VALUES (1, nullif(?1, 0), ?2, ?3, 5, 'done')",
                rusqlite::params![number as i64, ["user", "assistant"][number % 2], words],
            )
            .unwrap();
    }
    transaction.commit().unwrap();
    raw.pragma_update(None, "user_version", 1).unwrap();
}

#[test]
fn twenty_kills_while_the_layout_changes_lose_nothing() {
    let template = Folder::new();
    old_file(&template);
    let mut moments = Moments::new();
    // How long it takes here when nobody interferes.
    let trial = Folder::new();
    std::fs::copy(template.path(), trial.path()).unwrap();
    let began = std::time::Instant::now();
    let mut child = start("migrate", &trial.path());
    assert!(child.wait().unwrap().success());
    let whole = began.elapsed();

    let (mut before, mut after) = (0, 0);
    for _ in 0..KILLS_WHILE_MIGRATING {
        let folder = Folder::new();
        std::fs::copy(template.path(), folder.path()).unwrap();
        let mut child = start("migrate", &folder.path());
        std::thread::sleep(moments.next(whole));
        child.kill().unwrap();
        child.wait().unwrap();
        let raw = folder.raw();
        let version: u32 = raw
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        match version {
            1 => before += 1,
            SCHEMA_VERSION => after += 1,
            half => panic!("version {half}"),
        }
        drop(raw);
        let store = folder.open();
        assert_eq!(store.read_chat(1).unwrap().path.len(), MESSAGES);
        assert!(!store.search("w31").unwrap().is_empty());
        drop(store);
        is_sound(&folder);
    }
    eprintln!("killed {before} times before the change was whole, {after} times after");
}
