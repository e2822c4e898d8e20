//! The way from a bucket to the server that keeps it.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{Error, Landed, Result, Token};
use redis::aio::MultiplexedConnection;
use redis::{Client, ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::time::{Instant, timeout_at};

use crate::cluster::Cluster;
use crate::config::{RedisConfig, Servers};
use crate::entry::{token_from_text, token_to_args};
use crate::error::{classify, strange_answer, timed_out};
use crate::keys::Bucket;
use crate::link::{Link, Live, closed};
use crate::sentinel::Sentinels;
use crate::shared::Shared;
use crate::source::{Server, Source};

/// Sends requests to where they belong.
#[derive(Debug)]
pub(crate) struct Routes {
    way: Way,
    shared: Arc<Shared>,
}

/// Who keeps the buckets.
#[derive(Debug)]
enum Way {
    /// One server keeps all.
    One(Arc<Link>),
    /// One server, which has a successor when it becomes a replica.
    Primary(Arc<Link>),
    Cluster(Cluster),
}

/// What to do about a request that a server has refused.
#[derive(Clone, Debug)]
enum Turn {
    GiveUp,
    Again,
    /// This time it is for the node of this address.
    Ask(String),
}

/// Whether the bucket is to be lifted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Lift,
    Nothing,
}

/// What came of one exchange with the server.
enum Answer<T> {
    Lifted(String, String),
    Sent(T),
}

/// How long to wait before a request is sent again that was refused.
const PAUSE: Duration = Duration::from_millis(50);

impl Routes {
    /// Connects, and proves that tokens can be minted.
    pub(crate) async fn open(config: &RedisConfig, shared: Arc<Shared>) -> Result<Self> {
        let way = match config.servers() {
            Servers::Single(address) => {
                let server = Server { client: config.client_at(address)?, place: address.to_string() };
                Way::One(Link::open(Source::Fixed(Arc::new(server)), shared.clone()).await?.into())
            }
            Servers::Unix(path) => {
                let server = Server { client: config.client_at_socket(path.clone())?, place: config.place() };
                Way::One(Link::open(Source::Fixed(Arc::new(server)), shared.clone()).await?.into())
            }
            Servers::Sentinel { sentinels, service, .. } => {
                let source = Source::Sentinels(Sentinels::start(config, sentinels, service)?);
                Way::Primary(Link::open(source, shared.clone()).await?.into())
            }
            Servers::Cluster(nodes) => Way::Cluster(Cluster::open(config, nodes, shared.clone()).await?),
        };
        let routes = Self { way, shared };
        let lifted: Result<()> =
            routes.run(Bucket::FIRST, routes.deadline(), Before::Lift, |_| std::future::ready(Ok(()))).await;
        lifted.map(|()| routes)
    }

    /// Sends a request that may change what is in a bucket, which is lifted before.
    pub(crate) async fn change<T, F, Sent>(&self, bucket: Bucket, send: F) -> Result<T>
    where
        F: Fn(MultiplexedConnection) -> Sent,
        Sent: Future<Output = RedisResult<T>>,
    {
        self.run(bucket, self.deadline(), Before::Lift, send).await
    }

    /// Sends a request that only reads.
    pub(crate) async fn look<T, F, Sent>(&self, bucket: Bucket, send: F) -> Result<T>
    where
        F: Fn(MultiplexedConnection) -> Sent,
        Sent: Future<Output = RedisResult<T>>,
    {
        self.run(bucket, self.deadline(), Before::Nothing, send).await
    }

    /// Lifts a bucket, and mints `count` tokens (0 or 1). What it answers is the history from now on.
    pub(crate) async fn lift(&self, bucket: Bucket, count: u8, deadline: Instant) -> Result<Token> {
        let round = self.shared.tokens.round();
        let (value, epoch) = self
            .run(bucket, deadline, Before::Nothing, |connection| lift(&self.shared, bucket, count, connection))
            .await?;
        self.adopt(bucket, &value, &epoch, round)
    }

    /// The server that keeps the bucket now, where a caller may connect to it by itself, and which
    /// connection to it is the present one.
    pub(crate) fn present_client(&self) -> Option<(u64, Client)> {
        match &self.way {
            Way::One(link) | Way::Primary(link) => link.present_client(),
            Way::Cluster(_) => None,
        }
    }

    /// Which connection to that server is the present one.
    pub(crate) fn present_generation(&self) -> Option<u64> {
        match &self.way {
            Way::One(link) | Way::Primary(link) => link.present_generation(),
            Way::Cluster(_) => None,
        }
    }

    /// To connect to the server that keeps the bucket, beside the connection to it that there is.
    pub(crate) async fn client_of(&self, bucket: Bucket) -> Result<Client> {
        let (_, live) = self.present(bucket, self.deadline()).await?;
        Ok(live.server().client.clone())
    }

    /// Until when a request that is made now may take.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.shared.timeout
    }

    /// Ends the connections for good.
    pub(crate) fn close(&self) {
        match &self.way {
            Way::One(link) | Way::Primary(link) => link.close(),
            Way::Cluster(cluster) => cluster.close(),
        }
    }

    /// One bucket of each server, in order, and where the server is.
    pub(crate) fn servers(&self) -> Vec<(Bucket, String)> {
        match &self.way {
            Way::One(_) | Way::Primary(_) => vec![(Bucket::FIRST, String::new())],
            Way::Cluster(cluster) => cluster.masters(),
        }
    }

    async fn run<T, F, Sent>(&self, bucket: Bucket, deadline: Instant, before: Before, send: F) -> Result<T>
    where
        F: Fn(MultiplexedConnection) -> Sent,
        Sent: Future<Output = RedisResult<T>>,
    {
        let tokens = &self.shared.tokens;
        let mut refused: Option<Error> = None;
        let mut asking: Option<String> = None;
        loop {
            // Read before there is a connection: a lift on it may count for a round before its own, never after.
            let round = tokens.round();
            let (link, live) = match self.present(bucket, deadline).await {
                Ok(present) => present,
                Err(error) => return Err(refused.unwrap_or(error)),
            };
            let lifts = before == Before::Lift && tokens.lifted(bucket).is_none();
            let exchange = |connection: MultiplexedConnection| async {
                if lifts {
                    let (value, epoch) = lift(&self.shared, bucket, 0, connection).await?;
                    return Ok(Answer::Lifted(value, epoch));
                }
                send(connection).await.map(Answer::Sent)
            };
            // While it is lifted, the request itself was not sent.
            let unsent = |error: Error| if lifts { error.with_landed(Landed::No) } else { error };
            let answered = match asking.take() {
                None => link.send(&live, deadline, exchange).await,
                Some(node) => match self.ask(&live, &node, deadline).await {
                    Ok(connection) => answer_in_time(&node, deadline, exchange(connection)).await,
                    Err(error) if Instant::now() + PAUSE < deadline => {
                        refused = Some(error);
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            let error = match answered.map_err(unsent)? {
                Ok(Answer::Sent(answer)) => return Ok(answer),
                Ok(Answer::Lifted(value, epoch)) => {
                    self.adopt(bucket, &value, &epoch, round).map_err(unsent)?;
                    continue;
                }
                Err(error) => error,
            };
            let turn = self.turn(bucket, &link, &live, &error);
            let error = unsent(classify(error));
            match turn {
                Turn::GiveUp => return Err(error),
                Turn::Again | Turn::Ask(_) if Instant::now() + PAUSE >= deadline => return Err(error),
                Turn::Again => tokio::time::sleep(PAUSE).await,
                Turn::Ask(node) => asking = Some(node),
            }
            refused = Some(error);
        }
    }

    async fn present(&self, bucket: Bucket, deadline: Instant) -> Result<(Arc<Link>, Live)> {
        match &self.way {
            Way::One(link) | Way::Primary(link) => Ok((link.clone(), link.present(deadline).await?)),
            Way::Cluster(cluster) => cluster.present(bucket, deadline).await,
        }
    }

    async fn ask(&self, live: &Live, node: &str, deadline: Instant) -> Result<MultiplexedConnection> {
        match &self.way {
            Way::One(_) | Way::Primary(_) => Err(closed()),
            Way::Cluster(cluster) => cluster.asking(live, node, deadline).await,
        }
    }

    /// Decides about a request that was refused, and has what is wrong put right.
    fn turn(&self, bucket: Bucket, link: &Link, live: &Live, error: &RedisError) -> Turn {
        let ErrorKind::Server(kind) = error.kind() else { return Turn::GiveUp };
        match (&self.way, kind) {
            (Way::Primary(_), ServerErrorKind::ReadOnly) => {
                link.break_off(live);
                Turn::Again
            }
            (Way::Cluster(cluster), ServerErrorKind::Moved) => {
                cluster.moved(bucket, live, error.redirect_node().map(|(node, _)| node));
                Turn::Again
            }
            (Way::Cluster(_), ServerErrorKind::Ask) => match error.redirect_node() {
                Some((node, _)) => Turn::Ask(node.to_owned()),
                None => Turn::Again,
            },
            // Keys of the slot are on their way to another node, so that neither has all.
            (Way::Cluster(_), ServerErrorKind::TryAgain) => Turn::Again,
            (
                Way::Cluster(cluster),
                ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading,
            ) => {
                cluster.refresh();
                Turn::Again
            }
            _ => Turn::GiveUp,
        }
    }

    /// Starts on what the server says is the bucket's history.
    fn adopt(&self, bucket: Bucket, value: &str, epoch: &str, round: u64) -> Result<Token> {
        let token = token_from_text(value, epoch).ok_or_else(|| strange_answer("a token"))?;
        if self.shared.tokens.adopt(bucket, token, round) {
            tracing::warn!(redis = %self.shared.place, "the server has lost its history: tokens start a new epoch");
        }
        Ok(token)
    }
}

/// Lifts a bucket, and mints `count` tokens. Answers the value and the epoch.
async fn lift(
    shared: &Shared,
    bucket: Bucket,
    count: u8,
    mut connection: MultiplexedConnection,
) -> RedisResult<(String, String)> {
    let (floor, epoch) = token_to_args(shared.tokens.highest(bucket));
    let mut call = shared.scripts.lift.key(shared.keys.tokens(bucket));
    call.arg(shared.tokens.spare_epoch()).arg(epoch).arg(if floor == "-" { "0" } else { &floor }).arg(count);
    call.invoke_async(&mut connection).await
}

async fn answer_in_time<T>(
    place: &str,
    deadline: Instant,
    exchange: impl Future<Output = RedisResult<T>>,
) -> Result<RedisResult<T>> {
    timeout_at(deadline, exchange).await.map_err(|_| timed_out(place))
}
