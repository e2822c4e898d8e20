//! What is done to members of a cluster, until they work again.

use std::mem;
use std::sync::{Mutex, PoisonError};

use dlock_testkit::servers::Members;

/// How a member is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// It stands still.
    Stop,
    Kill,
    /// It is cut off from the other members.
    Isolate,
    /// It can write nothing more.
    FillDisk,
}

/// Which members the present fault has hit, and how.
#[derive(Debug, Default)]
pub(super) struct Hit(Mutex<Vec<(usize, Blow)>>);

impl Hit {
    pub(super) fn begin(&self, blow: Blow, members: &Members, member: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((member, blow));
        match blow {
            Blow::Stop => members.node(member).stop(),
            Blow::Kill => members.node(member).kill(),
            Blow::Isolate => members.isolate(member),
            Blow::FillDisk => members.node(member).fill_disk(),
        }
    }

    /// Has the members that were hit work again; answers whether there were any.
    pub(super) async fn end(&self, members: &Members) -> bool {
        let hit = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (member, blow) in &hit {
            match blow {
                Blow::Stop => members.node(*member).resume(),
                Blow::Kill => members.restart(*member).await,
                Blow::Isolate => members.rejoin(*member),
                // It has ended when it could not write.
                Blow::FillDisk => {
                    members.node(*member).free_disk();
                    members.restart(*member).await;
                }
            }
        }
        !hit.is_empty()
    }
}
