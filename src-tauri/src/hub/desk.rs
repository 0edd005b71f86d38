//! What the commands share: the Hub as the environment and the access token say,
//! the queue of downloads, and what was learned about this machine.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moestro_engine::hardware;
use moestro_engine::verdict::{self, Bandwidth};
use moestro_hub::{
    Cache, Environment, Fetcher, Hub, HubError, Options, Queue, RepoId, Repository, Stop, Supported,
};
use tokio::sync::OnceCell;

/// Everything about the Hub; made once, when the application starts.
pub struct Desk {
    state: Mutex<Connection>,
    /// The downloads, or why this process does not have them.
    queue: Result<Queue, String>,
    repositories: Mutex<HashMap<RepoId, Arc<Repository>>>,
    bandwidth: OnceCell<Bandwidth>,
    /// Ends a check of checksums that is running.
    pub checking: Mutex<Option<Stop>>,
}

struct Connection {
    environment: Environment,
    hub: Hub,
    fetcher: Fetcher,
}

impl Connection {
    fn new(environment: Environment) -> Result<Connection, HubError> {
        Ok(Connection {
            hub: Hub::new(environment.clone())?,
            fetcher: Fetcher::new(environment.clone(), Options::default())?,
            environment,
        })
    }
}

impl Desk {
    /// Takes up the downloads that `folder` remembers. The second value is for
    /// the person to read.
    pub fn open(folder: &Path) -> Result<(Desk, Option<String>), HubError> {
        let environment = Environment::read();
        let (connection, refused) = match Connection::new(environment.clone()) {
            Ok(connection) => (connection, None),
            // A mistyped HF_ENDPOINT must not keep the window shut.
            Err(error) => {
                let endpoint = Environment::ENDPOINT.into();
                let usual = Environment {
                    endpoint,
                    ..environment
                };
                (Connection::new(usual)?, Some(error.to_string()))
            }
        };
        let (queue, notice) = match Queue::open(folder, connection.fetcher.clone()) {
            Ok((queue, notice)) => (Ok(queue), notice),
            Err(error) => (Err(error.to_string()), None),
        };
        let desk = Desk {
            state: Mutex::new(connection),
            queue,
            repositories: Mutex::default(),
            bandwidth: OnceCell::new(),
            checking: Mutex::default(),
        };
        Ok((desk, refused.or(notice)))
    }

    pub fn hub(&self) -> Hub {
        locked(&self.state).hub.clone()
    }

    pub fn fetcher(&self) -> Fetcher {
        locked(&self.state).fetcher.clone()
    }

    pub fn cache(&self) -> Cache {
        locked(&self.state).fetcher.cache.clone()
    }

    pub fn environment(&self) -> Environment {
        locked(&self.state).environment.clone()
    }

    pub fn queue(&self) -> Result<&Queue, HubError> {
        self.queue
            .as_ref()
            .map_err(|e| HubError::Request(e.clone()))
    }

    /// The repository as it was when its page was opened, so that what is fetched
    /// is what was shown.
    pub async fn repository(&self, repo: &RepoId, anew: bool) -> Result<Arc<Repository>, HubError> {
        let known = locked(&self.repositories).get(repo).cloned();
        if let Some(known) = known.filter(|_| !anew) {
            return Ok(known);
        }
        let hub = self.hub();
        let found = Arc::new(
            hub.repository(repo, &moestro_hub::Revision::default())
                .await?,
        );
        locked(&self.repositories).insert(repo.clone(), found.clone());
        Ok(found)
    }

    /// Measured once, at the first question that needs it.
    pub async fn bandwidth(&self) -> Bandwidth {
        let root = self.cache().root;
        let measure = || async {
            let work = move || verdict::measure(hardware::probe().physical_cores, &root);
            tokio::task::spawn_blocking(work)
                .await
                .unwrap_or(Bandwidth {
                    memory: 10e9,
                    disk: 500e6,
                })
        };
        *self.bandwidth.get_or_init(measure).await
    }

    /// Saves an access token where Hugging Face's tools keep it, readable by this
    /// user only; an empty one is removed.
    pub fn set_token(&self, token: &str) -> Result<(), HubError> {
        let mut environment = self.environment();
        let token = token.trim();
        let path = environment.home.join("token");
        if token.is_empty() {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(cannot_save(path, e));
                }
                _ => environment.token = None,
            }
        } else {
            if token.len() > 1000 || !token.bytes().all(|b| b.is_ascii_graphic()) {
                let message = "an access token is one word, such as hf_…; copy it again";
                return Err(HubError::Request(message.into()));
            }
            save_secret(&path, token).map_err(|e| cannot_save(path.clone(), e))?;
            environment.token = Some(token.into());
        }
        let limit = self.fetcher().limit;
        let mut connection = Connection::new(environment)?;
        connection.fetcher.limit = limit;
        if let Ok(queue) = &self.queue {
            queue.set_fetcher(connection.fetcher.clone());
        }
        *locked(&self.state) = connection;
        Ok(())
    }
}

fn save_secret(path: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn cannot_save(path: PathBuf, source: std::io::Error) -> HubError {
    HubError::Disk {
        path,
        action: "the access token cannot be saved",
        source,
    }
}

/// What the engine of this application can read.
pub fn supported() -> Supported {
    Supported {
        model_types: verdict::model_types(),
        formats: verdict::formats(),
    }
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
