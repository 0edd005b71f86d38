//! The downloads of an app: one at a time, in order, remembered on disk so that
//! they go on after the window was closed, the app updated or the power lost.

mod file;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::error::{HubError, Result};
use crate::fetch::{Fetcher, Phase, Stop};
use crate::locked;
use crate::pull::{Meter, PullProgress, Selection, pull};

pub use file::QueueFile;

/// A download as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: u64,
    /// For the person: repository and variant.
    pub name: String,
    pub selection: Selection,
    pub state: JobState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// Its turn comes after those before it.
    Queued,
    Running,
    Paused,
    Failed {
        message: String,
        /// It is tried again by itself, since the network may be back by then.
        #[serde(default)]
        temporary: bool,
    },
    Done,
}

/// A download as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct JobView {
    pub id: u64,
    pub name: String,
    pub repo: String,
    #[serde(flatten)]
    pub state: JobState,
    pub total: u64,
    pub present: u64,
    /// Of the moment, while it runs.
    pub bytes_per_second: f64,
    pub seconds_left: Option<u64>,
    pub phase: Phase,
    /// File being fetched, and how many there are.
    pub file: String,
    pub file_number: usize,
    pub files: usize,
    /// Where the model is opened once it is done.
    pub path: PathBuf,
}

/// Clones are the same queue.
#[derive(Debug, Clone)]
pub struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fetcher: Mutex<Fetcher>,
    file: QueueFile,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    jobs: Vec<Job>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    id: u64,
    stop: Stop,
    progress: PullProgress,
    meter: Meter,
}

/// Pause before a download that the network ended is begun again by itself.
const AGAIN: Duration = Duration::from_secs(60);

impl Queue {
    /// Takes up the downloads that `folder` remembers. The second value says what
    /// the person should know about them. Errors if another process has them.
    pub fn open(folder: &Path, fetcher: Fetcher) -> Result<(Queue, Option<String>)> {
        let (file, mut jobs, notice) = QueueFile::open(folder)?;
        for job in &mut jobs {
            // The process that ran it is gone.
            if job.state == JobState::Running {
                job.state = JobState::Queued;
            }
        }
        let queue = Queue(Arc::new(Inner {
            fetcher: Mutex::new(fetcher),
            file,
            state: Mutex::new(State {
                jobs,
                running: None,
            }),
            changed: Notify::new(),
        }));
        Ok((queue, notice))
    }

    /// Adds a download at the end and returns its id. One that is known already
    /// is not added again, but goes on if it was paused or had failed.
    pub fn add(&self, name: String, selection: Selection) -> Result<u64> {
        let mut state = locked(&self.0.state);
        let same = |job: &&mut Job| job.selection == selection;
        let id = match state.jobs.iter_mut().find(same) {
            Some(job) => {
                if job.state != JobState::Running {
                    job.state = JobState::Queued;
                }
                job.id
            }
            None => {
                let id = state.jobs.iter().map(|job| job.id).max().unwrap_or(0) + 1;
                state.jobs.push(Job {
                    id,
                    name,
                    selection,
                    state: JobState::Queued,
                });
                id
            }
        };
        self.save(&state)?;
        Ok(id)
    }

    pub fn pause(&self, id: u64) -> Result<()> {
        self.set(id, JobState::Paused)
    }

    /// Puts a paused or failed download back into the queue.
    pub fn resume(&self, id: u64) -> Result<()> {
        self.set(id, JobState::Queued)
    }

    /// Forgets a download and removes its unfinished files; returns the bytes freed.
    /// Finished files stay.
    pub async fn cancel(&self, id: u64) -> Result<u64> {
        let job = {
            let mut state = locked(&self.0.state);
            let at = state.jobs.iter().position(|job| job.id == id);
            let job = at.map(|at| state.jobs.remove(at));
            state.stop(id);
            self.save(&state)?;
            job
        };
        let Some(job) = job else {
            return Ok(0);
        };
        // Its files may be removed once nothing writes to them.
        while locked(&self.0.state).is_running(id) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if job.state == JobState::Done {
            return Ok(0);
        }
        let cache = self.fetcher().cache;
        job.selection.remove_partials(&cache)
    }

    /// Forgets the downloads that are done.
    pub fn clear_done(&self) -> Result<()> {
        let mut state = locked(&self.0.state);
        state.jobs.retain(|job| job.state != JobState::Done);
        self.save(&state)
    }

    /// Uses another fetcher, as after the access token changed, from the next
    /// download on.
    pub fn set_fetcher(&self, fetcher: Fetcher) {
        *locked(&self.0.fetcher) = fetcher;
    }

    pub fn fetcher(&self) -> Fetcher {
        locked(&self.0.fetcher).clone()
    }

    /// Is nothing running, and nothing waiting to run or to be tried again?
    pub fn is_idle(&self) -> bool {
        let state = locked(&self.0.state);
        let active = |job: &Job| match job.state {
            JobState::Queued | JobState::Running => true,
            JobState::Failed { temporary, .. } => temporary,
            JobState::Paused | JobState::Done => false,
        };
        !state.jobs.iter().any(active)
    }

    /// All downloads, in order; to be called a few times a second.
    pub fn view(&self) -> Vec<JobView> {
        let cache = self.fetcher().cache;
        let mut state = locked(&self.0.state);
        let State { jobs, running } = &mut *state;
        let view = |job: &Job| {
            let files = &job.selection.files;
            let mut view = JobView {
                id: job.id,
                name: job.name.clone(),
                repo: job.selection.repo.to_string(),
                state: job.state.clone(),
                total: job.selection.bytes(),
                present: 0,
                bytes_per_second: 0.0,
                seconds_left: None,
                phase: Phase::Waiting,
                file: String::new(),
                file_number: 0,
                files: files.len(),
                path: job.selection.path(&cache),
            };
            match running.as_mut().filter(|running| running.id == job.id) {
                Some(running) => {
                    let now = running.progress.read();
                    running.meter.note(Instant::now(), now.received);
                    let left = now.total.saturating_sub(now.present);
                    view.bytes_per_second = running.meter.speed();
                    view.seconds_left = running.meter.time_left(left).map(|t| t.as_secs());
                    view.present = now.present;
                    view.file_number = now.file + 1;
                    let file = files.get(now.file).map(|f| f.path.to_string());
                    view.file = file.unwrap_or_default();
                    view.phase = now.phase;
                }
                None if job.state == JobState::Done => view.present = view.total,
                None => view.present = job.selection.present(&cache),
            }
            view
        };
        jobs.iter().map(view).collect()
    }

    /// Runs the downloads; ends only with the future that holds it. `changed` is
    /// called when one begins or ends.
    pub async fn run(&self, changed: impl Fn()) {
        loop {
            let Some((selection, stop, progress)) = self.next() else {
                let woken = tokio::time::timeout(AGAIN, self.0.changed.notified()).await;
                if woken.is_err() {
                    self.try_failed_again();
                }
                continue;
            };
            changed();
            // Also when this future is dropped in the middle.
            let _ended = Ended(self);
            let fetcher = self.fetcher();
            let done = pull(&fetcher, &selection, &progress, &stop).await;
            self.finished(&selection, done);
            changed();
        }
    }

    fn next(&self) -> Option<(Selection, Stop, PullProgress)> {
        let mut state = locked(&self.0.state);
        let queued = |job: &&mut Job| job.state == JobState::Queued;
        let job = state.jobs.iter_mut().find(queued)?;
        job.state = JobState::Running;
        let (id, selection) = (job.id, job.selection.clone());
        let (stop, progress) = (Stop::default(), PullProgress::new(&selection));
        state.running = Some(Running {
            id,
            stop: stop.clone(),
            progress: progress.clone(),
            meter: Meter::default(),
        });
        // Not to be able to note this stops no download.
        let _ = self.save(&state);
        Some((selection, stop, progress))
    }

    fn finished(&self, selection: &Selection, done: Result<PathBuf>) {
        let mut state = locked(&self.0.state);
        state.running = None;
        let mine = |job: &&mut Job| job.selection == *selection;
        if let Some(job) = state.jobs.iter_mut().find(mine)
            && job.state == JobState::Running
        {
            job.state = match done {
                Ok(_) => JobState::Done,
                Err(HubError::Stopped) => JobState::Paused,
                Err(error) => JobState::Failed {
                    message: error.to_string(),
                    temporary: error.is_temporary(),
                },
            };
        }
        let _ = self.save(&state);
    }

    /// What the network or the server ended goes on when they are back.
    fn try_failed_again(&self) {
        let mut state = locked(&self.0.state);
        for job in &mut state.jobs {
            if matches!(
                job.state,
                JobState::Failed {
                    temporary: true,
                    ..
                }
            ) {
                job.state = JobState::Queued;
            }
        }
        let _ = self.save(&state);
    }

    fn set(&self, id: u64, to: JobState) -> Result<()> {
        let mut state = locked(&self.0.state);
        let job = state.jobs.iter_mut().find(|job| job.id == id);
        let Some(job) = job.filter(|job| job.state != JobState::Done) else {
            return Ok(());
        };
        let runs = job.state == JobState::Running;
        if !(runs && to == JobState::Queued) {
            job.state = to;
        }
        if runs && job.state == JobState::Paused {
            state.stop(id);
        }
        self.save(&state)
    }

    fn save(&self, state: &State) -> Result<()> {
        self.0.changed.notify_one();
        self.0.file.save(&state.jobs)
    }
}

/// Nothing runs any more when this is dropped.
struct Ended<'a>(&'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = locked(&self.0.0.state);
        state.running = None;
        for job in &mut state.jobs {
            if job.state == JobState::Running {
                job.state = JobState::Queued;
            }
        }
    }
}

impl State {
    fn stop(&self, id: u64) {
        if let Some(running) = self.running.as_ref().filter(|r| r.id == id) {
            running.stop.stop();
        }
    }

    fn is_running(&self, id: u64) -> bool {
        self.running.as_ref().is_some_and(|r| r.id == id)
    }
}
