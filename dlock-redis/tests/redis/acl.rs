//! The least rights that a user needs.

use std::net::SocketAddr;
use std::time::Duration;

use dlock_core::{
    ErrorKind, Landed, Mode, NamePrefix, Namespace, Page, Queue, Renewal, Requested, Result, Why, Withdrawn,
};
use dlock_redis::{RedisConfig, acl_rules};
use dlock_testkit::servers::{Redis, RedisCluster, RedisProgram, RedisSentinel};

use crate::support::{Client, LONG, World, ask, claim, eventually, exclusive};

const USER: &str = "locks";

/// A server of each kind that can be had: they refuse in words of their own.
async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for program in [RedisProgram::Redis, RedisProgram::Valkey] {
        if program.installed().is_ok() {
            worlds.extend(World::start_with(Redis::builder().with_program(program)).await);
        }
    }
    worlds
}

/// Gives the user these rights and no others.
async fn grant(world: &World, rules: &[&str]) {
    world.run::<()>(&[&["ACL", "SETUSER", USER, "reset", "on", ">pw"], rules].concat()).await;
}

fn login(world: &World) -> RedisConfig {
    world.config().with_login(USER, "pw")
}

fn rules() -> Vec<String> {
    acl_rules(&Namespace::default()).split(' ').map(str::to_owned).collect()
}

/// The commands among the rules.
fn commands() -> Vec<String> {
    rules().iter().filter_map(|rule| rule.strip_prefix('+').map(str::to_owned)).collect()
}

/// Everything that a client does.
async fn everything(world: &World) -> Result<()> {
    let (mut one, mut two) = (Client::connect(login(world)).await?, Client::connect(login(world)).await?);
    // A plain cycle, renewed, seen by another client, broken.
    let held = exclusive("a");
    let grant = one.hold(&held).await;
    assert_eq!(two.inspect("a").await.holders[0].token, Some(grant.token), "its owner was asked for the token");
    assert!(matches!(one.renew(&held).await, Renewal::Alive { grant: Some(_), .. }));
    let page = Page { cursor: None, limit: 10_000 };
    assert_eq!(two.backend.list(&NamePrefix::root(), page).await?.names.len(), 1);
    two.backend.withdraw(&held.to_ref(), Why::Break).await?;
    one.gone(&held).await;
    // A queue: those who wait are refused, cancelled, broken, granted.
    let (writer, readers) = (exclusive("a"), [claim("a", Mode::Shared, LONG), claim("a", Mode::Shared, LONG)]);
    let (cancelled, broken) = (exclusive("a"), exclusive("a"));
    one.hold(&writer).await;
    for waiter in [&readers[0], &readers[1], &cancelled, &broken] {
        two.queue(waiter).await;
    }
    assert_eq!(one.backend.request(&exclusive("a"), Queue::No).await?, Requested::Refused);
    assert!(matches!(two.renew(&readers[0]).await, Renewal::Alive { grant: None, .. }));
    two.backend.withdraw(&cancelled.to_ref(), Why::Cancel).await?;
    one.backend.withdraw(&broken.to_ref(), Why::Break).await?;
    two.gone(&broken).await;
    one.backend.convert(&writer.to_ref(), Mode::Shared).await?;
    two.granted(&readers[0]).await;
    two.granted(&readers[1]).await;
    for (client, held) in [(&one, &writer), (&two, &readers[0]), (&two, &readers[1])] {
        client.release(held).await;
    }
    // A name that lapses, a plain claim that is made shared, and damage.
    let (short, next) = (claim("b", Mode::Exclusive, Duration::from_millis(300)), exclusive("b"));
    one.hold(&short).await;
    two.queue(&next).await;
    two.granted(&next).await;
    two.backend.convert(&next.to_ref(), Mode::Shared).await?;
    world.run::<()>(&["HSET", &key("b"), &next.id.to_string(), "nonsense"]).await;
    world.run::<()>(&["SET", &key("c"), "nonsense"]).await;
    for name in ["b", "c"] {
        let mut state = one.inspect(name).await;
        assert!(!state.damaged.is_empty(), "{state:?}");
        while let Some(damaged) = state.damaged.pop() {
            assert_eq!(one.backend.clear_damage(&state.name, &damaged).await?, Withdrawn::Removed);
            state = one.inspect(name).await;
        }
        assert!(state.is_free(), "{state:?}");
    }
    // A new connection.
    world.run::<()>(&["CLIENT", "KILL", "USER", USER]).await;
    one.suspect().await;
    let again = exclusive("d");
    one.hold(&again).await;
    one.release(&again).await;
    Ok(())
}

fn key(name: &str) -> String {
    format!("dlock:{{0}}:name:{name}")
}

#[tokio::test]
async fn the_least_rights_suffice_and_none_is_superfluous() {
    for world in worlds().await {
        let rules = rules();
        grant(&world, &rules.iter().map(String::as_str).collect::<Vec<_>>()).await;
        world.run::<()>(&["CONFIG", "RESETSTAT"]).await;
        everything(&world).await.unwrap();
        let operators = ["set", "hset"];
        for command in commands() {
            let calls = world.calls(&command).await;
            let own = u64::from(operators.contains(&command.as_str()));
            assert!(calls > own, "{command} is granted and was not used");
        }
    }
}

#[tokio::test]
async fn whoever_lacks_a_right_is_told_which() {
    for world in worlds().await {
        let rules = rules();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        for command in commands().iter().filter(|command| *command != "info") {
            grant(&world, &[&rules[..], &[&format!("-{command}")]].concat()).await;
            let error =
                Client::connect(login(&world)).await.err().unwrap_or_else(|| panic!("connected without {command}"));
            assert_eq!((error.kind(), error.landed()), (ErrorKind::Denied, Landed::No), "{error}");
            let name = command.replace("script|load", "script");
            assert!(error.to_string().contains(&name), "{command}: {error}");
        }
        for (strange, own) in [("~other:*", "~dlock:*"), ("%R~dlock:*", "~dlock:*"), ("&other:*", "&dlock:inbox:*")] {
            let others = rules.iter().map(|rule| if *rule == own { strange } else { rule });
            grant(&world, &others.collect::<Vec<_>>()).await;
            let error = Client::connect(login(&world)).await.err().unwrap_or_else(|| panic!("connected by {strange}"));
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            assert!(error.to_string().contains(&format!("ACL SETUSER {USER} {own}")), "{error}");
        }
    }
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_missed_by_the_request_that_needs_it() {
    for world in worlds().await {
        let rules = rules();
        grant(&world, &rules.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let client = Client::connect(login(&world)).await.unwrap();
        let held = exclusive("a");
        client.hold(&held).await;
        world.run::<()>(&["ACL", "SETUSER", USER, "-evalsha"]).await;
        let error = client.backend.request(&exclusive("a"), Queue::Yes).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("grant this user"), "{error}");
        world.run::<()>(&["ACL", "SETUSER", USER, "+evalsha", "resetkeys"]).await;
        let error = client.backend.renew(&[held.to_ref()]).await.remove(0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        world.run::<()>(&["ACL", "SETUSER", USER, "~dlock:*"]).await;
        eventually("it may renew again", || async { client.backend.renew(&[held.to_ref()]).await[0].is_ok() }).await;
        client.release(&held).await;
    }
}

#[tokio::test]
async fn more_is_needed_where_replicas_acknowledge() {
    let Some(world) = World::start().await else { return };
    let rules = rules();
    grant(&world, &rules.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let error = Client::connect(login(&world).with_replicas(1)).await.err().expect("it lacks a right");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().ends_with(&format!("ACL SETUSER {USER} +wait")), "{error}");
    world.run::<()>(&["ACL", "SETUSER", USER, "+wait"]).await;
    Client::connect(login(&world).with_replicas(1)).await.unwrap();
}

#[tokio::test]
async fn a_user_of_sentinels_needs_little() {
    if RedisProgram::Redis.installed().is_err() {
        return;
    }
    let redis = RedisSentinel::start().await;
    let rules = "resetchannels &+switch-master -@all +sentinel|master +sentinel|get-master-addr-by-name +subscribe";
    for sentinel in redis.sentinels() {
        let words: Vec<&str> = ["ACL", "SETUSER", "watcher", "on", ">pw"].into_iter().chain(rules.split(' ')).collect();
        ask::<()>(redis.addr(sentinel), &words).await;
    }
    let config = RedisConfig::from_url(&redis.url()).unwrap().with_sentinel_login("watcher", "pw");
    let client = Client::connect(config).await.unwrap();
    client.hold(&exclusive("a")).await;
    for sentinel in redis.sentinels() {
        eventually("it is listened to", || async {
            let clients: String = ask(redis.addr(sentinel), &["CLIENT", "LIST", "TYPE", "pubsub"]).await;
            clients.contains("user=watcher")
        })
        .await;
    }
}

#[tokio::test]
async fn more_is_needed_in_a_cluster() {
    if RedisProgram::Redis.installed().is_err() {
        return;
    }
    let cluster = RedisCluster::start().await;
    let url = cluster.url();
    let nodes = url.split_once("://").unwrap().1.split(',');
    let nodes: Vec<SocketAddr> = nodes.map(|node| node.parse().unwrap()).collect();
    let rules = rules();
    let more = ["+cluster|slots", "+cluster|info", "+asking"];
    let set_up = ["ACL", "SETUSER", USER, "on", ">pw"].into_iter().chain(rules.iter().map(String::as_str)).chain(more);
    let set_up: Vec<&str> = set_up.collect();
    let tell = |words: Vec<&str>| {
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let nodes = nodes.clone();
        async move {
            for node in nodes {
                ask::<()>(node, &words.iter().map(String::as_str).collect::<Vec<_>>()).await;
            }
        }
    };
    tell(set_up).await;
    let login = || RedisConfig::from_url(&url).unwrap().with_login(USER, "pw");
    let client = Client::connect(login()).await.unwrap();
    let held = exclusive("a");
    client.hold(&held).await;
    client.release(&held).await;
    for right in more {
        let (taken, given) = (right.replace('+', "-"), right);
        tell(vec!["ACL", "SETUSER", USER, &taken]).await;
        let error = Client::connect(login()).await.err().unwrap_or_else(|| panic!("connected with {taken}"));
        assert_eq!(error.kind(), ErrorKind::Denied, "{taken}: {error}");
        tell(vec!["ACL", "SETUSER", USER, given]).await;
    }
}
