//! The HTTP clients: one that fetches files by own rules, one for the Hub's API.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Url};

use crate::error::{HubError, Result};
use crate::names::{Commit, FilePath, RepoId};

const CONNECT: Duration = Duration::from_secs(15);
/// A whole answer of the API.
const API: Duration = Duration::from_secs(60);
const API_SILENCE: Duration = Duration::from_secs(20);
const AGENT: &str = concat!("moestro/", env!("CARGO_PKG_VERSION"));

/// Proxies come from the usual variables. Redirects are left to the caller, who
/// must not send the token to another host. Version 1.1, because streams of one
/// HTTP/2 connection share its fate and its speed.
pub(crate) fn for_files() -> Result<Client> {
    made(|| {
        Client::builder()
            .user_agent(AGENT)
            .connect_timeout(CONNECT)
            .redirect(Policy::none())
            .http1_only()
    })
}

pub(crate) fn for_api() -> Result<Client> {
    made(|| {
        Client::builder()
            .user_agent(AGENT)
            .connect_timeout(CONNECT)
            .timeout(API)
            .read_timeout(API_SILENCE)
    })
}

/// On a system without any certificates the first attempt fails. Then every server is
/// distrusted, and whoever asks one is told so; all else goes on.
fn made(settings: impl Fn() -> ClientBuilder) -> Result<Client> {
    let client = settings().build();
    let client = client.or_else(|_| settings().tls_certs_only([]).build());
    client.map_err(|e| HubError::Request(format!("no HTTP client could be made: {e}")))
}

/// `{endpoint}/{repo}/resolve/{commit}/{file}`.
pub(crate) fn file_url(
    endpoint: &str,
    repo: &RepoId,
    commit: &Commit,
    file: &FilePath,
) -> Result<Url> {
    let invalid = || {
        let problem = "HF_ENDPOINT must be an address such as https://huggingface.co";
        HubError::name("server", endpoint, problem)
    };
    let mut url = Url::parse(endpoint).map_err(|_| invalid())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid());
    }
    {
        let mut path = url.path_segments_mut().map_err(|()| invalid())?;
        path.pop_if_empty().extend(repo.as_str().split('/'));
        path.extend(["resolve", commit.as_str()]);
        path.extend(file.as_str().split('/'));
    }
    Ok(url)
}
