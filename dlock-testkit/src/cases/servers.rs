//! What happens to servers, and to the way there: killed, stopped, restarted and refusing, sessions
//! ended, clocks stepped, connections broken.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{ErrorKind, Loss};

use crate::broken::clocks::LivesByTheWallClock;
use crate::broken::losses::Hidden;
use crate::broken::outages::{
    AnswersForTheService, GivesUpAtOnce, RefusalsLookLikeOutages, RefusedIsTriedLater, SpoiltByAFailure,
};
use crate::broken::tokens::{Miscounts, Rule};
use crate::cases::standing::{Standing, assert_fenced_or_grown, patient, renewed};
use crate::{Case, Lab, Need, Refusal, Trouble};

const GROUP: &str = "servers";

pub(super) const CASES: &[Case] = &[
    case!([56] ended_sessions_are_a_loss_that_is_told_or_lose_nothing, needs [Need::Alone(Trouble::EndedSessions)],
        trips on Hidden::default()),
    case!([59, 84] a_restart_keeps_the_lock_or_loses_it_clearly_and_tokens_grow,
        needs [Need::Alone(Trouble::Restart)], trips on Miscounts::by(Rule::CounterDiesWithItsName)),
    case!([59, 84] tokens_grow_though_no_process_was_left, needs [Need::Processes],
        trips on Miscounts::by(Rule::CounterDiesWithItsName)),
    case!([60] a_killed_leader_is_replaced_and_the_lock_is_kept, needs [Need::Alone(Trouble::LeaderKilled)],
        trips on SpoiltByAFailure::default()),
    case!([60] a_stopped_leader_is_replaced_and_the_lock_is_kept, needs [Need::Alone(Trouble::LeaderStopped)],
        trips on GivesUpAtOnce),
    case!([63] a_minority_that_is_down_changes_nothing, needs [Need::Alone(Trouble::MinorityDown)],
        trips on GivesUpAtOnce),
    case!([63] a_majority_that_is_down_is_an_error_and_never_two_holders,
        needs [Need::Alone(Trouble::MajorityDown)], trips on AnswersForTheService),
    case!([65] the_wall_clock_of_a_client_does_not_matter, needs [Need::Processes, Need::ProcessClock],
        trips on LivesByTheWallClock),
    case!([65] a_step_of_the_servers_clock_loses_nothing_or_is_noticed_within_the_ttl,
        needs [Need::Alone(Trouble::ClockStep)], trips on Hidden::default()),
    case!([67] connections_that_were_reset_spoil_nothing, needs [Need::Alone(Trouble::ConnectionsReset)],
        trips on SpoiltByAFailure::default()),
    case!([67] a_connection_that_broke_in_mid_request_spoils_nothing, needs [Need::Alone(Trouble::AnswersLost)],
        trips on SpoiltByAFailure::default()),
    case!([68] a_login_that_is_refused_is_a_clear_error_and_leaves_nothing,
        needs [Need::Alone(Trouble::Refusal(Refusal::Login))], trips on RefusalsLookLikeOutages),
    case!([68] a_permission_that_is_missing_is_a_clear_error_and_leaves_nothing,
        needs [Need::Alone(Trouble::Refusal(Refusal::Permission))], trips on RefusedIsTriedLater::default()),
    case!([68] a_read_only_service_is_a_clear_error_and_leaves_nothing,
        needs [Need::Alone(Trouble::Refusal(Refusal::ReadOnly))], trips on RefusalsLookLikeOutages),
    case!([68] a_full_service_is_a_clear_error_and_leaves_nothing,
        needs [Need::Alone(Trouble::Refusal(Refusal::Full))], trips on RefusedIsTriedLater::default()),
];

const HOUR: Duration = Duration::from_secs(3600);

async fn ended_sessions_are_a_loss_that_is_told_or_lose_nothing(lab: Arc<Lab>) {
    let alone = lab.alone(Trouble::EndedSessions).await;
    let lab = alone.lab();
    let standing = Standing::of(lab, lab.info().ttl.clamp(lab.ttl() * 10)).await;
    alone.begin().await;
    if alone.ends_claims() {
        let loss = lab.soon("the loss is told", standing.held.lost()).await;
        assert_ne!(loss, Loss::Deadline, "it was noticed only because time ran out");
    } else {
        renewed(lab, &standing.held).await;
    }
    alone.end().await;
    // Whoever lost a session has another one.
    let again = lab.soon("the same client is served", standing.one.lock("b").unwrap().acquire()).await.unwrap();
    again.release().await.unwrap();
    standing.end_in_order(lab, alone.ends_claims()).await;
    lab.until_empty().await;
}

async fn a_restart_keeps_the_lock_or_loses_it_clearly_and_tokens_grow(lab: Arc<Lab>) {
    let alone = lab.alone(Trouble::Restart).await;
    let lab = alone.lab();
    let standing = Standing::of(lab, lab.info().ttl.clamp(lab.ttl() * 10)).await;
    let before = standing.token_of(lab, "b").await;
    alone.begin().await;
    let since = standing.clock.now();
    assert!(!standing.next.is_finished(), "nobody can be granted by servers that are down");
    alone.end().await;
    let lost = standing.is_lost_after(lab, since).await;
    assert_fenced_or_grown(before, standing.token_of(lab, "b").await);
    standing.end_in_order(lab, lost).await;
    lab.until_empty().await;
}

async fn tokens_grow_though_no_process_was_left(lab: Arc<Lab>) {
    let mut last = 0;
    for _ in 0..2 {
        let mut worker = lab.worker().await;
        let token = worker.acquire("a").await;
        assert!(token > last, "{token} is not higher than {last}");
        last = token;
        worker.kill();
    }
    let locks = lab.client().await;
    let guard = lab.soon("the dead are replaced", locks.lock("a").unwrap().acquire()).await.unwrap();
    assert!(guard.token().unwrap().value > last);
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_killed_leader_is_replaced_and_the_lock_is_kept(lab: Arc<Lab>) {
    is_served_by_the_others(lab, Trouble::LeaderKilled).await;
}

async fn a_stopped_leader_is_replaced_and_the_lock_is_kept(lab: Arc<Lab>) {
    is_served_by_the_others(lab, Trouble::LeaderStopped).await;
}

async fn a_minority_that_is_down_changes_nothing(lab: Arc<Lab>) {
    is_served_by_the_others(lab, Trouble::MinorityDown).await;
}

/// The members that are left serve holders, waiters and newcomers while the trouble lasts.
async fn is_served_by_the_others(lab: Arc<Lab>, trouble: Trouble) {
    let alone = lab.alone(trouble).await;
    let lab = alone.lab();
    let standing = Standing::of(lab, lab.info().ttl.clamp(lab.ttl() * 12)).await;
    let mut last = standing.token_of(lab, "b").await;
    alone.begin().await;
    let since = standing.clock.now();
    for _ in 0..5 {
        let token = standing.token_of(lab, "b").await;
        assert!(token.epoch == last.epoch && token.value > last.value, "{token} is not higher than {last}");
        last = token;
    }
    let lost = standing.is_lost_after(lab, since).await;
    standing.end_in_order(lab, lost).await;
    alone.end().await;
    lab.until_empty().await;
}

async fn a_majority_that_is_down_is_an_error_and_never_two_holders(lab: Arc<Lab>) {
    let alone = lab.alone(Trouble::MajorityDown).await;
    let lab = alone.lab();
    let impatient = lab.client_with(|builder| builder.retry_for(Duration::from_secs(1))).await;
    let standing = Standing::of(lab, lab.ttl()).await;
    alone.begin().await;
    for name in ["a", "b"] {
        let lock = impatient.lock(name).unwrap();
        let tried = lab.soon("a try is answered", lock.try_acquire()).await;
        assert_eq!(tried.expect_err("nothing can be granted").kind(), ErrorKind::Unavailable);
    }
    let acquired = lab.soon("an acquire is answered", impatient.lock("b").unwrap().acquire()).await;
    assert_eq!(acquired.expect_err("nothing can be granted").kind(), ErrorKind::Unavailable);
    assert_eq!(lab.soon("the holder knows", standing.held.lost()).await, Loss::Deadline);
    tokio::time::sleep(lab.takeover()).await;
    assert!(!standing.next.is_finished(), "a minority grants nothing");
    alone.end().await;
    standing.end_in_order(lab, true).await;
    lab.until_empty().await;
}

async fn the_wall_clock_of_a_client_does_not_matter(lab: Arc<Lab>) {
    let ttl = lab.info().ttl.clamp(lab.ttl().max(Duration::from_secs(4)));
    let (mut holder, mut waiter) = (lab.worker_with_clock(ttl).await, lab.worker_with_clock(ttl).await);
    let locks = lab.client().await;
    let lock = locks.lock("a").unwrap();
    let first = holder.acquire("a").await;
    waiter.begin_acquire("a");
    lab.until_waiting(&locks, "a", 1).await;
    let place = locks.inspect("a").await.unwrap().waiters[0].claim.id;

    let shown = holder.wall_clock().await;
    holder.step_clock_back(HOUR);
    waiter.step_clock_back(HOUR);
    assert!(holder.wall_clock().await < shown, "the step has no effect");
    for ahead in [false, true] {
        if ahead {
            holder.step_clock_ahead(HOUR * 2);
            waiter.step_clock_ahead(HOUR * 2);
            assert!(holder.wall_clock().await >= shown + HOUR, "the step has no effect");
        }
        tokio::time::sleep(ttl * 5 / 4).await;
        assert!(holder.is_held().await, "it lost its lock by a step of its clock");
        assert!(lock.try_acquire().await.unwrap().is_none());
        let waiters = locks.inspect("a").await.unwrap().waiters;
        assert_eq!(waiters.iter().map(|waiter| waiter.claim.id).collect::<Vec<_>>(), [place]);
    }

    assert_eq!(holder.release().await, "released");
    let answer = lab.soon("the waiter is granted", waiter.answer()).await;
    let second: u64 = answer.strip_prefix("held ").unwrap().parse().unwrap();
    assert!(second > first);
    waiter.step_clock_back(HOUR);
    tokio::time::sleep(ttl * 5 / 4).await;
    assert!(waiter.is_held().await);
    assert_eq!(waiter.release().await, "released");
    lab.until_empty().await;
}

async fn a_step_of_the_servers_clock_loses_nothing_or_is_noticed_within_the_ttl(lab: Arc<Lab>) {
    const NAMES: usize = 20;
    let alone = lab.alone(Trouble::ClockStep).await;
    let lab = alone.lab();
    let ttl = lab.info().ttl.clamp(lab.ttl() * 5);
    let (one, two) = (patient(lab, ttl).await, patient(lab, ttl).await);
    let mut held = Vec::new();
    for name in 0..NAMES {
        held.push(one.lock(format!("n{name}")).unwrap().acquire().await.unwrap());
    }
    let stale: Vec<_> = held.iter().map(|guard| guard.token().unwrap()).collect();

    alone.begin().await;
    let clock = dlock_core::Clock::system();
    let (mut heirs, mut overlaps, mut longest) = (Vec::new(), 0, Duration::ZERO);
    for (name, (guard, stale)) in held.iter().zip(&stale).enumerate() {
        let Some(heir) = two.lock(format!("n{name}")).unwrap().try_acquire().await.unwrap() else { continue };
        assert!(alone.ends_claims(), "a step of the server's clock freed a lock");
        assert_fenced_or_grown(*stale, heir.token().unwrap());
        let overlaps_since = guard.is_held().then(|| clock.now());
        overlaps += usize::from(overlaps_since.is_some());
        heirs.push((name, heir, overlaps_since));
    }
    for (name, heir, overlaps_since) in &heirs {
        lab.soon("the loss is noticed", held[*name].lost()).await;
        let overlap = overlaps_since.map_or(Duration::ZERO, |since| clock.now().since(since));
        assert!(overlap <= ttl, "two believed that they hold for {overlap:?}");
        longest = longest.max(overlap);
        assert!(heir.is_held());
    }
    if alone.ends_claims() {
        eprintln!(
            "{}: the server's clock was stepped ahead by an hour: {overlaps} of {NAMES} locks were granted while \
             their holders still believed in them, for {longest:?} at most, of a ttl of {ttl:?}",
            lab.info().scheme
        );
    }

    alone.end().await;
    tokio::time::sleep(ttl).await;
    let mut last = Vec::new();
    for (name, guard) in held.into_iter().enumerate() {
        let guard = match heirs.iter().position(|(of, ..)| *of == name) {
            Some(place) => heirs.swap_remove(place).1,
            None if guard.is_held() => guard,
            // Its next renewal was told so, before another came.
            None => continue,
        };
        assert!(one.lock(format!("n{name}")).unwrap().try_acquire().await.unwrap().is_none());
        last.push((name, guard.token().expect("a step back loses nothing")));
        guard.release().await.unwrap();
    }
    for (name, before) in last {
        let next = one.lock(format!("n{name}")).unwrap().try_acquire().await.unwrap().expect("it was released");
        assert_fenced_or_grown(before, next.token().unwrap());
        next.release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn connections_that_were_reset_spoil_nothing(lab: Arc<Lab>) {
    let alone = lab.alone(Trouble::ConnectionsReset).await;
    let (spoilt, other) = (patient(alone.lab(), lab.info().ttl.clamp(lab.ttl() * 5)).await, lab.lasting_client().await);
    let held = spoilt.lock("held").unwrap().acquire().await.unwrap();
    let taken = other.lock("taken").unwrap().acquire().await.unwrap();
    let waiting = lab.line_up(&other, &spoilt.lock("taken").unwrap()).await;
    let token = held.token().unwrap();
    for _ in 0..3 {
        alone.begin().await;
        let next = lab.soon("the next call is answered", spoilt.lock("a").unwrap().acquire()).await;
        lab.soon("and the one after", next.expect("the next call works").release()).await.expect("it works, too");
    }
    alone.end().await;
    renewed(&lab, &held).await;
    assert_eq!(held.token().unwrap(), token);
    assert!(!waiting.is_finished());
    taken.release().await.unwrap();
    let granted = lab.soon("the waiter is served", waiting).await.unwrap().unwrap();
    for guard in [held, granted] {
        guard.release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn a_connection_that_broke_in_mid_request_spoils_nothing(lab: Arc<Lab>) {
    let alone = lab.alone(Trouble::AnswersLost).await;
    let (spoilt, other) = (patient(alone.lab(), lab.long_ttl()).await, lab.lasting_client().await);
    let held = spoilt.lock("held").unwrap().acquire().await.unwrap();
    let lock = spoilt.lock("a").unwrap();
    // Names may be kept on several servers: the client is connected to that of this one.
    lock.acquire().await.unwrap().release().await.unwrap();
    alone.begin().await;
    let asking = tokio::spawn(async move { lock.acquire().await });
    lab.until("the request has arrived", || async { !other.inspect("a").await.unwrap().is_free() }).await;
    alone.end().await;
    let guard = lab.soon("it is granted", asking).await.unwrap().expect("the request is repeated");
    let state = other.inspect("a").await.unwrap();
    assert_eq!((state.holders.len(), state.waiters.len()), (1, 0), "{state:?}");
    assert_eq!(state.holders[0].token, Some(guard.token().unwrap()));
    let next = spoilt.lock("b").unwrap().acquire().await.expect("the next call works");
    assert!(held.is_held());
    for guard in [held, guard, next] {
        guard.release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn a_login_that_is_refused_is_a_clear_error_and_leaves_nothing(lab: Arc<Lab>) {
    is_refused(lab, Refusal::Login, ErrorKind::Denied).await;
}

async fn a_permission_that_is_missing_is_a_clear_error_and_leaves_nothing(lab: Arc<Lab>) {
    is_refused(lab, Refusal::Permission, ErrorKind::Denied).await;
}

async fn a_read_only_service_is_a_clear_error_and_leaves_nothing(lab: Arc<Lab>) {
    is_refused(lab, Refusal::ReadOnly, ErrorKind::Exhausted).await;
}

async fn a_full_service_is_a_clear_error_and_leaves_nothing(lab: Arc<Lab>) {
    is_refused(lab, Refusal::Full, ErrorKind::Exhausted).await;
}

async fn is_refused(lab: Arc<Lab>, refusal: Refusal, kind: ErrorKind) {
    let alone = lab.alone(Trouble::Refusal(refusal)).await;
    let lab = alone.lab();
    let standing = Standing::of(lab, lab.long_ttl()).await;
    alone.begin().await;
    let is_clear = |error: dlock_core::Error| {
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(!error.is_retryable() && !error.to_string().is_empty());
    };
    for name in ["x", "y"] {
        let lock = standing.one.lock(name).unwrap();
        is_clear(lab.soon("an acquire is answered", lock.acquire()).await.expect_err("it is refused"));
        is_clear(lab.soon("a try is answered", lock.try_acquire()).await.expect_err("it is refused"));
    }
    let newcomer = async { lab.try_client().await?.lock("x")?.acquire().await };
    is_clear(lab.soon("a newcomer is answered", newcomer).await.expect_err("it is refused"));
    alone.end().await;

    // The same client works again, and those who held or waited were left alone.
    lab.until("the client is served again", || async {
        match standing.one.lock("b").unwrap().acquire().await {
            Ok(guard) => guard.release().await.is_ok(),
            Err(error) => {
                is_clear(error);
                false
            }
        }
    })
    .await;
    for name in ["x", "y"] {
        lab.until("nothing is left of what was refused", || async {
            standing.one.inspect(name).await.is_ok_and(|state| state.is_free())
        })
        .await;
    }
    standing.end_in_order(lab, false).await;
    lab.until_empty().await;
}
