//! What the user holds.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};

use crate::client::Client;
use crate::lease::Cell;
use crate::slot::{Left, Slot};
use crate::{
    BackendInfo, Capability, Error, ErrorKind, Instant, Lease, LeaseState, LockName, Loss, Mode, Namespace,
    Predecessor, Result, Token,
};

/// A hold on a name. Dropping it releases in the background; [`Guard::release`] waits for that.
///
/// A lease can be lost at any time, because the network or this machine stood still for too long.
/// Run what must stop then inside [`Guard::run`], check [`Guard::is_held`] before each effect, and
/// hand [`Guard::token`] to the resource, which refuses stale ones (see [`Fence`](crate::Fence)):
/// only the last is safe under any timing.
///
/// A guard may be moved between tasks and threads, and dropped anywhere: outside a runtime, while
/// one shuts down, in a panic. A guard that is forgotten (`std::mem::forget`) is renewed until the
/// client is closed or the maximum hold time is reached.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct Guard {
    hold: Arc<Hold>,
    released: bool,
}

/// What the guards of one owner on one lease share.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) client: Arc<Client>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) cell: Arc<Cell>,
}

impl Guard {
    /// A guard that the slot has counted already.
    pub(crate) fn new(hold: Arc<Hold>) -> Self {
        Self { hold, released: false }
    }

    /// What is held.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.hold.cell.name
    }

    /// The namespace that the name is in.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.hold.client.settings.namespace
    }

    /// What the backend is that it is held on.
    #[must_use]
    pub fn info(&self) -> &BackendInfo {
        &self.hold.client.info
    }

    /// The fencing token of this lease: the same for every reentrant guard on it.
    ///
    /// # Errors
    /// `Lost` once the lease is lost.
    pub fn token(&self) -> Result<Token> {
        self.hold.cell.check()?;
        Ok(self.hold.cell.grant.token)
    }

    /// Whether the lease may be believed at this moment, by the clock. Some 50 ns.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold.cell.is_held()
    }

    /// Whether the lease is held, held but not being renewed, or lost and why.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        self.hold.cell.state()
    }

    /// How long the lease may still be believed if no renewal gets through: zero when it is lost,
    /// `Duration::MAX` where it lives as long as this process.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.hold.cell.remaining().unwrap_or_default()
    }

    /// When the lease ended, if it is lost: its local deadline, or the moment at which the loss
    /// became known if that was earlier. Compare with [`Clock::now`](crate::Clock::now) to see how
    /// long this process went on without knowing. `None` while it is held.
    #[must_use]
    pub fn ended_at(&self) -> Option<Instant> {
        self.hold.cell.ended_at()
    }

    /// The lease as plain data.
    ///
    /// # Errors
    /// `Lost` once the lease is lost.
    pub fn lease(&self) -> Result<Lease> {
        let cell = &self.hold.cell;
        let valid_until = cell.valid_until()?;
        Ok(Lease {
            claim: cell.claim,
            name: cell.name.clone(),
            mode: self.mode(),
            token: cell.grant.token,
            valid_until,
        })
    }

    /// How the name is held.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.hold.slot.mode().unwrap_or(Mode::Exclusive)
    }

    /// How the last holder before this one went, where the backend can tell. After
    /// [`Predecessor::Vanished`], what the lock guards may be half done.
    #[must_use]
    pub fn predecessor(&self) -> Option<Predecessor> {
        self.hold.cell.grant.predecessor
    }

    /// How many guards this owner has on the lease.
    #[must_use]
    pub fn hold_count(&self) -> u32 {
        self.hold.slot.guards()
    }

    /// Waits until the lease is lost, and says why. Answers at once if it already is, and never
    /// after an ordinary release.
    ///
    /// # Cancel safety
    /// Safe: nothing is missed between two calls.
    pub async fn lost(&self) -> Loss {
        self.hold.cell.until_lost().await
    }

    /// Runs `future` for as long as the lease is held, and drops it at the moment of loss.
    ///
    /// The loss is seen at an await point of `future`: it does not interrupt code that computes or
    /// blocks.
    ///
    /// # Errors
    /// `Lost` when the lease was lost before `future` was done.
    ///
    /// # Cancel safety
    /// As safe as `future` is.
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output> {
        // `lost` comes first, so that a future that is ready after the loss does not count.
        match select(pin!(self.lost()), pin!(future)).await {
            Either::Right((output, _)) => Ok(output),
            Either::Left(_) => Err(self.hold.cell.check().expect_err("a lost lease stays lost")),
        }
    }

    /// Turns an exclusive hold into a shared one without a gap, so that waiting readers join.
    /// The token stays.
    ///
    /// # Errors
    /// `Unsupported` where the backend cannot; `OtherMode` when it is not exclusive, or when this
    /// owner has other guards on it; `Lost`. When it stays unknown whether the service did it, the
    /// lease is given up.
    ///
    /// # Cancel safety
    /// Safe: the change is completed in the background.
    pub async fn downgrade(&self) -> Result<()> {
        self.hold.cell.check()?;
        if self.mode() != Mode::Exclusive {
            return Err(Error::new(
                ErrorKind::OtherMode,
                format!("{} is held as {}: only an exclusive hold can be downgraded", self.name(), self.mode()),
            ));
        }
        let info = &self.hold.client.info;
        info.capabilities.require(Capability::Downgrade, info.scheme)?;
        if !self.hold.slot.begin_downgrade(self.hold.cell.claim) {
            return Err(Error::new(
                ErrorKind::OtherMode,
                format!("others of this owner count on {} as exclusive: release those guards first", self.name()),
            ));
        }
        self.hold.client.downgrade(self.hold.cell.claim).await
    }

    /// A descriptor that keeps the claim alive while any copy of it is open, for a child process
    /// to inherit; `None` where claims do not live by descriptors (see
    /// [`Capability::ProcessLife`](crate::Capability::ProcessLife)).
    ///
    /// # Errors
    /// `Lost` once the lease is lost.
    ///
    /// # Cancel safety
    /// Safe.
    #[cfg(unix)]
    pub async fn lifeline(&self) -> Result<Option<std::os::fd::OwnedFd>> {
        self.hold.cell.check()?;
        self.hold.client.lifeline(self.hold.cell.claim).await
    }

    /// Releases this guard, and the claim on the service with the owner's last guard.
    ///
    /// # Errors
    /// `Lost` when the lease was lost before: somebody else may have held the name meanwhile.
    /// `Unavailable` when the service did not confirm in time; the claim is no longer renewed,
    /// the withdrawal is repeated in the background, and the claim lapses at the latest with its
    /// ttl.
    ///
    /// # Cancel safety
    /// Safe: a release that has begun is completed in the background.
    pub async fn release(mut self) -> Result<()> {
        self.released = true;
        let held = self.hold.cell.check();
        match self.hold.slot.drop_guard(&self.hold.cell) {
            Left::InUse => held,
            Left::Unused => {
                let (client, claim) = (&self.hold.client, self.hold.cell.claim);
                if held.is_err() {
                    client.release_later(claim);
                    return held;
                }
                client.release(claim).await
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.released && self.hold.slot.drop_guard(&self.hold.cell) == Left::Unused {
            self.hold.client.release_later(self.hold.cell.claim);
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("name", self.name())
            .field("claim", &self.hold.cell.claim)
            .field("token", &self.hold.cell.grant.token)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
