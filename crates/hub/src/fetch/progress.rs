//! How far the fetch of one file is, to be read from anywhere at any moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::locked;

/// What a fetch is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    #[default]
    Waiting,
    /// Another process is fetching the same file; its progress is shown.
    Elsewhere,
    Downloading,
    /// The connection was lost or stands still; it is tried again by itself.
    Retrying {
        cause: String,
    },
    /// All bytes are here, and their checksum is being computed.
    Verifying,
    Done,
}

/// Clones show the same fetch.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    /// Bytes of the file.
    total: AtomicU64,
    /// Bytes that are on the disk.
    present: AtomicU64,
    /// Bytes whose checksum was computed.
    verified: AtomicU64,
    /// Bytes that came over the network, those fetched again included.
    received: AtomicU64,
    phase: Mutex<Phase>,
}

/// One reading of a [`Progress`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    pub total: u64,
    pub present: u64,
    pub verified: u64,
    pub received: u64,
    pub phase: Phase,
}

impl Progress {
    pub fn read(&self) -> Reading {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Reading {
            total: get(&self.0.total),
            present: get(&self.0.present),
            verified: get(&self.0.verified),
            received: get(&self.0.received),
            phase: locked(&self.0.phase).clone(),
        }
    }

    pub(crate) fn set_total(&self, bytes: u64) {
        self.0.total.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_present(&self, bytes: u64) {
        self.0.present.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_present(&self, bytes: u64) {
        self.0.present.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn remove_present(&self, bytes: u64) {
        self.0.present.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_verified(&self, bytes: u64) {
        self.0.verified.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_verified(&self, bytes: u64) {
        self.0.verified.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_received(&self, bytes: u64) {
        self.0.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        let mut now = locked(&self.0.phase);
        if *now != phase {
            *now = phase;
        }
    }
}
