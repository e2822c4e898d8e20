use std::sync::atomic::{AtomicU64, Ordering};

use super::Direction;

/// What a link has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted so far, those included that were reset at once.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// Bytes from clients.
    pub to_server: LaneCounts,
    /// Bytes from servers.
    pub to_client: LaneCounts,
}

/// Bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneCounts {
    /// Went on.
    pub passed: u64,
    /// Are held or delayed now.
    pub waiting: u64,
    /// Were swallowed.
    pub swallowed: u64,
}

/// The same, counting.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) accepted: AtomicU64,
    pub(super) open: AtomicU64,
    to_server: LaneMeter,
    to_client: LaneMeter,
}

#[derive(Debug, Default)]
pub(super) struct LaneMeter {
    passed: AtomicU64,
    waiting: AtomicU64,
    swallowed: AtomicU64,
}

impl Meter {
    pub(super) fn lane(&self, direction: Direction) -> &LaneMeter {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    pub(super) fn read(&self) -> Counts {
        Counts {
            accepted: self.accepted.load(Ordering::SeqCst),
            open: self.open.load(Ordering::SeqCst),
            to_server: self.to_server.read(),
            to_client: self.to_client.read(),
        }
    }
}

impl LaneMeter {
    /// Bytes came in.
    pub(super) fn came(&self, bytes: usize) {
        self.waiting.fetch_add(bytes as u64, Ordering::SeqCst);
    }

    /// Bytes that had come went on.
    pub(super) fn went_on(&self, bytes: usize) {
        self.passed.fetch_add(bytes as u64, Ordering::SeqCst);
        self.waiting.fetch_sub(bytes as u64, Ordering::SeqCst);
    }

    /// Bytes that had come were swallowed.
    pub(super) fn swallowed(&self, bytes: usize) {
        self.swallowed.fetch_add(bytes as u64, Ordering::SeqCst);
        self.waiting.fetch_sub(bytes as u64, Ordering::SeqCst);
    }

    /// Bytes that had come are forgotten with their connection.
    pub(super) fn forgotten(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes as u64, Ordering::SeqCst);
    }

    fn read(&self) -> LaneCounts {
        LaneCounts {
            passed: self.passed.load(Ordering::SeqCst),
            waiting: self.waiting.load(Ordering::SeqCst),
            swallowed: self.swallowed.load(Ordering::SeqCst),
        }
    }
}
