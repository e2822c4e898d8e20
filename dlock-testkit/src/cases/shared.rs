//! Readers and writers.

use std::sync::Arc;

use dlock_core::{
    Capability, Claim, ClaimId, ErrorKind, Grant, Guard, LockBackend, Metadata, Mode, Queue, Requested, Why,
};
use futures::future::join_all;

use crate::broken::downgrade::{BothWays, OnlyAnswered, ReleasesFirst};
use crate::broken::readers::{OneEntryForAllReaders, OneReaderAtATime, Overlooked, Overlooks, ReadersAlone};
use crate::{Case, Lab, Need};

const GROUP: &str = "shared";
const SHARED: Need = Need::Capability(Capability::Shared);
const DOWNGRADE: Need = Need::Capability(Capability::Downgrade);
const FIFO: Need = Need::Capability(Capability::Fifo);

pub(super) const CASES: &[Case] = &[
    case!([86] many_readers_hold_at_once, needs [SHARED], trips on ReadersAlone),
    case!([87] a_writer_excludes_readers_and_writers, needs [SHARED],
        trips on Overlooks::new(Overlooked::WritersByReaders)),
    case!([87] readers_exclude_a_writer, needs [SHARED], trips on Overlooks::new(Overlooked::ReadersByWriters)),
    case!([88] a_waiting_writer_is_not_starved_by_new_readers, needs [SHARED, FIFO],
        trips on Overlooks::new(Overlooked::WaitersByReaders)),
    case!([89] readers_behind_a_writer_are_admitted_together, needs [SHARED, FIFO],
        trips on OneReaderAtATime::default()),
    case!([90] a_downgrade_lets_the_readers_behind_it_in, needs [SHARED, DOWNGRADE], trips on OnlyAnswered),
    case!([90] a_downgrade_leaves_no_gap_for_a_waiting_writer, needs [SHARED, DOWNGRADE], trips on ReleasesFirst),
    case!([91] an_upgrade_is_refused_and_changes_nothing, needs [SHARED],
        trips on Overlooks::new(Overlooked::ReadersByWriters)),
    case!([91] a_conversion_to_exclusive_is_refused, needs [SHARED], trips on BothWays),
    case!([92] one_readers_death_does_not_touch_the_others, needs [SHARED],
        trips on OneEntryForAllReaders::default()),
];

async fn many_readers_hold_at_once(lab: Arc<Lab>) {
    let clients = [lab.lasting_client().await, lab.lasting_client().await];
    let locks: Vec<_> = (0..12).map(|n| clients[n % 2].rw_lock("a").unwrap()).collect();
    let readers = join_all(locks.iter().map(|lock| lock.read().acquire()));
    let readers = lab.soon("all readers are admitted", readers).await;
    let readers: Vec<Guard> = readers.into_iter().collect::<Result<_, _>>().unwrap();
    assert!(readers.iter().all(Guard::is_held));
    let state = clients[0].inspect("a").await.unwrap();
    assert_eq!((state.holders.len(), state.waiters.len()), (12, 0));
    for reader in readers {
        reader.release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn a_writer_excludes_readers_and_writers(lab: Arc<Lab>) {
    let (one, two) =
        (lab.lasting_client().await.rw_lock("a").unwrap(), lab.lasting_client().await.rw_lock("a").unwrap());
    let writer = one.write().acquire().await.unwrap();
    for lock in [&one, &two] {
        assert!(lock.read().try_acquire().await.unwrap().is_none(), "a reader beside a writer");
        assert!(lock.write().try_acquire().await.unwrap().is_none(), "two writers");
    }
    assert!(writer.is_held());
    writer.release().await.unwrap();
    let reader = two.read().try_acquire().await.unwrap().expect("the name is free");
    reader.release().await.unwrap();
    lab.until_empty().await;
}

async fn readers_exclude_a_writer(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let (here, there) = (one.rw_lock("a").unwrap(), two.rw_lock("a").unwrap());
    let first = here.read().acquire().await.unwrap();
    let second = there.read().acquire().await.unwrap();
    assert!(there.write().try_acquire().await.unwrap().is_none(), "a writer beside two readers");
    first.release().await.unwrap();
    assert!(here.write().try_acquire().await.unwrap().is_none(), "a writer beside a reader");
    let waiting = lab.line_up(&one, here.write()).await;
    second.release().await.unwrap();
    let writer = lab.soon("the writer is served after the last reader", waiting).await.unwrap().unwrap();
    writer.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_waiting_writer_is_not_starved_by_new_readers(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let (here, there) = (one.rw_lock("a").unwrap(), two.rw_lock("a").unwrap());
    let early = here.read().acquire().await.unwrap();
    let writing = lab.line_up(&one, there.write()).await;
    for lock in [&here, &there] {
        assert!(lock.read().try_acquire().await.unwrap().is_none(), "a reader overtook a waiting writer");
    }
    let reading = lab.line_up(&one, here.read()).await;
    early.release().await.unwrap();
    let writer = lab.soon("the writer is served", writing).await.unwrap().unwrap();
    let state = one.inspect("a").await.unwrap();
    assert_eq!((state.holders.len(), state.waiters.len()), (1, 1), "the late reader still waits");
    writer.release().await.unwrap();
    let late = lab.soon("the late reader is served", reading).await.unwrap().unwrap();
    late.release().await.unwrap();
    lab.until_empty().await;
}

async fn readers_behind_a_writer_are_admitted_together(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let (here, there) = (one.rw_lock("a").unwrap(), two.rw_lock("a").unwrap());
    let writer = here.write().acquire().await.unwrap();
    let mut reading = Vec::new();
    for lock in [&here, &there, &here, &there] {
        reading.push(lab.line_up(&one, lock.read()).await);
    }
    let writing = lab.line_up(&one, there.write()).await;
    writer.release().await.unwrap();
    let readers = lab.soon("all readers are admitted while none has left", join_all(reading)).await;
    let readers: Vec<Guard> = readers.into_iter().map(|reader| reader.unwrap().unwrap()).collect();
    assert!(readers.iter().all(Guard::is_held));
    lab.until_waiting(&one, "a", 1).await;
    for reader in readers {
        reader.release().await.unwrap();
    }
    let last = lab.soon("the writer behind them is served", writing).await.unwrap().unwrap();
    last.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_downgrade_lets_the_readers_behind_it_in(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let (here, there) = (one.rw_lock("a").unwrap(), two.rw_lock("a").unwrap());
    let holder = here.write().acquire().await.unwrap();
    let token = holder.token().unwrap();
    let reading = [lab.line_up(&one, there.read()).await, lab.line_up(&one, here.read()).await];
    holder.downgrade().await.unwrap();
    let readers = lab.soon("the readers are admitted", join_all(reading)).await;
    assert_eq!((holder.mode(), holder.token().unwrap()), (Mode::Shared, token));
    assert!(two.rw_lock("a").unwrap().write().try_acquire().await.unwrap().is_none());
    let refused = holder.downgrade().await.expect_err("it is shared already");
    assert_eq!(refused.kind(), ErrorKind::OtherMode);
    for reader in readers {
        reader.unwrap().unwrap().release().await.unwrap();
    }
    holder.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_downgrade_leaves_no_gap_for_a_waiting_writer(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let (here, there) = (one.rw_lock("a").unwrap(), two.rw_lock("a").unwrap());
    let holder = here.write().acquire().await.unwrap();
    let claim = holder.lease().unwrap().claim;
    let writing = lab.line_up(&one, there.write()).await;
    holder.downgrade().await.unwrap();
    let state = two.inspect("a").await.unwrap();
    let holders: Vec<_> = state.holders.iter().map(|holder| (holder.claim.id, holder.claim.mode)).collect();
    assert_eq!(holders, [(claim, Mode::Shared)]);
    assert_eq!(state.waiters.len(), 1);
    assert!(holder.is_held() && !writing.is_finished());
    holder.release().await.unwrap();
    let writer = lab.soon("the writer is served", writing).await.unwrap().unwrap();
    writer.release().await.unwrap();
    lab.until_empty().await;
}

async fn an_upgrade_is_refused_and_changes_nothing(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let owner = one.owner("one").rw_lock("a").unwrap();
    let reader = owner.read().acquire().await.unwrap();
    let token = reader.token().unwrap();
    let before = lab.requests().count().requests;
    for refused in [
        owner.write().try_acquire().await.map(drop),
        lab.soon("an upgrade is refused at once", owner.write().acquire()).await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::OtherMode);
    }
    assert_eq!(lab.requests().count().requests, before, "a refused upgrade asks nobody");
    assert_eq!((reader.mode(), reader.token().unwrap()), (Mode::Shared, token));
    let there = two.rw_lock("a").unwrap();
    let other = there.read().try_acquire().await.unwrap().expect("it is still shared");
    assert!(there.write().try_acquire().await.unwrap().is_none(), "it is still closed to writers");
    other.release().await.unwrap();
    reader.release().await.unwrap();
    let writer = owner.write().acquire().await.unwrap();
    writer.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_conversion_to_exclusive_is_refused(lab: Arc<Lab>) {
    let backend = lab.backend().await;
    let claims = [shared_claim(&lab), shared_claim(&lab)];
    let grants = [hold(&*backend, &claims[0]).await, hold(&*backend, &claims[1]).await];
    for claim in &claims {
        let refused = backend.convert(&claim.to_ref(), Mode::Exclusive).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    let state = backend.inspect(&claims[0].name).await.unwrap();
    let holders: Vec<_> = state.holders.iter().map(|holder| (holder.claim.mode, holder.token)).collect();
    assert_eq!(holders, grants.map(|grant| (Mode::Shared, Some(grant.token))));
    for claim in &claims {
        backend.withdraw(&claim.to_ref(), Why::Release).await.unwrap();
    }
    backend.close().await.unwrap();
    lab.until_empty().await;
}

async fn one_readers_death_does_not_touch_the_others(lab: Arc<Lab>) {
    let (doomed, one, two) = (lab.crashable().await, lab.client().await, lab.client().await);
    let early = one.rw_lock("a").unwrap().read().acquire().await.unwrap();
    let dead = doomed.locks.rw_lock("a").unwrap().read().acquire().await.unwrap();
    let late = two.rw_lock("a").unwrap().read().acquire().await.unwrap();
    let tokens = (early.token().unwrap(), late.token().unwrap());
    doomed.crash();
    lab.until("the dead reader's claim is gone", || async { one.inspect("a").await.unwrap().holders.len() < 3 }).await;
    let before = lab.requests().count().renewals;
    lab.until("the others were renewed, or are lost", || async {
        lab.requests().count().renewals >= before + 4 || !early.is_held() || !late.is_held()
    })
    .await;
    assert_eq!((early.token().unwrap(), late.token().unwrap()), tokens);
    assert_eq!(one.inspect("a").await.unwrap().holders.len(), 2);
    assert!(two.rw_lock("a").unwrap().write().try_acquire().await.unwrap().is_none());
    drop(dead);
    early.release().await.unwrap();
    late.release().await.unwrap();
    lab.until_empty().await;
}

fn shared_claim(lab: &Lab) -> Claim {
    Claim {
        id: ClaimId::random(),
        name: "a".parse().unwrap(),
        mode: Mode::Shared,
        ttl: lab.long_ttl(),
        metadata: Metadata::of_this_process("by hand"),
    }
}

async fn hold(backend: &dyn LockBackend, claim: &Claim) -> Grant {
    match backend.request(claim, Queue::No).await.unwrap() {
        Requested::Held(grant, _) => grant,
        other => panic!("the claim is not held: {other:?}"),
    }
}
