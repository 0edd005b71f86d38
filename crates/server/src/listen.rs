//! Accepting connections, within limits that slow and silent clients cannot use up.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum_core::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use moestro_engine::Remote;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::limits::{CONNECTIONS, GOODBYE, HEADER_BYTES, HEADER_TIME, HEADERS, PLACES, WRITE_TIME};
use crate::metrics::Metrics;
use crate::model::{Api, Present, ended};
use crate::patient::Patient;
use crate::routes::answer;
use crate::settings::{ServerError, Settings};
use crate::tickets::{Counter, Observer};

/// A server on threads of its own. Dropping it ends its streams properly.
pub struct Running {
    pub address: SocketAddr,
    end: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a server for the engine behind `remote`.
///
/// Errors: settings that are not safe; an address that is taken.
pub fn start(
    settings: &Settings,
    remote: Remote,
    present: Arc<Present>,
    observer: Observer,
) -> Result<Running, ServerError> {
    let rules = settings.check()?;
    let listener = TcpListener::bind(rules.address).map_err(|source| ServerError::Bind {
        address: rules.address,
        source,
    })?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let (end, ending) = watch::channel(false);
    let api = Arc::new(Api {
        remote,
        present,
        rules: Arc::new(rules),
        places: Arc::new(Semaphore::new(PLACES)),
        metrics: Arc::new(Metrics::default()),
        observer,
        counter: Counter::default(),
        ending: ending.clone(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("api server")
        .enable_all()
        .build()?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let thread = std::thread::Builder::new()
        .name("api server".into())
        .spawn(move || {
            runtime.block_on(accept(listener, api, ending));
            runtime.shutdown_timeout(GOODBYE);
        })?;
    Ok(Running {
        address,
        end,
        thread: Some(thread),
    })
}

impl Running {
    /// Waits until the server has ended.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Ends it: no new connections, running streams are told.
    pub fn end(&self) {
        let _ = self.end.send(true);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    api: Arc<Api>,
    mut ending: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = ended(&mut ending) => break,
        };
        match accepted {
            // Too many: the newest is turned away, the others go on.
            Ok(_) if connections.len() >= CONNECTIONS => {}
            Ok((stream, _)) => {
                connections.spawn(serve(stream, api.clone(), ending.clone()));
            }
            // Out of descriptors, say: others must close first.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GOODBYE, all).await;
}

async fn serve(stream: TcpStream, api: Arc<Api>, mut ending: watch::Receiver<bool>) {
    // Tokens are small and should not wait for each other.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let api = api.clone();
        async move { Ok::<_, Infallible>(answer(api, request.map(Body::new)).await) }
    });
    let io = TokioIo::new(Patient::new(stream, WRITE_TIME));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = ended(&mut ending) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
