//! The same on a lock service, where the lock lives by its ttl.

#![cfg(any(feature = "redis", feature = "etcd"))]

use std::net::TcpListener;

use crate::site::Site;

#[test]
fn a_service_that_does_not_answer_is_69_and_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = Site::new();
    for scheme in [cfg!(feature = "redis").then_some("redis"), cfg!(feature = "etcd").then_some("etcd")] {
        let Some(scheme) = scheme else { continue };
        let url = format!("{scheme}://u:secret@{free}");
        let ended = site.ended(site.dlock(&["run", "--backend", &url, "a", "--", "echo", "ran"]));
        assert_eq!((ended.code, &*ended.stdout), (Some(69), ""), "{ended:?}");
        assert!(ended.stderr.contains(&free.to_string()) && !ended.stderr.contains("secret"), "{ended:?}");
    }
}
