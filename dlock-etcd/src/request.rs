//! Registering a claim.

use std::sync::Arc;

use dlock_core::{Claim, Error, ErrorKind, Grant, Landed, Queue, Requested, Result};
use tokio::time::Instant as Deadline;

use crate::acquire::{Placed, blocked, place};
use crate::backend::Inner;
use crate::claims::Standing;
use crate::keys::{NameKeys, Seat, Section};
use crate::leases::LeaseUse;
use crate::position::{Position, look};
use crate::rpc::token;
use crate::turn::attend;

impl Inner {
    /// Registers the claim, or finds out what became of it.
    pub(crate) async fn request(self: &Arc<Self>, claim: &Claim, queue: Queue) -> Result<Requested> {
        let until = self.rpc.deadline();
        if let Some(standing) = self.claims.get(claim.id) {
            return self.again(&standing, until).await;
        }
        let (placed, seat, lease) = self.place(claim, queue, until).await?;
        let (created, new) = match placed {
            Placed::Refused => {
                self.contention.met(&claim.name);
                return Ok(Requested::Refused);
            }
            Placed::New { created, cluster, position } => (created, Some((position, cluster))),
            Placed::Found { created } => (created, None),
        };
        let keys = self.keys.name(&claim.name);
        let place = (keys, Section::Plain(claim.mode), seat);
        let identity = (claim.id, claim.name.clone());
        let standing = Arc::new(Standing::new(identity, place, created, claim.to_record(), lease));
        let (position, cluster, revision) = match new {
            Some((position, cluster)) => (position, cluster, created),
            None => {
                let view = look(&self.rpc, &standing, true, until).await.inspect_err(|_| {
                    self.claims.doubt(claim.id, seat, standing.lease().clone());
                });
                let view = view.map_err(|error| error.with_landed(Landed::Maybe))?;
                match view.seen {
                    Ok(position) => (position, view.cluster, view.revision),
                    Err(gone) => {
                        return Err(Error::new(ErrorKind::Lost, format!("the claim {} is gone ({gone:?})", claim.id)));
                    }
                }
            }
        };
        let life = standing.lease().life();
        match position {
            Position::Held => {
                let grant = Grant { token: token(cluster, standing.order), predecessor: None };
                standing.set_grant(grant);
                self.claims.add(standing.clone());
                attend(self, &standing, None);
                Ok(Requested::Held(grant, life))
            }
            Position::Blocked(key, _) => {
                self.take_back(claim, &standing, until).await?;
                Err(blocked(&standing.keys, &key))
            }
            _ if queue == Queue::No => {
                self.take_back(claim, &standing, until).await?;
                Ok(Requested::Refused)
            }
            waits => {
                self.contention.met(&claim.name);
                self.claims.add(standing.clone());
                attend(self, &standing, Some((waits, revision)));
                Ok(Requested::Queued(life))
            }
        }
    }

    /// The claim's answer when it is registered already.
    async fn again(self: &Arc<Self>, standing: &Arc<Standing>, until: Deadline) -> Result<Requested> {
        let life = standing.lease().life();
        let view = look(&self.rpc, standing, false, until).await?;
        match view.seen {
            Ok(Position::Held) => Ok(Requested::Held(self.granted(standing, view.cluster), life)),
            Ok(_) => Ok(Requested::Queued(life)),
            Err(gone) => {
                self.forget(standing);
                Err(Error::new(ErrorKind::Lost, format!("the claim {} is gone ({gone:?})", standing.id)))
            }
        }
    }

    /// Places a claim, in the seat and on the lease of an earlier request of it whose outcome is not
    /// known, so that both put the same.
    async fn place(self: &Arc<Self>, claim: &Claim, queue: Queue, until: Deadline) -> Result<(Placed, Seat, LeaseUse)> {
        let Inner { keys, claims, seats, .. } = &**self;
        let earlier = claims.unsettled_claim(claim.id);
        let seat = earlier.as_ref().map_or_else(|| seats.take(), |earlier| earlier.seat);
        let placed = self.place_in(seat, &keys.name(&claim.name), claim, queue, until).await;
        let is_free = match &placed {
            Ok((placed, _)) => matches!(placed, Placed::Refused),
            Err(error) => error.landed() == Landed::No,
        };
        if is_free && earlier.is_none() {
            seats.give_back(seat);
        }
        placed.map(|(placed, lease)| (placed, seat, lease))
    }

    async fn place_in(
        self: &Arc<Self>,
        seat: Seat,
        keys: &NameKeys,
        claim: &Claim,
        queue: Queue,
        until: Deadline,
    ) -> Result<(Placed, LeaseUse)> {
        let Inner { rpc, leases, claims, .. } = &**self;
        let mut left = 2;
        loop {
            let earlier = claims.unsettled_claim(claim.id).and_then(|earlier| earlier.lease);
            let lease_use = match earlier.filter(|lease| !lease.is_ended()).and_then(|lease| leases.hold(&lease)) {
                Some(place) => place,
                None => leases.take(claim.ttl, until).await?,
            };
            let lease = lease_use.lease().clone();
            let error = match place(rpc, keys, claim, (seat, lease.id), queue, until).await {
                Ok(placed) => return Ok((placed, lease_use)),
                Err(error) => error,
            };
            left -= 1;
            if error.kind() == ErrorKind::Lost && left > 0 {
                // Revoked or lapsed behind our back: its claims find out by their own keys.
                lease.set_ended();
                continue;
            }
            if error.landed() == Landed::Maybe {
                claims.doubt(claim.id, seat, lease);
            }
            return Err(error);
        }
    }

    /// Removes a key that was put for nothing.
    async fn take_back(&self, claim: &Claim, standing: &Standing, until: Deadline) -> Result<()> {
        let removed = self.rpc.delete(until, standing.key()).await;
        if let Err(error) = removed {
            self.claims.doubt(claim.id, standing.seat, standing.lease().clone());
            return Err(error.with_landed(Landed::Maybe));
        }
        if self.claims.unsettled_claim(claim.id).is_none() {
            self.seats.give_back(standing.seat);
        }
        Ok(())
    }
}
