//! The background task: reacts to pushes, and does what is due.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dlock_core::{ClaimId, Event, Scope};
use tokio::time::Instant;

use crate::room::{POLL_EVERY, Room, lock};
use crate::standing::still_lives;
use crate::timers::Task;
use crate::wake::{News, Role, Watched};

/// The longest pause between two looks after a hint that something goes.
const LAST_CONFIRM: Duration = Duration::from_millis(64);

/// How often every waiting claim looks for itself, pushed or not.
pub(crate) const SCAN_EVERY: Duration = Duration::from_secs(10);

/// Runs until it is aborted.
pub(crate) async fn drive(room: Arc<Room>) {
    let mut next_scan = Instant::now() + SCAN_EVERY;
    loop {
        let due_at = lock(&room.timers).next().map_or(next_scan, |at| at.min(next_scan));
        tokio::select! {
            news = room.watcher.next() => react(&room, news).await,
            () = room.hurry.notified() => {}
            () = tokio::time::sleep_until(due_at) => {}
        }
        let due = lock(&room.timers).take_due(Instant::now());
        do_due(&room, due).await;
        if Instant::now() >= next_scan {
            room.settle(waiting(&room)).await;
            next_scan = Instant::now() + SCAN_EVERY;
        }
    }
}

async fn react(room: &Room, news: News) {
    if news.lost {
        room.tell(Event::Suspect(Scope::All));
        check_own(room, lock(&room.claims).keys().copied().collect::<Vec<_>>());
        room.settle(waiting(room)).await;
        return;
    }
    check_own(room, news.about.iter().copied());
    room.settle(news.about.iter().copied()).await;
    // Closing is announced a moment before the lock is dropped.
    for id in news.about {
        confirm_later(room, id, Duration::from_millis(1));
    }
}

async fn do_due(room: &Room, due: Vec<(ClaimId, Task)>) {
    let mut settle = BTreeSet::new();
    let mut looked = Vec::new();
    for (id, task) in due {
        match task {
            Task::Settle => {
                settle.insert(id);
            }
            Task::Confirm(_) | Task::Poll => {
                let Some(blockers) = room.blockers(id) else { continue };
                if !blockers.iter().all(|path| still_lives(path)) {
                    settle.insert(id);
                }
                looked.push((id, task, blockers));
            }
            Task::WatchOwn => watch_own(room, id),
        }
    }
    check_own(room, settle.iter().copied());
    room.settle(settle).await;
    for (id, task, blockers) in looked {
        // Who waits for others now looks at those as it began to. Who waits for the same, though
        // they do not live (damage is nobody's), must not look faster for it.
        if room.blockers(id).is_some_and(|now| now == blockers) {
            match task {
                Task::Confirm(pause) if pause < LAST_CONFIRM => confirm_later(room, id, pause * 2),
                Task::Poll => room.later(POLL_EVERY, id, Task::Poll),
                _ => {}
            }
        }
    }
}

fn watch_own(room: &Room, id: ClaimId) {
    let Some(path) = lock(&room.claims).get(&id).map(|own| own.path.clone()) else { return };
    if room.watcher.watch(&path, id, Role::Own) == Watched::Gone {
        // It may have been renamed since, by a grant; or it is gone.
        room.watch_own_soon(id);
    }
    check_own(room, [id]);
}

fn check_own(room: &Room, ids: impl IntoIterator<Item = ClaimId>) {
    for id in ids {
        if let Some(gone) = room.check(id) {
            room.lose(id, gone);
        }
    }
}

fn confirm_later(room: &Room, id: ClaimId, pause: Duration) {
    if is_waiting(room, id) {
        room.later(pause, id, Task::Confirm(pause));
    }
}

fn is_waiting(room: &Room, id: ClaimId) -> bool {
    lock(&room.claims).get(&id).is_some_and(|own| own.is_waiting())
}

fn waiting(room: &Room) -> Vec<ClaimId> {
    let claims = lock(&room.claims);
    claims.iter().filter(|(_, own)| own.is_waiting()).map(|(id, _)| *id).collect()
}
