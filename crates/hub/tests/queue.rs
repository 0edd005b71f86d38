//! The queue of downloads, also across restarts of the app.

mod support;

use std::path::Path;
use std::time::Duration;

use moestro_hub::{JobState, Queue, Selection, Supported, variants};
use support::Answer;
use support::hub::{TestHub, block_on};

const MIB: usize = 1 << 20;

fn hub() -> (TestHub, Vec<Selection>) {
    let mut hub = TestHub::new();
    for (name, seed) in [("model-Q4_K_M.gguf", 1), ("model-Q8_0.gguf", 2)] {
        hub.file(name, &support::noise(12 * MIB, seed), true);
    }
    hub.ready();
    let repository = hub.repository().unwrap();
    let found = variants(&repository, &Supported::default());
    let selections = found.iter().map(|v| v.selection(&repository)).collect();
    (hub, selections)
}

fn open(folder: &Path, hub: &TestHub) -> Queue {
    let (queue, notice) = Queue::open(folder, hub.fetcher()).unwrap();
    assert_eq!(notice, None);
    queue
}

/// Runs the queue until `reached` says so.
async fn until(queue: &Queue, reached: impl Fn(&Queue) -> bool) {
    let wait = async {
        while !reached(queue) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = queue.run(|| ()) => {}
        done = tokio::time::timeout(Duration::from_secs(60), wait) => {
            assert!(done.is_ok(), "{:?}", queue.view());
        }
    }
}

fn states(queue: &Queue) -> Vec<JobState> {
    queue.view().into_iter().map(|job| job.state).collect()
}

#[test]
fn downloads_run_in_order_and_are_remembered_as_done() {
    let (hub, selections) = hub();
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), &hub);
    for (i, selection) in selections.iter().enumerate() {
        queue.add(format!("model {i}"), selection.clone()).unwrap();
        // The same again is the same download.
        queue.add(format!("model {i}"), selection.clone()).unwrap();
    }
    block_on(until(&queue, Queue::is_idle));
    assert_eq!(states(&queue), [JobState::Done, JobState::Done]);
    assert!(
        queue
            .view()
            .iter()
            .all(|job| job.path.exists() && job.present == job.total)
    );
    drop(queue);
    let queue = open(folder.path(), &hub);
    assert_eq!(states(&queue), [JobState::Done, JobState::Done]);
    queue.clear_done().unwrap();
    assert!(queue.view().is_empty());
}

#[test]
fn a_download_goes_on_after_the_app_was_closed_in_the_middle() {
    let (hub, selections) = hub();
    let folder = tempfile::tempdir().unwrap();
    hub.server.rule(|_, _| Answer::Slow(4 << 20));
    let queue = open(folder.path(), &hub);
    queue.add("model".into(), selections[0].clone()).unwrap();
    block_on(until(&queue, |queue| {
        queue.view()[0].present > 5 * MIB as u64
    }));
    drop(queue);
    let sent = hub.server.sent();
    hub.server.rule(|_, _| Answer::Good);
    let queue = open(folder.path(), &hub);
    assert_eq!(states(&queue), [JobState::Queued]);
    assert!(
        queue.view()[0].present > 0,
        "what is here is shown before it runs"
    );
    block_on(until(&queue, Queue::is_idle));
    assert_eq!(states(&queue), [JobState::Done]);
    assert!(hub.server.sent() - sent < 12 * MIB as u64);
}

#[test]
fn pausing_keeps_and_cancelling_frees() {
    let (hub, selections) = hub();
    let folder = tempfile::tempdir().unwrap();
    hub.server.rule(|_, _| Answer::Slow(2 << 20));
    let queue = open(folder.path(), &hub);
    let id = queue.add("model".into(), selections[0].clone()).unwrap();
    block_on(async {
        until(&queue, |queue| queue.view()[0].present > 5 * MIB as u64).await;
        queue.pause(id).unwrap();
        until(&queue, |queue| queue.view()[0].file_number == 0).await;
        assert_eq!(states(&queue), [JobState::Paused]);
        assert!(queue.view()[0].present >= 2 * MIB as u64);
        let blobs = hub.cache.path().join("models--org--model/blobs");
        assert_eq!(std::fs::read_dir(&blobs).unwrap().count(), 2);
        assert!(queue.cancel(id).await.unwrap() > MIB as u64);
        assert_eq!(std::fs::read_dir(&blobs).unwrap().count(), 0);
    });
    assert!(queue.view().is_empty());
}

#[test]
fn a_failure_says_why_and_can_be_tried_again() {
    let (hub, selections) = hub();
    let folder = tempfile::tempdir().unwrap();
    hub.server.rule(|_, _| Answer::Status(404, vec![]));
    let queue = open(folder.path(), &hub);
    let id = queue.add("model".into(), selections[0].clone()).unwrap();
    block_on(until(&queue, Queue::is_idle));
    let JobState::Failed { message, temporary } = &states(&queue)[0] else {
        panic!("{:?}", queue.view());
    };
    assert!(message.contains("not found") && !temporary, "{message}");
    hub.server.rule(|_, _| Answer::Good);
    queue.resume(id).unwrap();
    block_on(until(&queue, Queue::is_idle));
    assert_eq!(states(&queue), [JobState::Done]);
}

#[test]
fn one_process_has_the_queue_and_a_damaged_list_is_set_aside() {
    let (hub, _) = hub();
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), &hub);
    let second = Queue::open(folder.path(), hub.fetcher())
        .unwrap_err()
        .to_string();
    assert!(second.contains("another window"), "{second}");
    drop(queue);
    std::fs::write(folder.path().join("downloads.json"), "{").unwrap();
    let (queue, notice) = Queue::open(folder.path(), hub.fetcher()).unwrap();
    assert!(notice.unwrap().contains("damaged") && queue.view().is_empty());
    assert!(folder.path().join("downloads.damaged.json").exists());
}
