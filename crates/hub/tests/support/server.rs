//! The server: files by path, and a rule that decides how each request goes.

use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::Request;

/// How one request is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// As it should be.
    Good,
    /// Headers of a good answer plus these.
    With(Vec<(&'static str, String)>),
    Status(u16, Vec<(&'static str, String)>),
    /// A good answer, and a reset after this many bytes of the body.
    Reset(u64),
    /// A good answer, and an orderly end after this many bytes.
    Close(u64),
    /// Nothing more comes after this many bytes, but the connection stays.
    Stall(u64),
    /// Not even a header comes.
    Silence,
    /// Bytes of the right number, of which some are wrong.
    Wrong,
    /// A length of this many bytes fewer or more than the file has, everywhere.
    OtherLength(i64),
    /// 200 and the whole file, whatever range was asked for.
    Whole,
    /// A range that begins elsewhere.
    OtherRange,
    /// At most this many bytes a second.
    Slow(u64),
}

pub type Rule = Box<dyn Fn(&Request, u64) -> Answer + Send + Sync>;

pub struct FaultServer {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    files: Mutex<HashMap<String, Arc<Vec<u8>>>>,
    rule: Mutex<Rule>,
    requests: Mutex<Vec<Request>>,
    count: AtomicU64,
    sent: AtomicU64,
    ended: AtomicBool,
}

impl FaultServer {
    pub fn start() -> FaultServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            files: Mutex::default(),
            rule: Mutex::new(Box::new(|_, _| Answer::Good)),
            requests: Mutex::default(),
            count: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                if state.ended.load(Ordering::Relaxed) {
                    break;
                }
                thread::spawn(move || serve(&stream, &state));
            }
        });
        FaultServer { address, state }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves `bytes` at `path`, which starts with a slash.
    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        let mut files = self.state.files.lock().unwrap();
        files.insert(path.into(), Arc::new(bytes));
    }

    /// `rule` gets each request and its number.
    pub fn rule(&self, rule: impl Fn(&Request, u64) -> Answer + Send + Sync + 'static) {
        self.state.count.store(0, Ordering::Relaxed);
        *self.state.rule.lock().unwrap() = Box::new(rule);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Bytes of bodies that were given to the network.
    pub fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::Relaxed)
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: &TcpStream, state: &State) {
    let _ = stream.set_nodelay(true);
    let mut input = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = Request::read(&mut input) {
        let number = state.count.fetch_add(1, Ordering::Relaxed);
        let answer = state.rule.lock().unwrap()(&request, number);
        state.requests.lock().unwrap().push(request.clone());
        if answer_one(stream, state, &request, answer).is_none() {
            return;
        }
    }
}

/// `None` if the connection is over.
fn answer_one(mut out: &TcpStream, state: &State, request: &Request, answer: Answer) -> Option<()> {
    if let Answer::Status(status, headers) = &answer {
        return head(out, *status, headers, 5).and_then(|()| out.write_all(b"sorry").ok());
    }
    if matches!(answer, Answer::Silence) {
        thread::sleep(Duration::from_secs(3600));
    }
    let plain = request.path.split('?').next().unwrap_or_default();
    let file = state.files.lock().unwrap().get(plain).cloned();
    let Some(file) = file else {
        return head(out, 404, &[("x-error-code", "EntryNotFound".into())], 0);
    };
    let total = match answer {
        Answer::OtherLength(more) => file.len() as i64 + more,
        _ => file.len() as i64,
    } as u64;
    let range = request.range().filter(|_| !matches!(answer, Answer::Whole));
    if range.is_some_and(|(start, _)| start >= total) {
        return head(
            out,
            416,
            &[("content-range", format!("bytes */{total}"))],
            0,
        );
    }
    let (start, last) = range.map_or((0, total - 1), |(start, last)| {
        (start, last.unwrap_or(total - 1).min(total - 1))
    });
    let told = start + u64::from(matches!(answer, Answer::OtherRange));
    let mut headers = vec![("accept-ranges", "bytes".to_string())];
    if range.is_some() {
        headers.push(("content-range", format!("bytes {told}-{last}/{total}")));
    }
    if let Answer::With(more) = &answer {
        headers.extend(more.iter().cloned());
    }
    let status = if range.is_some() { 206 } else { 200 };
    head(out, status, &headers, last + 1 - start)?;
    if request.method == "HEAD" {
        return Some(());
    }
    body(out, state, &file, start, last + 1, &answer)
}

fn body(
    mut out: &TcpStream,
    state: &State,
    file: &[u8],
    start: u64,
    end: u64,
    answer: &Answer,
) -> Option<()> {
    let stop = match answer {
        Answer::Reset(n) | Answer::Close(n) | Answer::Stall(n) => start + n,
        _ => end,
    };
    let mut at = start;
    while at < end.min(stop) {
        let step = match answer {
            Answer::Slow(rate) => (rate / 20).max(1),
            _ => 256 << 10,
        };
        let next = (at + step).min(end).min(stop);
        let have = |at: u64| (at as usize).min(file.len());
        let mut piece = file[have(at)..have(next)].to_vec();
        piece.resize((next - at) as usize, b'x');
        if matches!(answer, Answer::Wrong) {
            piece[0] ^= 1;
        }
        out.write_all(&piece).ok()?;
        state.sent.fetch_add(next - at, Ordering::Relaxed);
        at = next;
        if matches!(answer, Answer::Slow(_)) {
            thread::sleep(Duration::from_millis(50));
        }
    }
    match answer {
        Answer::Reset(_) if stop < end => {
            // Closing with this option set sends a reset.
            rustix::net::sockopt::set_socket_linger(out, Some(Duration::ZERO)).ok()?;
            None
        }
        Answer::Close(_) if stop < end => None,
        Answer::Stall(_) if stop < end => {
            while !state.ended.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
            None
        }
        _ => Some(()),
    }
}

fn head(mut out: &TcpStream, status: u16, headers: &[(&str, String)], length: u64) -> Option<()> {
    let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    out.write_all((text + "\r\n").as_bytes()).ok()
}
