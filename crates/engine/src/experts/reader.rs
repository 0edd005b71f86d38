//! A few threads that read experts while the others compute.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use moestro_checkpoint::CheckpointError;

use super::buffer::{Buffer, Held};
use super::source::Source;
use crate::weights::LayerExperts;

/// Enough for the three matrices of one expert at once, and to keep a disk busy.
pub const THREADS: usize = 4;

/// An expert that has been read, or could not be.
pub struct Arrival {
    pub row: usize,
    pub expert: u32,
    /// What it was asked for with.
    pub ticket: u64,
    pub held: Held,
    pub result: Result<(), CheckpointError>,
    /// From the request to the last byte.
    pub took: Duration,
}

struct Job {
    layer: Arc<LayerExperts>,
    expert: u32,
    part: usize,
    order: u64,
    buffer: Buffer,
}

struct Done {
    order: u64,
    part: usize,
    buffer: Buffer,
    result: Result<(), CheckpointError>,
    at: Instant,
}

/// An expert whose matrices are being read.
struct Order {
    id: u64,
    row: usize,
    expert: u32,
    ticket: u64,
    since: Instant,
    parts: [Option<Buffer>; 3],
    result: Result<(), CheckpointError>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    stop: bool,
}

pub struct Reader {
    queue: Arc<Queue>,
    done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
    orders: Vec<Order>,
    next: u64,
    /// Orders under way when a new one came, summed, and new ones.
    depth_sum: u64,
    asked: u64,
}

impl Reader {
    /// `scratch` is the memory each thread reads into. Fewer threads than asked
    /// for work if the system does not give more; `None` if it gives none.
    pub fn new(source: Arc<dyn Source>, scratch: usize) -> Option<Reader> {
        let queue = Arc::new(Queue::default());
        let (sender, done) = channel();
        let start = |i: usize| {
            let (queue, source, sender) = (queue.clone(), source.clone(), sender.clone());
            let scratch = Buffer::try_new(scratch)?;
            std::thread::Builder::new()
                .name(format!("read-{i}"))
                .spawn(move || work(&queue, &*source, scratch, &sender))
                .ok()
        };
        let threads: Vec<_> = (0..THREADS).map_while(start).collect();
        (!threads.is_empty()).then_some(Reader {
            queue,
            done,
            threads,
            orders: Vec::new(),
            next: 0,
            depth_sum: 0,
            asked: 0,
        })
    }

    /// Experts that are being read.
    pub fn under_way(&self) -> usize {
        self.orders.len()
    }

    /// Experts already being read when another was asked for, on average.
    pub fn mean_depth(&self) -> f64 {
        self.depth_sum as f64 / self.asked.max(1) as f64
    }

    /// Bytes of the experts that are being read.
    pub fn bytes(&self, size: impl Fn(usize) -> u64) -> u64 {
        self.orders.iter().map(|o| size(o.row)).sum()
    }

    pub fn request(
        &mut self,
        layer: &Arc<LayerExperts>,
        row: usize,
        expert: u32,
        ticket: u64,
        held: Held,
    ) {
        let id = self.next;
        self.next += 1;
        self.depth_sum += self.orders.len() as u64;
        self.asked += 1;
        self.orders.push(Order {
            id,
            row,
            expert,
            ticket,
            since: Instant::now(),
            parts: [None, None, None],
            result: Ok(()),
        });
        let mut state = lock(&self.queue.state);
        for (part, buffer) in held.into_iter().enumerate() {
            state.jobs.push_back(Job {
                layer: layer.clone(),
                expert,
                part,
                order: id,
                buffer,
            });
        }
        drop(state);
        self.queue.more.notify_all();
    }

    /// The next expert that is complete, after at most `patience`. `None` if there
    /// is none yet.
    pub fn next(&mut self, patience: Duration) -> Option<Arrival> {
        let until = Instant::now() + patience;
        loop {
            let done = if patience.is_zero() {
                match self.done.try_recv() {
                    Ok(done) => done,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
                }
            } else {
                match self
                    .done
                    .recv_timeout(until.saturating_duration_since(Instant::now()))
                {
                    Ok(done) => done,
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
                }
            };
            if let Some(arrival) = self.collect(done) {
                return Some(arrival);
            }
        }
    }

    /// Puts a matrix to its expert; returns the expert if that was the last one.
    fn collect(&mut self, done: Done) -> Option<Arrival> {
        let at = self.orders.iter().position(|o| o.id == done.order)?;
        let order = &mut self.orders[at];
        order.parts[done.part] = Some(done.buffer);
        if order.result.is_ok() {
            order.result = done.result;
        }
        if order.parts.iter().any(Option::is_none) {
            return None;
        }
        let order = self.orders.swap_remove(at);
        let [Some(gate), Some(up), Some(down)] = order.parts else {
            return None;
        };
        Some(Arrival {
            row: order.row,
            expert: order.expert,
            ticket: order.ticket,
            held: [gate, up, down],
            result: order.result,
            took: done.at.saturating_duration_since(order.since),
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = lock(&self.queue.state);
        state.stop = true;
        state.jobs.clear();
        drop(state);
        self.queue.more.notify_all();
        for thread in self.threads.drain(..) {
            // A reading thread has no result to lose.
            let _ = thread.join();
        }
    }
}

fn work(queue: &Queue, source: &dyn Source, mut scratch: Buffer, done: &Sender<Done>) {
    while let Some(mut job) = next_job(queue) {
        let Job {
            layer,
            expert,
            part,
            order,
            buffer,
        } = &mut job;
        let result = source.read(layer, *expert, *part, &mut scratch, buffer);
        let (order, part) = (*order, *part);
        let sent = done.send(Done {
            order,
            part,
            buffer: job.buffer,
            result,
            at: Instant::now(),
        });
        if sent.is_err() {
            return;
        }
    }
}

fn next_job(queue: &Queue) -> Option<Job> {
    let mut state = lock(&queue.state);
    loop {
        if state.stop {
            return None;
        }
        if let Some(job) = state.jobs.pop_front() {
            return Some(job);
        }
        state = queue
            .more
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
