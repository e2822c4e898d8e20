//! What dlock stores, as an operator finds and spoils it: by the names of keys.

use std::time::Duration;

use dlock_core::{LockName, Namespace};
use futures::TryStreamExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, RedisResult, ScanOptions};
use tokio::time::{Instant, sleep};

use super::operator::Operator;
use crate::stores::patience::until;

/// How long a name that everybody contends for may be free at most.
const IN_USE: Duration = Duration::from_secs(10);

/// A key, and the server that has it.
pub(super) type Found = (usize, String);

/// All keys that belong to names.
pub(super) async fn of_names(operator: &Operator, namespace: &Namespace) -> Vec<Found> {
    find(operator, &format!("{namespace}:{{*}}:*:*")).await
}

/// All keys of the namespace, those of its tokens too.
pub(super) async fn of_namespace(operator: &Operator, namespace: &Namespace) -> Vec<Found> {
    find(operator, &format!("{namespace}:{{*}}:*")).await
}

/// All keys of one name.
pub(super) async fn of_name(operator: &Operator, namespace: &Namespace, name: &LockName) -> Vec<Found> {
    find(operator, &format!("{namespace}:{{*}}:*:{name}")).await
}

/// The key of the claim or queue that is on a name, once there is one; `None` if nobody uses it.
pub(super) async fn on_name(operator: &Operator, namespace: &Namespace, name: &LockName) -> Option<Found> {
    let deadline = Instant::now() + IN_USE;
    while Instant::now() < deadline {
        let found = find(operator, &format!("{namespace}:{{*}}:name:{name}")).await.pop();
        if found.is_some() {
            return found;
        }
        sleep(Duration::from_millis(5)).await;
    }
    None
}

async fn find(operator: &Operator, pattern: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for server in operator.primaries().await {
        let scan = async || keys(&mut operator.connection(server).await?, pattern).await;
        found.extend(until(scan).await.into_iter().map(|key| (server, key)));
    }
    found
}

async fn keys(connection: &mut MultiplexedConnection, pattern: &str) -> RedisResult<Vec<String>> {
    let options = ScanOptions::default().with_pattern(pattern).with_count(1000);
    let mut keys: Vec<_> = connection.scan_options(options).await?.try_collect().await?;
    // A key may be returned several times (redis.io/docs, SCAN).
    keys.sort();
    keys.dedup();
    Ok(keys)
}
