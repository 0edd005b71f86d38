//! One of several connections that fetch a file together: claims blocks, asks
//! for them, writes them down, and tries again when the network fails.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::time::timeout;

use super::limit::RateLimit;
use super::partial::{BLOCK, Partial, block_bytes};
use super::plan::{Plan, Run};
use super::progress::{Phase, Progress};
use super::server::{Fault, RemoteFile, Retry, root_cause};
use super::space;
use super::{Options, cache_folder};
use crate::error::{HubError, Result};

/// Attempts at something that will likely fail again in the same way.
const FEW: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// While there is nothing to claim: other connections may give blocks back.
const IDLE: Duration = Duration::from_millis(100);

/// What the connections of one file share.
pub(super) struct Shared<'a> {
    pub remote: &'a RemoteFile<'a>,
    pub plan: &'a Plan,
    pub partial: &'a Partial,
    pub progress: &'a Progress,
    pub limit: &'a RateLimit,
    pub options: &'a Options,
    /// When the last byte came in over any connection, in ms since `started`.
    pub last_byte: AtomicU64,
    pub started: Instant,
}

/// A run with what is known of the block that is being received.
struct Position {
    run: Run,
    /// Bytes of block `run.next` that are written, and their CRC-32 so far.
    inside: u64,
    crc: crc32fast::Hasher,
}

impl Shared<'_> {
    /// Fetches until the file is complete.
    pub async fn work(&self) -> Result<()> {
        let mut failures = 0;
        while !self.plan.has_ended() {
            let Some(run) = self.plan.claim(self.options.connections) else {
                if self.plan.all_here() {
                    self.progress.set_phase(Phase::Verifying);
                }
                tokio::time::sleep(IDLE).await;
                continue;
            };
            self.check_disk()?;
            let mut at = Position {
                run,
                inside: 0,
                crc: crc32fast::Hasher::new(),
            };
            let done = self.fetch(&mut at, &mut failures).await;
            self.progress.remove_present(at.inside);
            self.plan.release(&at.run);
            done?;
        }
        Ok(())
    }

    /// Fetches one run, however often the connection breaks.
    async fn fetch(&self, at: &mut Position, failures: &mut u32) -> Result<()> {
        let mut refused = 0;
        loop {
            let before = (at.run.next, at.inside);
            let Err(fault) = self.stream(at).await else {
                *failures = 0;
                return Ok(());
            };
            if (at.run.next, at.inside) != before {
                (*failures, refused) = (0, 0);
            }
            *failures += 1;
            match fault.retry {
                Retry::Never => return Err(fault.error),
                // Somebody else reads the file from its start.
                Retry::NotNow => return Ok(()),
                Retry::Few => refused += 1,
                Retry::Soon(_) => {}
            }
            if refused >= FEW {
                return Err(fault.error);
            }
            if self.plan.has_ended() {
                return Ok(());
            }
            let waited = self.silence();
            if waited >= self.options.patience {
                return Err(HubError::GaveUp {
                    file: self.remote.name.clone(),
                    waited,
                    cause: fault.error.to_string(),
                });
            }
            let cause = fault.error.to_string();
            self.progress.set_phase(Phase::Retrying { cause });
            let pause = match fault.retry {
                Retry::Soon(Some(asked)) => asked,
                _ => backoff(*failures),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// One request and its answer.
    async fn stream(&self, at: &mut Position) -> std::result::Result<(), Fault> {
        let size = self.remote.size;
        let end = (at.run.end as u64 * BLOCK).min(size);
        let from = at.run.next as u64 * BLOCK + at.inside;
        let mut body = self.remote.get(from, end).await?;
        let mut skip = from - body.position;
        if !body.is_range {
            self.plan.only_whole();
            if from > 0 && self.plan.has_others(&at.run) {
                let mut fault = self.lost("this server sends whole files only".into());
                fault.retry = Retry::NotNow;
                return Err(fault);
            }
        }
        let mut position = from;
        while position < end {
            let wait = timeout(self.options.stall, body.response.chunk()).await;
            let chunk = match wait {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Err(self.lost("it ended before the file did".into())),
                Ok(Err(e)) => return Err(self.lost(root_cause(&e))),
                Err(_) => {
                    let waited = self.options.stall.as_secs_f32();
                    return Err(self.lost(format!("no data came for {waited:.0} s")));
                }
            };
            self.heard(chunk.len());
            let skipped = (chunk.len() as u64).min(skip);
            skip -= skipped;
            let rest = &chunk[skipped as usize..];
            // More than was asked for is not looked at.
            let rest = &rest[..rest.len().min((end - position) as usize)];
            self.write(at, rest).map_err(|error| Fault {
                error,
                retry: Retry::Never,
            })?;
            position += rest.len() as u64;
            if !rest.is_empty() {
                self.progress.set_phase(Phase::Downloading);
            }
            self.limit.took(chunk.len()).await;
        }
        Ok(())
    }

    fn write(&self, at: &mut Position, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let i = at.run.next;
            let whole = block_bytes(i, self.remote.size);
            let take = bytes.len().min((whole - at.inside) as usize);
            let (now, later) = bytes.split_at(take);
            self.partial.write(i as u64 * BLOCK + at.inside, now)?;
            at.crc.update(now);
            at.inside += take as u64;
            self.progress.add_present(take as u64);
            if at.inside == whole {
                let crc = std::mem::take(&mut at.crc).finalize();
                self.partial.mark(i, crc)?;
                self.plan.arrived(i, crc);
                at.run.next += 1;
                at.inside = 0;
            }
            bytes = later;
        }
        Ok(())
    }

    fn check_disk(&self) -> Result<()> {
        let folder = cache_folder(&self.partial.path);
        if self.partial.is_gone() {
            return Err(HubError::FolderGone(folder.into()));
        }
        // Of what is missing, all that is not yet written takes space.
        let missing = self.plan.missing_bytes(self.remote.size);
        match space::free(folder) {
            Some(free) if free < missing => Err(HubError::Space {
                folder: folder.into(),
                free,
                needed: missing,
            }),
            _ => Ok(()),
        }
    }

    fn heard(&self, bytes: usize) {
        self.progress.add_received(bytes as u64);
        let now = self.started.elapsed().as_millis() as u64;
        self.last_byte.store(now, Ordering::Relaxed);
    }

    /// How long no connection has received anything.
    fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last_byte.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }

    fn lost(&self, cause: String) -> Fault {
        Fault {
            error: HubError::Unreachable {
                place: self.remote.url.host_str().unwrap_or("the server").into(),
                cause: format!("the connection was lost: {cause}"),
            },
            retry: Retry::Soon(None),
        }
    }
}

/// Longer after each failure, and never the same for two connections.
fn backoff(failures: u32) -> Duration {
    let pause = FIRST_PAUSE * 2u32.pow(failures.saturating_sub(1).min(10));
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let random = f64::from(nanos.map_or(0, |t| t.subsec_nanos()) % 1000) / 1000.0;
    pause.min(LONGEST_PAUSE).mul_f64(0.75 + random / 2.0)
}
