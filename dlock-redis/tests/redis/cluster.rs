//! Clusters: names over all masters, and masters that are replaced.

use std::time::Duration;

use dlock_core::{Claim, ErrorKind, NamePrefix, Page, Queue, Renewal, Requested, Why};
use dlock_redis::RedisConfig;
use dlock_testkit::servers::{Redis, RedisCluster, RedisProgram};

use crate::support::{Client, ask, connection, eventually, exclusive, is_heard, try_to};

/// Long enough for a busy machine to connect in.
const TIMEOUT: Duration = Duration::from_secs(5);

/// `None` where no server can be had; that was printed then.
async fn start() -> Option<RedisCluster> {
    RedisProgram::Redis.installed().ok()?;
    Some(RedisCluster::start().await)
}

async fn client(redis: &RedisCluster) -> Client {
    Client::connect(RedisConfig::from_url(&redis.url()).unwrap().with_request_timeout(TIMEOUT)).await.unwrap()
}

/// The key of a claimed name, and its slot.
async fn key_of(redis: &RedisCluster, name: &str) -> (String, u16) {
    let mut found = Vec::new();
    for member in 0..redis.count() {
        if let Ok(mut keys) =
            try_to::<Vec<String>>(redis.addr(member), &["KEYS", &format!("dlock:*:name:{name}")]).await
        {
            found.append(&mut keys);
        }
    }
    let key = found.pop().expect("the name is claimed");
    let slot = ask(redis.addr(redis.count() - 1), &["CLUSTER", "KEYSLOT", &key]).await;
    (key, slot)
}

async fn master_of(redis: &RedisCluster, slot: u16) -> usize {
    redis.primary_of(slot).await.expect("the cluster is well")
}

/// Waits until the replica of a master has all that was written there.
async fn replicate(redis: &RedisCluster, master: usize, key: &str) {
    let mut raw = connection(redis.addr(master)).await;
    let marker = format!("marker:{{{}}}", key.split(['{', '}']).nth(1).unwrap());
    let _: () = redis::cmd("SET").arg(marker).arg("").query_async(&mut raw).await.unwrap();
    let replicas: usize = redis::cmd("WAIT").arg(1).arg(10_000).query_async(&mut raw).await.unwrap();
    assert_eq!(replicas, 1);
}

async fn is_renewed(client: &Client, claim: &Claim) -> bool {
    matches!(client.backend.renew(&[claim.to_ref()]).await.remove(0), Ok(Renewal::Alive { .. }))
}

/// One that holds, one that waits, and the master that keeps the name.
struct Pair {
    one: Client,
    two: Client,
    held: Claim,
    waiting: Claim,
    first: dlock_core::Grant,
    slot: u16,
    master: usize,
}

impl Pair {
    async fn on(redis: &RedisCluster) -> Self {
        let (one, two) = (client(redis).await, client(redis).await);
        let (held, waiting) = (exclusive("a"), exclusive("a"));
        let first = one.hold(&held).await;
        two.queue(&waiting).await;
        let (key, slot) = key_of(redis, "a").await;
        let master = master_of(redis, slot).await;
        replicate(redis, master, &key).await;
        Self { one, two, held, waiting, first, slot, master }
    }

    /// The lock is still held, and is handed over by a push.
    async fn goes_on(mut self) {
        eventually("the lock is renewed", || is_renewed(&self.one, &self.held)).await;
        eventually("the waiter is renewed", || is_renewed(&self.two, &self.waiting)).await;
        self.one.release(&self.held).await;
        let second = self.two.granted(&self.waiting).await;
        assert!(self.first.token < second.token, "{:?} {second:?}", self.first);
        self.two.release(&self.waiting).await;
    }
}

#[tokio::test]
async fn names_spread_over_all_masters_and_are_listed() {
    let Some(redis) = start().await else { return };
    let client = client(&redis).await;
    let claims: Vec<Claim> = (0..60).map(|number| exclusive(&format!("job/{number}"))).collect();
    for claim in &claims {
        client.hold(claim).await;
    }
    for master in 0..3 {
        let keys: Vec<String> = ask(redis.addr(master), &["KEYS", "dlock:*:name:*"]).await;
        assert!(keys.len() > 5, "member {master} has {keys:?}");
    }
    let renewed = client.backend.renew(&claims.iter().map(Claim::to_ref).collect::<Vec<_>>()).await;
    assert!(renewed.iter().all(|renewal| matches!(renewal, Ok(Renewal::Alive { .. }))), "{renewed:?}");

    let mut names = std::collections::BTreeSet::new();
    let mut page = Page { limit: 5, cursor: None };
    loop {
        let found = client.backend.list(&NamePrefix::root(), page).await.unwrap();
        names.extend(found.names.iter().map(ToString::to_string));
        match found.cursor {
            None => break,
            cursor => page = Page { limit: 5, cursor },
        }
    }
    assert_eq!(names.len(), claims.len(), "{names:?}");
    for claim in &claims {
        client.release(claim).await;
    }
    for master in 0..3 {
        let keys: Vec<String> = ask(redis.addr(master), &["KEYS", "*"]).await;
        assert!(keys.iter().all(|key| key.ends_with("}:tokens")), "{keys:?}");
    }
}

#[tokio::test]
async fn a_lock_and_its_waiter_outlive_the_death_of_their_master() {
    let Some(redis) = start().await else { return };
    let mut pair = Pair::on(&redis).await;
    redis.node(pair.master).kill();
    pair.two.suspect().await;
    redis.wait_for_primary_of(pair.slot, Some(pair.master)).await;
    pair.goes_on().await;
}

#[tokio::test]
async fn a_failover_on_request_loses_nothing() {
    let Some(redis) = start().await else { return };
    let pair = Pair::on(&redis).await;
    ask::<()>(redis.addr(pair.master + 3), &["CLUSTER", "FAILOVER"]).await;
    redis.wait_for_primary_of(pair.slot, Some(pair.master)).await;
    pair.goes_on().await;
}

#[tokio::test]
async fn a_master_that_is_cut_off_is_left() {
    let Some(redis) = start().await else { return };
    let pair = Pair::on(&redis).await;
    redis.isolate(pair.master);
    redis.wait_for_primary_of(pair.slot, Some(pair.master)).await;
    pair.goes_on().await;
}

#[tokio::test]
async fn a_master_that_hangs_is_left() {
    let Some(redis) = start().await else { return };
    let pair = Pair::on(&redis).await;
    redis.node(pair.master).stop();
    redis.wait_for_primary_of(pair.slot, Some(pair.master)).await;
    pair.goes_on().await;
}

#[tokio::test]
async fn a_slot_is_found_where_it_went() {
    let Some(redis) = start().await else { return };
    let pair = Pair::on(&redis).await;
    let (from, to) = (pair.master, (pair.master + 1) % 3);
    let slot = pair.slot.to_string();
    let ids =
        [ask::<String>(redis.addr(from), &["CLUSTER", "MYID"]).await, ask(redis.addr(to), &["CLUSTER", "MYID"]).await];
    ask::<()>(redis.addr(to), &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[0]]).await;
    ask::<()>(redis.addr(from), &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[1]]).await;

    // Half way, a new name is taken on either side of the move, and the old one is renewed or waits for it.
    let keys: Vec<String> = ask(redis.addr(from), &["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await;
    assert!(keys.len() >= 3, "{keys:?}");
    let (target, half) = (redis.addr(to), keys.len() / 2);
    let migrate = async |keys: &[String]| {
        for key in keys {
            let port = target.port().to_string();
            let moved: String = ask(redis.addr(from), &["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).await;
            assert_eq!(moved, "OK");
        }
    };
    migrate(&keys[..half]).await;
    let renewal = pair.one.backend.renew(&[pair.held.to_ref()]).await.remove(0);
    if let Err(error) = renewal {
        assert_eq!((error.kind(), error.landed()), (ErrorKind::Unavailable, dlock_core::Landed::No), "{error}");
    }
    migrate(&keys[half..]).await;
    for member in [to, from, (from + 2) % 3] {
        ask::<()>(redis.addr(member), &["CLUSTER", "SETSLOT", &slot, "NODE", &ids[1]]).await;
    }
    pair.goes_on().await;
}

#[tokio::test]
async fn requests_for_a_slot_on_its_way_are_asked_of_its_next_master() {
    let Some(redis) = start().await else { return };
    let client = client(&redis).await;
    let first = exclusive("a");
    client.hold(&first).await;
    let (key, slot) = key_of(&redis, "a").await;
    client.release(&first).await;
    let (from, slot) = (master_of(&redis, slot).await, slot.to_string());
    let to = (from + 1) % 3;
    let ids =
        [ask::<String>(redis.addr(from), &["CLUSTER", "MYID"]).await, ask(redis.addr(to), &["CLUSTER", "MYID"]).await];
    ask::<()>(redis.addr(to), &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[0]]).await;
    ask::<()>(redis.addr(from), &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[1]]).await;
    // No key of the name is at the old master, so the new one is to be asked for it.
    let claim = exclusive("a");
    client.hold(&claim).await;
    let mut raw = connection(redis.addr(to)).await;
    let _: () = redis::cmd("ASKING").query_async(&mut raw).await.unwrap();
    let there: u32 = redis::cmd("EXISTS").arg(&key).query_async(&mut raw).await.unwrap();
    assert_eq!(there, 1);
    client.release(&claim).await;
}

#[tokio::test]
async fn one_node_that_answers_is_enough_to_connect() {
    let Some(redis) = start().await else { return };
    redis.node(3).stop();
    redis.node(4).kill();
    let nodes = [3, 4, 5].map(|member| redis.addr(member).to_string());
    let config = RedisConfig::cluster(nodes).unwrap().with_request_timeout(TIMEOUT);
    let client = Client::connect(config).await.unwrap();
    for number in 0..20 {
        client.hold(&exclusive(&format!("job/{number}"))).await;
    }
    redis.node(3).resume();
}

#[tokio::test]
async fn a_slot_that_nobody_serves_is_an_error_and_the_others_are_served() {
    let Ok(()) = RedisProgram::Redis.installed() else { return };
    let redis = RedisCluster::builder().with_args(["--cluster-require-full-coverage", "no"]).start().await;
    let client = client(&redis).await;
    let claims: Vec<Claim> = (0..30).map(|number| exclusive(&format!("job/{number}"))).collect();
    redis.node(3).kill();
    redis.node(0).kill();
    let (mut held, mut refused) = (0, 0);
    for claim in &claims {
        match client.backend.request(claim, Queue::No).await {
            Ok(Requested::Held(..)) => held += 1,
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                refused += 1;
            }
        }
        if held > 0 && refused > 1 {
            break;
        }
    }
    assert!(held > 0 && refused > 0, "{held} {refused}");
    redis.restart(0).await;
    eventually("all are served again", || async {
        let mut served = true;
        for claim in &claims {
            served &= client.backend.request(claim, Queue::No).await.is_ok();
        }
        served
    })
    .await;
}

#[tokio::test]
async fn what_is_no_cluster_is_named() {
    let Ok(()) = Redis::installed() else { return };
    let single = Redis::start().await;
    let error = match Client::connect(RedisConfig::cluster([single.addr().to_string()]).unwrap()).await {
        Ok(_) => panic!("it connected"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains("not part of a redis cluster: use redis://"), "{error}");
}

#[tokio::test]
async fn a_closed_client_leaves_no_connection() {
    let Some(redis) = start().await else { return };
    let client = client(&redis).await;
    client.hold(&exclusive("a")).await;
    eventually("it listens at every master", || async {
        is_heard(redis.addr(0), 1).await && is_heard(redis.addr(1), 1).await && is_heard(redis.addr(2), 1).await
    })
    .await;
    client.backend.close().await.unwrap();
    let error = client.backend.withdraw(&exclusive("a").to_ref(), Why::Release).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    for master in 0..3 {
        eventually("its connection is gone", || is_heard(redis.addr(master), 0)).await;
    }
}
