//! Renewing claims, and looking at them: the same script, with and without more time.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{ClaimRef, Gone, Grant, Result};
use redis::RedisResult;

use crate::entry::{grant_from_text, millis, token_to_args};
use crate::error::{cannot_renew, strange_answer};
use crate::link::{Link, Shared};

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

/// Asks for up to [`BATCH`] claims in one call. One answer each, in order.
pub(crate) async fn ask(link: &Link, shared: &Shared, claims: &[ClaimRef], renew: Renew) -> Vec<Result<Standing>> {
    let mut call = shared.scripts.renew.prepare_invoke();
    call.key(shared.keys.tokens()).key(shared.keys.epoch()).arg(shared.tokens.spare_epoch());
    for claim in claims {
        let keys = shared.keys.of(&claim.name);
        let ttl = if renew == Renew::Yes { millis(claim.ttl) } else { 0 };
        let (token, epoch) = token_to_args(shared.registry.token(claim.id));
        call.key(keys.main).key(keys.order).key(keys.due);
        call.arg(claim.id.to_string()).arg(ttl).arg(token).arg(epoch);
    }
    let call = &call;
    let answer = link
        .run(|mut connection| async move {
            let answer: RedisResult<Vec<Vec<String>>> = call.invoke_async(&mut connection).await;
            answer
        })
        .await;
    match answer {
        Ok(answers) if answers.len() == claims.len() => answers.iter().map(|answer| standing(answer)).collect(),
        Ok(_) => claims.iter().map(|_| Err(strange_answer("renew"))).collect(),
        Err(error) => claims.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// Looks at waiters whose turn may have come without anybody pushing it, because the one before
/// them died. Ends with the backend.
pub(crate) async fn keep_looking(link: Arc<Link>, shared: Arc<Shared>) {
    loop {
        let due = shared.registry.next_looks().await;
        for claims in due.chunks(BATCH) {
            let standings = ask(&link, &shared, claims, Renew::No).await;
            for (claim, standing) in claims.iter().zip(standings) {
                match standing {
                    Ok(Standing::Held(grant)) => shared.registry.tell_granted(claim.id, grant),
                    Ok(Standing::Queued(wait)) => shared.registry.queued(claim.id, wait),
                    Ok(Standing::Gone(gone)) => shared.registry.tell_gone(claim.id, gone),
                    Err(error) => {
                        tracing::debug!(claim = %claim.id, %error, "cannot look at a waiting claim, will try again");
                        shared.registry.queued(claim.id, RETRY);
                    }
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
