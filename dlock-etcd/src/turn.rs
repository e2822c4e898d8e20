//! Waiting for a claim's turn, and watching over its key.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{Event, Gone, Grant, Mode};
use etcd_client::GetOptions;

use crate::backend::Inner;
use crate::claims::Standing;
use crate::keys::Section;
use crate::position::{Position, look};
use crate::rpc::token;
use crate::watch::{Notice, Target, Watch};

/// The pause before something is tried again.
const PAUSE: Duration = Duration::from_millis(300);

/// Serves a claim that has just been placed: waits for its turn when it has to, and watches over it.
pub(crate) fn attend(inner: &Arc<Inner>, standing: &Arc<Standing>, waits: Option<(Position, i64)>) {
    if let Some((position, revision)) = waits {
        let turn = Turn { inner: inner.clone(), standing: standing.clone(), position, revision };
        standing.add_task(tokio::spawn(turn.wait()).abort_handle());
    }
    inner.settling.add(standing);
}

/// One waiting claim.
struct Turn {
    inner: Arc<Inner>,
    standing: Arc<Standing>,
    position: Position,
    /// When the position was seen.
    revision: i64,
}

impl Turn {
    async fn wait(mut self) {
        loop {
            match self.position.clone() {
                Position::Held => return,
                Position::Behind(key, created) | Position::Blocked(key, created) => self.wait_for(key, created).await,
                Position::InLine { older } => self.wait_in_line(older).await,
            }
            match self.look_again().await {
                Ok(()) => {}
                Err(gone) => return self.inner.lost(&self.standing, gone),
            }
            if self.position == Position::Held {
                return;
            }
        }
    }

    /// Until the key is gone, or something may have been missed. The watch starts now and not in
    /// the past: the server brings a watch from the past up to date only every 100 ms. If anything
    /// was written in between, one look at the key tells whether it was its deletion. Deletions up to
    /// the time when it was seen were those of other claims.
    async fn wait_for(&self, key: Vec<u8>, created: i64) {
        let mut watch = self.inner.hub.watch(Target::KeyGone(key.clone()));
        loop {
            match watch.next().await {
                Some(Notice::Watching(revision)) if revision <= self.revision => {}
                Some(Notice::Watching(_)) => {
                    let options = GetOptions::new().with_keys_only();
                    match self.inner.rpc.get(self.inner.rpc.deadline(), &key, options).await {
                        // Another claim may sit there by now, which is younger.
                        Ok(found) if found.kvs().first().is_some_and(|key| key.create_revision() == created) => {}
                        _ => return,
                    }
                }
                Some(Notice::Put) => {}
                Some(Notice::Deleted { revision, .. }) if revision <= self.revision => {}
                Some(Notice::Deleted { .. } | Notice::Compacted) | None => return,
            }
        }
    }

    /// Until fewer than the limit are before a permit: whoever leaves, all deletions in the section
    /// are counted, so that one release makes one claim look. Counting needs every deletion since
    /// the position was seen: the client's first waiter has its watch start there, the others join
    /// it. The server may take 100 ms to catch up with that; a count at once spares a claim that is
    /// alone in line the time.
    async fn wait_in_line(&mut self, mut older: usize) {
        let Mode::Permit { limit } = self.standing.mode() else { return };
        let span = self.standing.keys.section(Section::Plain(self.standing.mode()));
        let mut watch = self.inner.hub.watch(Target::SpanGone(span.clone(), self.revision + 1));
        loop {
            match watch.next().await {
                Some(Notice::Watching(revision)) if revision <= self.revision => {}
                Some(Notice::Watching(_)) => {
                    let options = GetOptions::new().with_range(span.end.clone()).with_count_only();
                    match self.inner.rpc.get(self.inner.rpc.deadline(), &span.from, options).await {
                        Ok(all) if all.count() > i64::from(limit.get()) => {}
                        _ => return,
                    }
                }
                Some(Notice::Deleted { revision, .. }) if revision <= self.revision => {}
                Some(Notice::Deleted { created: Some(created), .. }) => {
                    older -= usize::from(created < self.standing.order && older > 0);
                    if crate::position::in_line(limit.get(), older) == Position::Held {
                        return;
                    }
                }
                Some(Notice::Put) => {}
                Some(Notice::Deleted { created: None, .. } | Notice::Compacted) | None => return,
            }
        }
    }

    /// Every wake is confirmed by the server. Goes on trying: only the server's word ends a claim.
    async fn look_again(&mut self) -> Result<(), Gone> {
        loop {
            match look(&self.inner.rpc, &self.standing, true, self.inner.rpc.deadline()).await {
                Ok(view) => {
                    self.position = view.seen?;
                    self.revision = view.revision;
                    if self.position == Position::Held {
                        self.inner.granted(&self.standing, view.cluster);
                    }
                    return Ok(());
                }
                Err(error) => {
                    tracing::debug!(name = %self.standing.name, %error, "cannot see who is before a claim");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Reports what others do to the claim's key. The server replays what happened while no watch was
/// there; what it has compacted is checked.
pub(crate) async fn watch_over(inner: Arc<Inner>, standing: Arc<Standing>) {
    loop {
        let mut watch = inner.hub.watch(Target::KeyFrom(standing.key(), standing.seen_at() + 1));
        let change = first_change(&mut watch, &standing).await;
        standing.set_watched(false);
        match change {
            Change::Gone(gone) => return inner.lost(&standing, gone),
            Change::Missed => tokio::time::sleep(PAUSE).await,
            Change::Forgotten => match inner.check(&[&standing], inner.rpc.deadline()).await {
                Ok(checked) => {
                    if let Some(gone) = checked.gone.get(&standing.id) {
                        return inner.lost(&standing, *gone);
                    }
                }
                Err(error) => {
                    tracing::debug!(name = %standing.name, %error, "cannot check a claim");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
}

/// What a watch on an own key came to.
enum Change {
    Gone(Gone),
    /// The stream broke: the next one goes on where this one began.
    Missed,
    /// The server does not know any more what happened to the key since it was seen.
    Forgotten,
}

async fn first_change(watch: &mut Watch, standing: &Standing) -> Change {
    loop {
        match watch.next().await {
            Some(Notice::Watching(_)) => standing.set_watched(true),
            Some(Notice::Deleted { .. }) => return Change::Gone(Gone::Absent),
            Some(Notice::Put) => return Change::Gone(Gone::Altered),
            Some(Notice::Compacted) => return Change::Forgotten,
            None => return Change::Missed,
        }
    }
}

impl Inner {
    /// The claim holds now: tells the keeper, once.
    pub(crate) fn granted(&self, standing: &Standing, cluster: u64) -> Grant {
        let grant = Grant { token: token(cluster, standing.order), predecessor: None };
        if standing.set_grant(grant) {
            self.tell(Event::Granted(standing.id, grant));
        }
        grant
    }

    /// The claim is gone: forgets it and tells the keeper.
    pub(crate) fn lost(&self, standing: &Standing, gone: Gone) {
        self.tell(Event::Gone(standing.id, gone));
        self.forget(standing);
    }

    /// A claim that is gone is withdrawn all the same, in case that something is left of it.
    pub(crate) fn forget(&self, standing: &Standing) {
        if self.claims.remove(standing.id).is_some() {
            self.claims.unsettle(standing.id, standing.seat);
        }
    }

    pub(crate) fn tell(&self, event: Event) {
        // A keeper that does not listen any more is closing.
        let _ = self.events.send(event);
    }
}
