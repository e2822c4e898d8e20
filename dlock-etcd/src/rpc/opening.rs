//! The first request, to all members at once.

use std::time::Duration;

use dlock_core::{Error, ErrorKind, Result};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant as Deadline;

use super::{PAUSE, anything};
use crate::cluster::Answered;
use crate::error::{Effect, Failure, timed_out};
use crate::members::{Members, Present};

/// How long the others are waited for once a member has answered.
const GRACE: Duration = Duration::from_secs(1);

/// Asks all members which cluster they belong to, and prefers from then on those that answered.
pub(super) async fn find_cluster(members: &Members, prefix: &str, timeout: Duration) -> Result<u64> {
    let until = Deadline::now() + timeout;
    let all = members.all();
    let asked = all.iter().enumerate().map(async |(index, member)| {
        let answer = tokio::time::timeout_at(until, cluster_of(member, prefix, until)).await;
        (index, answer.unwrap_or_else(|_| Err(timed_out(Effect::Read))))
    });
    let mut asked: FuturesUnordered<_> = asked.collect();
    let mut enough = until;
    let (mut good, mut errors) = (Vec::new(), Vec::new());
    while let Ok(Some((index, answer))) = tokio::time::timeout_at(enough, asked.next()).await {
        match answer {
            Ok(cluster) => {
                enough = enough.min(Deadline::now() + GRACE);
                good.push((index, cluster));
            }
            Err(error) => errors.push(error),
        }
    }
    let Some((_, cluster)) = good.first().copied() else {
        return Err(telling(errors).unwrap_or_else(|| timed_out(Effect::Read)));
    };
    if let Some((other, _)) = good.iter().find(|(_, other)| *other != cluster) {
        let message = format!(
            "the endpoints belong to different etcd clusters ({} and {}): give those of one",
            all[good[0].0].address, all[*other].address
        );
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    members.prefer(&good.iter().map(|(index, _)| *index).collect::<Vec<_>>());
    Ok(cluster)
}

/// Asks again while the members choose a leader.
async fn cluster_of(member: &Present, prefix: &str, until: Deadline) -> Result<u64> {
    loop {
        match ask(member, prefix).await.map_err(|error| Failure::of(error, Effect::Read)) {
            Ok(cluster) => return Ok(cluster),
            Err(failure) if failure.passes() && Deadline::now() + PAUSE < until => tokio::time::sleep(PAUSE).await,
            Err(failure) => return Err(failure.error),
        }
    }
}

async fn ask(member: &Present, prefix: &str) -> Result<u64, etcd_client::Error> {
    Ok(member.client().await?.get(prefix, Some(anything())).await?.cluster())
}

/// The error that says most about what is to be done: a member that is away says nothing about a
/// login that the others refuse.
fn telling(errors: Vec<Error>) -> Option<Error> {
    errors.into_iter().min_by_key(|error| match error.kind() {
        ErrorKind::InvalidInput => 0,
        ErrorKind::Denied => 1,
        ErrorKind::Unavailable => 3,
        _ => 2,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_login_is_not_hidden_by_members_that_are_away() {
        let errors = [ErrorKind::Unavailable, ErrorKind::Protocol, ErrorKind::Denied, ErrorKind::Unavailable];
        let error = telling(errors.map(|kind| Error::new(kind, "no")).to_vec()).unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(telling(Vec::new()).is_none());
    }
}
