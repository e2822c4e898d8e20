//! Renewing claims, and looking at them: the same script, with and without more time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dlock_core::{ClaimRef, Gone, Grant, Result};
use futures::future::join_all;
use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

use crate::entry::{grant_from_text, millis, token_to_args};
use crate::error::{cannot_renew, classify, strange_answer, timed_out};
use crate::keys::Bucket;
use crate::requests::Requests;

/// As many claims as one script call takes on: enough to make the round trip cheap, few enough
/// not to hold up the server's other clients.
pub(crate) const BATCH: usize = 64;

/// How a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Held(Grant),
    /// In line; to be looked at again after this time.
    Queued(Duration),
    Gone(Gone),
}

/// Whether asking gives a claim another ttl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renew {
    Yes,
    No,
}

/// Asks for claims, in one call for each [`BATCH`] of a bucket. One answer each, in order.
pub(crate) async fn ask(requests: &Requests, claims: &[ClaimRef], renew: Renew) -> Vec<Result<Standing>> {
    ask_by(None, requests, claims, renew).await
}

/// Renews claims on a connection of the caller's own, to the server that keeps them.
pub(crate) async fn ask_on(
    connection: &MultiplexedConnection,
    requests: &Requests,
    claims: &[ClaimRef],
) -> Vec<Result<Standing>> {
    ask_by(Some(connection), requests, claims, Renew::Yes).await
}

async fn ask_by(
    connection: Option<&MultiplexedConnection>,
    requests: &Requests,
    claims: &[ClaimRef],
    renew: Renew,
) -> Vec<Result<Standing>> {
    let mut buckets: BTreeMap<Bucket, Vec<usize>> = BTreeMap::new();
    for (at, claim) in claims.iter().enumerate() {
        buckets.entry(requests.shared.keys.bucket(&claim.name)).or_default().push(at);
    }
    let calls = buckets.iter().flat_map(|(bucket, places)| places.chunks(BATCH).map(|places| (*bucket, places)));
    let calls = calls.map(|(bucket, places)| async move {
        let batch: Vec<&ClaimRef> = places.iter().map(|at| &claims[*at]).collect();
        places.iter().copied().zip(ask_batch(connection, requests, bucket, &batch, renew).await).collect::<Vec<_>>()
    });
    let mut answers: Vec<_> = join_all(calls).await.into_iter().flatten().collect();
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

async fn ask_batch(
    connection: Option<&MultiplexedConnection>,
    requests: &Requests,
    bucket: Bucket,
    claims: &[&ClaimRef],
    renew: Renew,
) -> Vec<Result<Standing>> {
    let shared = &requests.shared;
    let mut call = shared.scripts.renew.prepare_invoke();
    call.key(shared.keys.tokens(bucket)).arg(shared.tokens.spare_epoch());
    for claim in claims {
        let keys = shared.keys.of(&claim.name);
        let ttl = if renew == Renew::Yes { millis(claim.ttl) } else { 0 };
        let (token, epoch) = token_to_args(shared.registry.token(claim.id));
        call.key(keys.main).key(keys.order).key(keys.due);
        call.arg(claim.id.to_string()).arg(ttl).arg(token).arg(epoch);
    }
    let call = &call;
    let send = |mut connection: MultiplexedConnection| async move { call.invoke_async(&mut connection).await };
    let answer: Result<Vec<Vec<String>>> = match connection {
        None => requests.routes.change(bucket, send).await,
        Some(connection) => match timeout(shared.timeout, send(connection.clone())).await {
            Ok(answer) => answer.map_err(classify),
            Err(_) => Err(timed_out(&shared.place)),
        },
    };
    match answer {
        Ok(answers) if answers.len() == claims.len() => answers.iter().map(|answer| standing(answer)).collect(),
        Ok(_) => claims.iter().map(|_| Err(strange_answer("renew"))).collect(),
        Err(error) => claims.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// Looks at waiters whose turn may have come without anybody pushing it, because the one before
/// them died. Ends with the backend.
pub(crate) async fn keep_looking(requests: Arc<Requests>) {
    let registry = &requests.shared.registry;
    loop {
        let claims = registry.next_looks().await;
        let standings = ask(&requests, &claims, Renew::No).await;
        for (claim, standing) in claims.iter().zip(standings) {
            match standing {
                Ok(Standing::Held(grant)) => registry.tell_granted(claim.id, grant),
                Ok(Standing::Queued(wait)) => registry.queued(claim.id, wait),
                Ok(Standing::Gone(gone)) => registry.tell_gone(claim.id, gone),
                Err(error) => {
                    tracing::debug!(claim = %claim.id, %error, "cannot look at a waiting claim, will try again");
                    registry.queued(claim.id, RETRY);
                }
            }
        }
    }
}

const RETRY: Duration = Duration::from_millis(250);

fn standing(answer: &[String]) -> Result<Standing> {
    let words: Vec<&str> = answer.iter().map(String::as_str).collect();
    match words[..] {
        ["held", token, epoch, fate] => {
            grant_from_text(token, epoch, fate).map(Standing::Held).ok_or_else(|| strange_answer("a token"))
        }
        ["queued", wait] => {
            let wait = wait.parse().map_err(|_| strange_answer("a wait"))?;
            Ok(Standing::Queued(Duration::from_millis(wait)))
        }
        ["gone"] => Ok(Standing::Gone(Gone::Absent)),
        ["altered", how] => {
            tracing::warn!(how, "what stands under a claimed name was changed by somebody else");
            Ok(Standing::Gone(Gone::Altered))
        }
        ["error", what] => Err(cannot_renew(what)),
        _ => Err(strange_answer("renew")),
    }
}
