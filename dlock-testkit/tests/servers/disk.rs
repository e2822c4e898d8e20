//! Disks that are full.

use std::fs;
use std::net::SocketAddr;

use dlock_testkit::servers::{Etcd, Redis, SmallDisk};

use crate::BOUND;
use crate::talk::{command, eventually, http, try_http};

#[test]
fn a_small_disk_is_full_until_it_is_freed() {
    let Ok(()) = SmallDisk::available() else { return };
    let disk = SmallDisk::new(1 << 20).expect("it is available");
    let (path, file) = (disk.path().to_owned(), disk.path().join("file"));
    disk.fill();
    assert!(fs::write(&file, "text").is_err(), "there is no room for four bytes");
    disk.free();
    fs::write(&file, "text").expect("there is room again");
    assert_eq!(fs::canonicalize(&path).expect("it is a directory"), path, "links lead to no other place");
    drop(disk);
    assert!(!path.exists());
}

#[tokio::test]
async fn redis_refuses_writes_when_its_disk_is_full() {
    let (Ok(()), Ok(())) = (Redis::installed(), SmallDisk::available()) else { return };
    let redis = Redis::builder().append_only().with_disk(8 << 20).start().await;
    assert_eq!(command(redis.addr(), "SET key value").expect("redis answers"), "+OK");
    redis.fill_disk();
    // With appendfsync always it rather ends than answer what it could not write.
    let set = || command(redis.addr(), &format!("SET key {}", "v".repeat(8192)));
    eventually(|| !set().is_ok_and(|answer| answer == "+OK"));
    redis.free_disk();
    redis.restart().await;
    assert_eq!(command(redis.addr(), "SET key value").expect("redis answers"), "+OK");
}

#[tokio::test]
async fn etcd_loses_nothing_when_its_disk_is_full() {
    let (Ok(()), Ok(())) = (Etcd::installed(), SmallDisk::available()) else { return };
    let etcd = Etcd::builder().with_disk(192 << 20).start().await;
    let (addr, dir) = (etcd.addr(), etcd.dir().to_owned());
    assert!(put(addr, "a2V5", "dmFsdWU="));
    etcd.fill_disk();
    // It writes on where it has taken room already, but not for long.
    let much = "bXVj".repeat(64 * 1024);
    eventually(|| !put(addr, "bXVjaA==", &much));
    etcd.free_disk();
    etcd.restart().await;
    assert!(http(addr, "/v3/kv/range", r#"{"key":"a2V5"}"#).contains("dmFsdWU="));
    assert!(put(addr, "a2V5", "dmFsdWU="));
    drop(etcd);
    assert!(!dir.exists());
}

fn put(addr: SocketAddr, key: &str, value: &str) -> bool {
    let answer = try_http(addr, "/v3/kv/put", &format!(r#"{{"key":"{key}","value":"{value}"}}"#), BOUND);
    answer.is_ok_and(|answer| answer.contains(r#""revision":"#))
}
