//! Servers that tests share, and what happens where there is none.

use std::env;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::Command;

use dlock_testkit::servers::{self, Etcd, Redis};

use crate::talk::{command, http};

const SHARED: &str = "shared::shared_servers_are_started_once";

#[tokio::test]
async fn shared_servers_are_started_once() {
    let redis = servers::redis().await;
    let etcd = servers::etcd().await;
    let (Ok(redis), Ok(etcd)) = (redis, etcd) else { return };
    println!("shared {} and {}", redis.url(), etcd.url());
    assert_eq!(servers::redis().await.expect("it is there").url(), redis.url());
    assert_eq!(servers::etcd().await.expect("it is there").url(), etcd.url());
    let pong = command(resolve(redis.authority()), "PING").expect("redis answers");
    assert!(pong == "+PONG" || pong.starts_with("-NOAUTH"), "{pong}");
    assert!(http(resolve(etcd.authority()), "/v3/kv/range", r#"{"key":"a2V5"}"#).contains("cluster_id"));
}

#[test]
fn a_missing_server_is_a_loud_skip_unless_it_is_required() {
    let nothing_installed = tempfile::tempdir().expect("a directory can be made");
    let run = |test: &str, env: &[(&str, &str)]| {
        let mut command = Command::new(env::current_exe().expect("a test program knows its path"));
        command.args(["--exact", test]).env("PATH", nothing_installed.path());
        for variable in ["DLOCK_REQUIRE", "DLOCK_TEST_REDIS", "DLOCK_TEST_ETCD"] {
            command.env_remove(variable);
        }
        let output = command.envs(env.iter().copied()).output().expect("the test program starts again");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };

    let (passed, _, errors) = run(SHARED, &[]);
    assert!(passed);
    for skipped in [
        "SKIPPED redis: redis-server is not installed and DLOCK_TEST_REDIS is not set\n",
        "SKIPPED etcd: etcd is not installed and DLOCK_TEST_ETCD is not set\n",
    ] {
        assert!(errors.contains(skipped), "{errors}");
    }

    let (passed, output, errors) = run(SHARED, &[("DLOCK_REQUIRE", "etcd")]);
    assert!(!passed && output.contains("DLOCK_REQUIRE asks for etcd, but etcd is not installed"), "{output}");
    assert!(errors.contains("SKIPPED redis"), "{errors}");

    // Tests that run against a given server cannot stop it: required or not, they do not run.
    let given = [("DLOCK_REQUIRE", "redis"), ("DLOCK_TEST_REDIS", "redis://127.0.0.1:1")];
    let (passed, _, errors) = run("redis::redis_serves_and_forgets_at_a_kill", &given);
    let skipped = "SKIPPED redis: redis-server is not installed, and this test needs a server of its own\n";
    assert!(passed && errors.contains(skipped), "{errors}");
}

#[tokio::test]
async fn a_given_server_is_used_as_it_is() {
    let (Ok(()), Ok(())) = (Redis::installed(), Etcd::installed()) else { return };
    let (redis, etcd) = (Redis::start().await, Etcd::start().await);
    let given = Command::new(env::current_exe().expect("a test program knows its path"))
        .args(["--exact", SHARED, "--nocapture"])
        .env("DLOCK_TEST_REDIS", redis.url())
        .env("DLOCK_TEST_ETCD", etcd.endpoint())
        .output()
        .expect("the test program starts again");
    let output = String::from_utf8_lossy(&given.stdout);
    assert!(given.status.success(), "{output}");
    assert!(output.contains(&format!("shared {} and {}\n", redis.url(), etcd.url())), "{output}");
}

fn resolve(authority: &str) -> SocketAddr {
    authority.to_socket_addrs().expect("a server has a known host").next().expect("a host has an address")
}
