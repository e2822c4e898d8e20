use etcd_client::{Client, LeaseClient};
use tokio::task::JoinSet;

use super::TTL;

/// Leases on etcd, kept alive as long as this is there.
pub(super) struct KeptLeases {
    ids: Vec<i64>,
    _keepers: JoinSet<()>,
}

impl KeptLeases {
    pub(super) async fn grant(client: &Client, count: usize) -> Self {
        let mut ids = Vec::with_capacity(count);
        let mut keepers = JoinSet::new();
        for _ in 0..count {
            let ttl = i64::try_from(TTL.as_secs()).expect("a ttl is no eternity");
            let lease = client.lease_client().grant(ttl, None).await.expect("the server answers").id();
            keepers.spawn(keep_alive(client.lease_client(), lease));
            ids.push(lease);
        }
        Self { ids, _keepers: keepers }
    }

    /// The lease of a task, which shares it with others where there are fewer leases than tasks.
    pub(super) fn of(&self, task: usize) -> i64 {
        self.ids[task % self.ids.len()]
    }
}

async fn keep_alive(mut client: LeaseClient, lease: i64) {
    let (mut keeper, mut answers) = client.keep_alive(lease).await.expect("the server answers");
    loop {
        tokio::time::sleep(TTL / 3).await;
        keeper.keep_alive().await.expect("the server answers");
        let answer = answers.message().await.expect("the server answers");
        assert!(answer.is_some_and(|answer| answer.ttl() > 0), "the lease is there");
    }
}
