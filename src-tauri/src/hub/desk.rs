//! What the commands share: the Hub as the environment and the access token say,
//! the queue of downloads, and what was learned about this machine.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moestro_engine::bandwidth_file;
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
    bandwidth: OnceCell<Option<Bandwidth>>,
    token_sought: OnceCell<()>,
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
            token_sought: OnceCell::new(),
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
        self.find_token().await;
        let hub = self.hub();
        let found = Arc::new(
            hub.repository(repo, &moestro_hub::Revision::default())
                .await?,
        );
        locked(&self.repositories).insert(repo.clone(), found.clone());
        Ok(found)
    }

    /// Of this machine with as many threads; remembered, or measured at the first
    /// question that needs it.
    pub async fn bandwidth(&self, threads: usize) -> Option<Bandwidth> {
        let root = self.cache().root;
        let measure = || async {
            let store = bandwidth_file();
            let work = move || verdict::bandwidth(threads, &root, store.as_deref());
            tokio::task::spawn_blocking(work).await.ok()
        };
        *self.bandwidth.get_or_init(measure).await
    }

    /// Asks the keyring of the system for the access token, once; later calls wait
    /// for the first. Takes a few seconds at most.
    pub async fn find_token(&self) {
        let ask = || async {
            let mut environment = self.environment();
            environment.ask_keyring().await;
            if environment != self.environment() {
                // It is as good as the one before, which was accepted.
                let _ = self.connect(environment);
            }
        };
        self.token_sought.get_or_init(ask).await;
    }

    /// Keeps an access token for all later runs; an empty one is forgotten.
    pub async fn set_token(&self, token: &str) -> Result<(), HubError> {
        self.find_token().await;
        let mut environment = self.environment();
        match token.trim() {
            "" => environment.forget_token().await?,
            token => environment.save_token(token).await?,
        }
        self.connect(environment)
    }

    /// Lets the person unlock the keyring that holds the access token.
    pub async fn unlock_token(&self) -> Result<(), HubError> {
        let mut environment = self.environment();
        environment.unlock_token().await?;
        self.connect(environment)
    }

    /// From now on everything uses this environment.
    fn connect(&self, environment: Environment) -> Result<(), HubError> {
        let mut connection = Connection::new(environment)?;
        connection.fetcher.limit = self.fetcher().limit;
        if let Ok(queue) = &self.queue {
            queue.set_fetcher(connection.fetcher.clone());
        }
        *locked(&self.state) = connection;
        Ok(())
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
