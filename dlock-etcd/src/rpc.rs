//! Requests to etcd, each with a deadline of its own, made to the member that is present.

mod answer;
mod opening;
mod patience;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dlock_core::{Clock, Landed, Result};
use etcd_client::{Client, ConnectOptions, GetOptions, GetResponse, Txn};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant as Deadline;

pub(crate) use self::answer::{Answer, token};
use self::opening::find_cluster;
use self::patience::Patience;
use crate::cluster::{Answered, Cluster};
use crate::dial::dial;
use crate::error::{Effect, Failure, Remedy};
use crate::members::{Members, Present};

/// Ranges of a name with very many permits are the longest answers there are, and a lease that ends
/// takes all its keys with it in one event.
pub(crate) const LONGEST_ANSWER: usize = 64 << 20;

/// The pause before something is tried again that all members have refused.
const PAUSE: Duration = Duration::from_millis(100);

/// How often a request is made again with a new login: users and roles may change once more.
const LOGINS: usize = 3;

/// The way to etcd.
#[derive(Clone)]
pub(crate) struct Rpc {
    pub(crate) clock: Clock,
    pub(crate) timeout: Duration,
    way: Arc<Way>,
}

struct Way {
    members: Members,
    cluster: Cluster,
    /// What the keys of the namespace begin with.
    prefix: String,
}

impl Rpc {
    /// Asks all members for what begins with `prefix`: that proves that one at least is there, is
    /// etcd, has a leader, and lets the keys be read. `options` has the login and TLS.
    ///
    /// # Errors
    /// `InvalidInput` when the members belong to different clusters; otherwise what the members
    /// answered, when none is of use.
    pub(crate) async fn open(
        addresses: Vec<String>,
        options: ConnectOptions,
        prefix: String,
        clock: Clock,
        timeout: Duration,
    ) -> Result<Self> {
        let share = share(timeout, addresses.len());
        let members = Members::new(addresses, options, share.min(Duration::from_secs(2)));
        let cluster = Cluster::new(find_cluster(&members, &prefix, timeout).await?);
        Ok(Self { clock, timeout, way: Arc::new(Way { members, cluster, prefix }) })
    }

    /// A connection of its own to the present member, with the generation that it belongs to. It
    /// lives on the runtime that polls the future, and nothing in it waits by a timer.
    pub(crate) fn dial_present(&self) -> (u64, BoxFuture<'static, Result<Client>>) {
        let (member, way) = (self.present(), self.way.clone());
        let dialling = async move {
            let options = way.members.plain_options();
            dial(&member.address, options, way.prefix.as_bytes(), way.cluster.id()).await
        };
        (member.generation, dialling.boxed())
    }

    /// Changes whenever requests go to another member than before.
    pub(crate) fn generation(&self) -> u64 {
        self.present().generation
    }

    /// Awaits that requests go to another member than before.
    pub(crate) fn moved(&self) -> watch::Receiver<u64> {
        self.way.members.generation()
    }

    /// The id of the cluster that answers, by which tokens are told apart.
    pub(crate) fn cluster(&self) -> u64 {
        self.way.cluster.id()
    }

    /// Awaits that another cluster answers than before: all claims of this client have ended then.
    pub(crate) fn cluster_changes(&self) -> watch::Receiver<u64> {
        self.way.cluster.changes()
    }

    /// When a call that starts now must have ended.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::now() + self.timeout
    }

    /// Makes one request, and repeats it when it surely was not applied: with another member, if
    /// that can help.
    pub(crate) async fn call<T: Answered, F>(
        &self,
        until: Deadline,
        effect: Effect,
        mut request: impl FnMut(Client) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut patience = self.patience(until);
        loop {
            let (member, cluster) = (self.present(), self.cluster());
            let failure = match patience.ask(&member, effect, &mut request).await {
                Ok(answer) => {
                    member.hear();
                    self.admit(cluster, &answer, effect)?;
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            self.recover(failure, &member, &mut patience).await?;
        }
    }

    /// The member that requests go to now.
    pub(crate) fn present(&self) -> Present {
        self.way.members.present()
    }

    /// For requests that are made to one member after another until then.
    pub(crate) fn patience(&self, until: Deadline) -> Patience {
        let left = until.saturating_duration_since(Deadline::now());
        Patience { until, share: share(left.min(self.timeout), self.way.members.count()), tried: 0, logins: 0 }
    }

    /// Compares the cluster of an answer with the one that the request was made for; see
    /// [`Cluster::admit`].
    pub(crate) fn admit(&self, sent_for: u64, answer: &impl Answered, effect: Effect) -> Result<()> {
        self.way.cluster.admit(sent_for, answer, effect)
    }

    /// Does what helps against a failure, and returns when the request is to be made again.
    ///
    /// # Errors
    /// With the failure's error, when it is not: it may have been applied, or would fail again, or
    /// the time is over.
    pub(crate) async fn recover(&self, failure: Failure, member: &Present, patience: &mut Patience) -> Result<()> {
        let Failure { error, remedy } = failure;
        patience.tried += 1;
        let mut pauses = true;
        match remedy {
            Remedy::Report => return Err(error),
            Remedy::Repeat => {}
            Remedy::NextMember => {
                self.way.members.fail(member.generation);
                pauses = patience.tried.is_multiple_of(self.way.members.count());
            }
            Remedy::LogIn => {
                patience.logins += 1;
                if patience.logins > LOGINS {
                    return Err(error);
                }
                // What it comes to shows when the request is made again.
                let _ = tokio::time::timeout_at(patience.next(), member.log_in()).await;
            }
        }
        if error.landed() == Landed::Maybe {
            return Err(error);
        }
        if pauses {
            tokio::time::sleep_until(patience.until.min(Deadline::now() + PAUSE)).await;
        }
        if Deadline::now() >= patience.until { Err(error) } else { Ok(()) }
    }

    pub(crate) async fn txn(&self, until: Deadline, effect: Effect, txn: Txn) -> Result<Answer> {
        let answer = self
            .call(until, effect, |client| {
                let txn = txn.clone();
                async move { client.kv_client().max_decoding_message_size(LONGEST_ANSWER).txn(txn).await }
            })
            .await?;
        Answer::read(answer, effect)
    }

    /// Deletes a key; answers how many there were.
    pub(crate) async fn delete(&self, until: Deadline, key: Vec<u8>) -> Result<i64> {
        let answer = self
            .call(until, Effect::Write, |client| {
                let key = key.clone();
                async move { client.kv_client().delete(key, None).await }
            })
            .await?;
        Ok(answer.deleted())
    }

    /// Reads anything, by a majority; answers in which term that was.
    pub(crate) async fn term(&self, until: Deadline) -> Result<u64> {
        let answer = self.get(until, self.way.prefix.as_bytes(), anything()).await?;
        Ok(answer.header().map_or(0, etcd_client::ResponseHeader::raft_term))
    }

    pub(crate) async fn get(&self, until: Deadline, key: &[u8], options: GetOptions) -> Result<GetResponse> {
        self.call(until, Effect::Read, |client| {
            let options = options.clone();
            async move { client.kv_client().max_decoding_message_size(LONGEST_ANSWER).get(key, Some(options)).await }
        })
        .await
    }
}

/// The least that can be read below a prefix, by who may read there.
fn anything() -> GetOptions {
    GetOptions::new().with_prefix().with_limit(1).with_keys_only()
}

/// What one of so many members may take of the time: one that hangs leaves half of it to the others.
fn share(time: Duration, members: usize) -> Duration {
    if members > 1 { time / 2 } else { time }
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rpc").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
