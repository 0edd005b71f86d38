//! One file on the server: asks for its bytes from a position on, follows
//! redirects to where they really are, and checks that the answer is about them.

use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, ETAG, HeaderMap, LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, Url};

use crate::error::HubError;
use crate::locked;
use crate::names::Digest;

/// Redirects followed before the server is called broken.
const MOST_REDIRECTS: usize = 8;

/// Where a file is and what it should be.
pub(crate) struct RemoteFile<'a> {
    pub client: &'a Client,
    /// Sent only to the host of `url`.
    pub token: Option<&'a str>,
    pub url: Url,
    /// For messages.
    pub name: String,
    pub page: String,
    pub size: u64,
    pub digest: &'a Digest,
    /// How long a server may think before it answers.
    pub patience: Duration,
    /// The address the last redirect led to, which is usually signed and expires.
    pub signed: Mutex<Option<Url>>,
}

/// Bytes of the file from `position` on.
pub(crate) struct Body {
    pub response: Response,
    pub position: u64,
    /// False if the server does not know ranges and sends the file from its start.
    pub is_range: bool,
}

/// Why a request failed, and what to do about it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub error: HubError,
    pub retry: Retry,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Retry {
    /// It would not help.
    Never,
    /// A few times; then the server means it.
    Few,
    /// When other requests are done.
    NotNow,
    /// As long as there is patience, the first time after this pause.
    Soon(Option<Duration>),
}

impl RemoteFile<'_> {
    /// Asks for the bytes `from..to`.
    pub async fn get(&self, from: u64, to: u64) -> Result<Body, Fault> {
        let known = locked(&self.signed).clone();
        let mut url = known.clone().unwrap_or_else(|| self.url.clone());
        for _ in 0..MOST_REDIRECTS {
            let response = self.ask(&url, from, to).await?;
            if self.is_home(&url) {
                self.check_unchanged(response.headers())?;
            }
            if !response.status().is_redirection() {
                if !self.is_home(&url) {
                    if has_expired(response.status()) {
                        *locked(&self.signed) = None;
                        return Err(self.refused(&url, &response));
                    }
                    *locked(&self.signed) = Some(url.clone());
                }
                return self.body(&url, response, from).await;
            }
            let next = response.headers().get(LOCATION);
            let next = next.and_then(|to| url.join(to.to_str().ok()?).ok());
            url = match next {
                Some(next) if matches!(next.scheme(), "http" | "https") => next,
                _ => return Err(self.malformed(&url, "a redirect leads nowhere")),
            };
        }
        *locked(&self.signed) = None;
        Err(self.malformed(&self.url, "it redirects in a circle"))
    }

    /// The bytes `from..to`, which must be few: they are kept in memory.
    pub async fn bytes(&self, from: u64, to: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        if from == to {
            return Ok(bytes);
        }
        let mut body = self.get(from, to).await?;
        let skip = from - body.position;
        let end = to - body.position;
        let cut = |cause: String| Fault {
            error: HubError::Unreachable {
                place: place(&self.url),
                cause,
            },
            retry: Retry::Soon(None),
        };
        while (bytes.len() as u64) < end {
            let chunk = tokio::time::timeout(self.patience, body.response.chunk()).await;
            match chunk {
                Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
                Ok(Ok(None)) => return Err(cut("the answer ended too early".into())),
                Ok(Err(e)) => return Err(cut(root_cause(&e))),
                Err(_) => return Err(cut("no data came".into())),
            }
        }
        bytes.truncate(end as usize);
        bytes.drain(..skip as usize);
        Ok(bytes)
    }

    async fn ask(&self, url: &Url, from: u64, to: u64) -> Result<Response, Fault> {
        let mut request = self
            .client
            .get(url.clone())
            .header(RANGE, format!("bytes={from}-{}", to - 1))
            // Compressed bytes have other positions.
            .header(ACCEPT_ENCODING, "identity");
        if let Some(token) = self.token.filter(|_| self.is_home(url)) {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let unreachable = |cause: String| Fault {
            error: HubError::Unreachable {
                place: place(url),
                cause,
            },
            retry: Retry::Soon(None),
        };
        match tokio::time::timeout(self.patience, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(unreachable(root_cause(&error))),
            Err(_) => Err(unreachable(format!(
                "no answer for {} s",
                self.patience.as_secs()
            ))),
        }
    }

    async fn body(&self, url: &Url, response: Response, from: u64) -> Result<Body, Fault> {
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = content_range(response.headers());
                match range {
                    Some((start, total))
                        if start == from && total.is_none_or(|t| t == self.size) =>
                    {
                        Ok(Body {
                            response,
                            position: from,
                            is_range: true,
                        })
                    }
                    Some((start, Some(total))) if start == from => Err(self.other_size(total)),
                    _ => {
                        Err(self.malformed(url, "it sent another part of the file than asked for"))
                    }
                }
            }
            StatusCode::OK => match response.content_length() {
                Some(length) if length != self.size => Err(self.other_size(length)),
                _ => Ok(Body {
                    response,
                    position: 0,
                    is_range: false,
                }),
            },
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let text = response.headers().get(CONTENT_RANGE);
                let total =
                    text.and_then(|t| t.to_str().ok()?.strip_prefix("bytes */")?.parse().ok());
                Err(self.other_size(total.unwrap_or(0)))
            }
            _ => Err(self.refused(url, &response)),
        }
    }

    /// Does a header that carries the file's checksum still carry ours?
    fn check_unchanged(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let tag = headers.get("x-linked-etag").or(headers.get(ETAG));
        let tag = tag.and_then(|tag| tag.to_str().ok()).unwrap_or_default();
        let tag = tag.trim_start_matches("W/").trim_matches('"');
        let same_kind = matches!(
            (tag.parse(), self.digest),
            (Ok(Digest::Sha256(_)), Digest::Sha256(_))
                | (Ok(Digest::GitBlob(_)), Digest::GitBlob(_))
        );
        if same_kind && tag != self.digest.hex() {
            let file = self.name.clone();
            return Err(Fault {
                error: HubError::Changed { file },
                retry: Retry::Never,
            });
        }
        Ok(())
    }

    /// A status that is no success.
    fn refused(&self, url: &Url, response: &Response) -> Fault {
        let status = response.status();
        let header = |name| Some(response.headers().get(name)?.to_str().ok()?.to_string());
        let code = header("x-error-code").unwrap_or_default();
        if !self.is_home(url) && has_expired(status) {
            // The next request asks for a new address.
            return Fault {
                error: status_error(url, status, &code),
                retry: Retry::Few,
            };
        }
        let (error, retry) = match status.as_u16() {
            401 | 403 if code == "GatedRepo" => (
                HubError::Gated {
                    repo: self.name.clone(),
                    page: self.page.clone(),
                },
                Retry::Never,
            ),
            401 if code == "RepoNotFound" => (self.not_found(), Retry::Never),
            401 | 403 => (
                HubError::Denied {
                    place: place(url),
                    what: self.name.clone(),
                },
                Retry::Never,
            ),
            404 | 410 => (self.not_found(), Retry::Never),
            429 | 503 => {
                let after = header(RETRY_AFTER.as_str()).and_then(|t| t.trim().parse().ok());
                let after = after.map(|s: u64| Duration::from_secs(s.min(300)));
                let place = place(url);
                (HubError::Busy { place, after }, Retry::Soon(after))
            }
            408 | 425 | 500.. => (status_error(url, status, &code), Retry::Soon(None)),
            _ => (status_error(url, status, &code), Retry::Never),
        };
        Fault { error, retry }
    }

    fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.url.origin()
    }

    fn not_found(&self) -> HubError {
        HubError::NotFound {
            what: self.name.clone(),
        }
    }

    fn other_size(&self, found: u64) -> Fault {
        Fault {
            error: HubError::OtherSize {
                file: self.name.clone(),
                expected: self.size,
                found,
            },
            retry: Retry::Few,
        }
    }

    fn malformed(&self, url: &Url, problem: &str) -> Fault {
        Fault {
            error: HubError::Malformed {
                place: place(url),
                problem: problem.into(),
            },
            retry: Retry::Few,
        }
    }
}

fn status_error(url: &Url, status: StatusCode, code: &str) -> HubError {
    let code: String = code
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(60)
        .collect();
    HubError::Status {
        place: place(url),
        status: status.as_u16(),
        detail: if code.is_empty() {
            code
        } else {
            format!(" ({code})")
        },
    }
}

/// What a signed address answers when its time is over.
fn has_expired(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 401 | 403 | 404 | 410)
}

fn place(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.into(),
        _ => "the server".into(),
    }
}

/// First byte and, if given, length of the whole: `bytes 0-99/1234`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.trim().parse().ok()?;
    match total.trim() {
        "*" => Some((start, None)),
        total => Some((start, Some(total.parse().ok()?))),
    }
}

/// The innermost reason, which is the one a person can act on.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
