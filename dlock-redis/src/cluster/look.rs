//! Looking at a cluster.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{Error, ErrorKind, Result};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use redis::AsyncConnectionConfig;
use tokio::time::{Instant, sleep, timeout_at};

use super::view::{self, View};
use super::{Inner, PAUSE, host};
use crate::config::Address;
use crate::error::classify_connecting;
use crate::link::Live;

/// How long a look at the cluster waits for more nodes once one has answered that is with the majority.
const GRACE: Duration = Duration::from_millis(100);
/// As many nodes are asked at a time.
const ASKED: usize = 16;

/// What was heard in one look.
#[derive(Debug, Default)]
struct Best {
    /// Of the node to go by.
    view: Option<View>,
    /// How many are with the majority, as they say.
    well: usize,
    /// Why a node did not answer.
    trouble: Option<Error>,
}

impl Inner {
    /// Asks the nodes who keeps what, and goes by the one that has heard of most and is with the majority.
    pub(super) async fn look(&self) -> Result<()> {
        let (linked, masters) = self.linked();
        let mut best = Best::default();
        best.hear(linked.iter().map(|live| self.ask_on(live)).collect(), self.patience).await;
        // Most masters know what there is to be known. Else those are asked that there is no connection to.
        if best.well * 2 <= masters {
            let nodes = self.candidates();
            best.hear(nodes.iter().take(ASKED).map(|node| self.ask(node)).collect(), self.patience).await;
        }
        let view = best.view.ok_or_else(|| best.trouble.unwrap_or_else(|| self.nobody_keeps()))?;
        self.change(|map| {
            map.masters = self.shared.keys.buckets().map(|bucket| view.master_of(bucket.slot()).cloned()).collect();
            map.nodes = view.nodes;
        });
        Ok(())
    }

    /// The connections that there are, and how many there should be.
    fn linked(&self) -> (Vec<Live>, usize) {
        let map = self.map.borrow();
        (map.links.values().filter_map(|link| link.live()).collect(), map.links.len())
    }

    /// The nodes known from the last look, and those that were given.
    fn candidates(&self) -> Vec<Address> {
        let mut nodes = self.map.borrow().nodes.clone();
        // Each time in another order, so that all get their turn of many.
        let turn = fastrand::usize(..nodes.len().max(1));
        nodes.rotate_left(turn);
        let given: Vec<_> = self.config.nodes().iter().filter(|given| !nodes.contains(given)).cloned().collect();
        nodes.extend(given);
        nodes
    }

    async fn ask(&self, node: &Address) -> Result<View> {
        let asked = async {
            let client = self.config.client_at(node)?;
            let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
            let connected = client.get_multiplexed_async_connection_with_config(&config).await;
            let mut connection = connected.map_err(classify_connecting)?;
            View::read(&node.host, view::question().query_async(&mut connection).await)
        };
        let answer = asked.await;
        answer.map_err(|error| error.context(format_args!("cannot ask the node of the cluster at {node}")))
    }

    async fn ask_on(&self, live: &Live) -> Result<View> {
        View::read(&host(live), view::question().query_async(&mut live.connection()).await)
    }
}

impl Best {
    /// Listens to what is answered in time.
    async fn hear(&mut self, mut asked: FuturesUnordered<impl Future<Output = Result<View>>>, patience: Duration) {
        let mut deadline = Instant::now() + patience;
        while let Ok(Some(answer)) = timeout_at(deadline, asked.next()).await {
            match answer {
                Ok(view) => {
                    if view.is_well {
                        self.well += 1;
                        deadline = deadline.min(Instant::now() + GRACE);
                    }
                    let worth = |view: &View| (view.is_well, view.epoch);
                    self.view = self.view.take().filter(|best| worth(best) >= worth(&view)).or(Some(view));
                }
                // A node that is not there says less than one that is of another kind.
                Err(error) if self.trouble.is_none() || error.kind() != ErrorKind::Unavailable => {
                    self.trouble = Some(error);
                }
                Err(_) => {}
            }
        }
    }
}

/// Looks at the cluster whenever the map may be wrong. Ends with the cluster.
pub(super) async fn keep_looking(inner: Arc<Inner>) {
    loop {
        inner.stale.notified().await;
        if let Err(error) = inner.look().await {
            tracing::debug!(%error, "cannot look at the cluster now");
        }
        sleep(PAUSE).await;
    }
}
