//! What the tests of planted bugs need: backends of one memory store, driven by hand.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::memory::Memory;
use dlock_core::{
    Claim, ClaimId, Clock, Connect as _, ConnectContext, Grant, Life, LockBackend, Metadata, Mode, Namespace, Queue,
    Renewal, Requested,
};

use crate::broken::Sound;
use crate::reach::{Reach, Requests};
use crate::{Faults, Flaw};

/// Nothing lapses by itself during a test.
pub(super) const LONG: Duration = Duration::from_secs(120);

/// One client.
pub(super) async fn client(store: &Memory) -> Arc<dyn LockBackend> {
    connect(store, Faults::default(), Arc::new(Sound)).await
}

/// One client behind faults.
pub(super) async fn faulty(store: &Memory, faults: &Faults) -> Arc<dyn LockBackend> {
    connect(store, faults.clone(), Arc::new(Sound)).await
}

/// One client of an adapter with another behaviour.
pub(super) async fn client_of(store: &Memory, adapter: Arc<dyn Flaw>) -> Arc<dyn LockBackend> {
    connect(store, Faults::default(), adapter).await
}

async fn connect(store: &Memory, faults: Faults, flaw: Arc<dyn Flaw>) -> Arc<dyn LockBackend> {
    let context = ConnectContext { namespace: Namespace::default(), clock: Clock::system() };
    let reach = Reach { client: Box::new(store.clone()), requests: Requests::default(), flaw, faults };
    Box::new(reach).connect(context).await.unwrap()
}

/// A new claim of this owner on the one name of the test.
pub(super) fn claim(owner: &str, ttl: Duration) -> Claim {
    let metadata = Metadata::of_this_process(owner);
    Claim { id: ClaimId::random(), name: "name".parse().unwrap(), mode: Mode::Exclusive, ttl, metadata }
}

/// Requests the claim, which must be held at once.
pub(super) async fn hold(flaw: &dyn Flaw, backend: &dyn LockBackend, claim: &Claim) -> (Grant, Life) {
    match flaw.request(backend, claim, Queue::Yes).await.unwrap() {
        Requested::Held(grant, life) => (grant, life),
        other => panic!("{other:?}"),
    }
}

/// Requests the claim, which must be put in line.
pub(super) async fn queue(flaw: &dyn Flaw, backend: &dyn LockBackend, claim: &Claim) {
    let answer = flaw.request(backend, claim, Queue::Yes).await.unwrap();
    assert!(matches!(answer, Requested::Queued(_)), "{answer:?}");
}

/// How the claim stands, by a renewal.
pub(super) async fn renewal(flaw: &dyn Flaw, backend: &dyn LockBackend, claim: &Claim) -> Renewal {
    flaw.renew(backend, &[claim.to_ref()]).await.swap_remove(0).unwrap()
}

/// Whether the claim is held, by a renewal.
pub(super) async fn holds(flaw: &dyn Flaw, backend: &dyn LockBackend, claim: &Claim) -> bool {
    matches!(renewal(flaw, backend, claim).await, Renewal::Alive { grant: Some(_), .. })
}
