//! What an application's URL may say, and what it is answered when it cannot be used.

use dlock::ErrorKind;

/// The URL is refused, for this reason, without a password in the message.
#[track_caller]
fn refused(url: &str, kind: ErrorKind, why: &str) {
    let error = dlock::builder(url).map(|builder| format!("{builder:?}")).expect_err(url);
    assert!(error.to_string().contains(why), "{url}: {error}");
    assert_eq!(error.kind(), kind, "{url}: {error}");
    assert!(!format!("{error} {error:?}").contains("secret"), "{url}: {error:?}");
}

#[test]
fn what_is_not_a_backend_url_is_refused() {
    use ErrorKind::InvalidInput;
    for (url, why) in [
        ("", "the backend url is empty: "),
        ("localhost", "starts with the scheme of a backend"),
        ("/var/lib/locks", "starts with the scheme of a backend"),
        (":memory:", "starts with the scheme of a backend"),
        ("u:secret@h", "starts with the scheme of a backend"),
        ("secret@h:6379", "starts with the scheme of a backend"),
        ("secret:x@h:6379", "starts with the scheme of a backend"),
        ("http://u:secret@h", "unknown scheme \"http\" in the backend url: "),
        ("redis://u:secret@h\n", "no spaces and no control characters"),
        ("redis://u:sec ret@h", "no spaces and no control characters"),
        ("redis://u:#secret@h", "write a # that belongs to it as %23"),
        ("redis://u:?secret@h", "write a ? in a password as %3F"),
    ] {
        refused(url, InvalidInput, why);
    }
}

#[test]
fn an_unknown_scheme_is_answered_with_those_that_are_compiled_in() {
    for (present, form, feature) in [
        (cfg!(feature = "memory"), "memory:NAME", "memory"),
        (cfg!(feature = "file"), "file:///DIRECTORY", "file"),
        (cfg!(feature = "redis"), "redis://HOST:PORT", "redis"),
        (cfg!(feature = "etcd"), "etcd://HOST:PORT,HOST:PORT", "etcd"),
    ] {
        let message = dlock::builder("ftp://h").unwrap_err().to_string();
        assert_eq!(message.contains(form), present, "{message}");
        if !present {
            let (_, absent) = message.split_once("cargo feature").expect("what is missing is named");
            assert!(absent.contains(feature), "{message}");
            refused(
                &format!("{feature}://u:secret@h"),
                ErrorKind::InvalidInput,
                &format!("the {feature} backend is not compiled in: enable the cargo feature {feature:?}"),
            );
        }
    }
}

#[cfg(feature = "memory")]
#[tokio::test]
async fn a_memory_url_names_a_store_of_this_process() {
    let [one, same, other] = ["memory:a%20b", "MEMORY:a%20b?label=x", "memory:"];
    let (one, same, other) =
        (dlock::connect(one).await.unwrap(), dlock::connect(same).await.unwrap(), dlock::connect(other).await.unwrap());
    let guard = one.lock("n").unwrap().acquire().await.unwrap();
    assert!(same.lock("n").unwrap().try_acquire().await.unwrap().is_none());
    assert!(other.lock("n").unwrap().try_acquire().await.unwrap().is_some());
    drop(guard);
    refused("memory://a", ErrorKind::InvalidInput, "memory:NAME");
    refused("memory:a?ttl=never", ErrorKind::InvalidInput, "option \"ttl\" is not a duration");
    refused("memory:a?tls=yes", ErrorKind::InvalidInput, "unknown option \"tls\" in the backend url: there are name");
    refused("memory:%FF", ErrorKind::InvalidInput, "the memory store's name: what is percent-encoded is not utf-8");
}

#[cfg(feature = "memory")]
#[tokio::test]
async fn options_in_the_url_are_settings_of_the_client() {
    use std::time::Duration;

    let plain = dlock::connect("memory:options").await.unwrap();
    let set = dlock::connect("memory:options?ttl=7s&label=w%C3%B6rker&max-hold=200ms").await.unwrap();
    let apart = dlock::connect("memory:options?namespace=apart").await.unwrap();
    let later = dlock::builder("memory:options?ttl=7s").unwrap().ttl(Duration::from_secs(9)).connect().await.unwrap();

    assert_eq!(plain.lock("n").unwrap().ttl(), Duration::from_secs(30));
    assert_eq!(set.lock("n").unwrap().ttl(), Duration::from_secs(7));
    assert_eq!(later.lock("n").unwrap().ttl(), Duration::from_secs(9), "what is set on the builder wins");

    let guard = set.lock("n").unwrap().acquire().await.unwrap();
    assert_eq!(plain.inspect("n").await.unwrap().holders[0].metadata.label, "wörker");
    assert!(apart.inspect("n").await.unwrap().is_free());
    assert_eq!(guard.lost().await, dlock::Loss::MaxHold);

    let error = dlock::connect("memory:options?ttl=1ns").await.unwrap_err();
    assert!(error.to_string().contains("the memory backend takes a ttl from"), "{error}");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[cfg(feature = "file")]
#[tokio::test]
async fn a_file_url_names_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a b+ü");
    let encoded = format!("{}/a%20b+%C3%BC", dir.path().display());
    let [three, one, host] = ["//", "", "//localhost"].map(|slashes| format!("file:{slashes}{encoded}"));
    let three = dlock::connect(&three).await.unwrap();
    let guard = three.lock("n").unwrap().acquire().await.unwrap();
    assert!(path.is_dir());
    for url in [one, host] {
        let locks = dlock::connect(&url).await.unwrap();
        assert!(locks.lock("n").unwrap().try_acquire().await.unwrap().is_none(), "{url} is the same directory");
    }
    guard.release().await.unwrap();

    for (url, why) in [
        ("file:", "names no directory: write file:///var/lib/my-app/locks"),
        ("file://", "names no directory"),
        ("file:locks", "from its root, with three slashes"),
        ("file:./locks", "from its root, with three slashes"),
        ("file://locks", "from its root, with three slashes"),
        ("file://host/locks", "from its root, with three slashes"),
        ("file:///a%", "the directory in the file url: a % is followed by two hexadecimal digits"),
        ("file:///a%FFb", "the directory in the file url: what is percent-encoded is not utf-8"),
        ("file:///a%00b", "NUL"),
    ] {
        refused(url, ErrorKind::InvalidInput, why);
    }
}

#[cfg(feature = "redis")]
#[test]
fn redis_urls_are_the_adapters_to_read() {
    for url in [
        "redis://localhost",
        "redis://u:p%40ss@127.0.0.1:7000/3?ttl=5s&replicas=1",
        "valkey://h",
        "redis://[::1]:7000",
        "rediss://h?ca-file=/etc/ca.pem&namespace=x",
        "unix:///run/redis.sock?db=2",
        "redis+unix://u:pw@/run/redis.sock",
        "redis-sentinel://u:pw@a,b:26380,[::1]/locks/2?sentinel-user=w&ttl=5s&sentinel-password=x%26y",
        "rediss-sentinel://a/locks",
        "redis-cluster://u:pw@a,b:7000",
        "valkeys-cluster://a",
    ] {
        let _ = dlock::builder(url).expect(url);
    }
    for (url, why) in [
        ("redis:", "redis://"),
        ("redis://", "host is missing"),
        ("redis://:secret@h:port", "a port is a number"),
        ("redis://:secret@h:77777", "a port is a number"),
        ("redis://:secret@h/db", "the database is a small number"),
        ("redis://:%FFsecret@h", "malformed"),
        ("redis://:secret@h?db=1", "option \"db\" is for unix sockets"),
        ("redis://:secret@h?tls=yes", "max-hold and retry-for, and for this backend ca-file, cert-file"),
        ("redis-sentinel://:secret@h", "names no service"),
        ("redis-cluster://:secret@h/1", "only database 0"),
    ] {
        refused(url, ErrorKind::InvalidInput, why);
    }
    let shown = format!("{:?}", dlock::builder("redis://:secret@h").unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}

#[cfg(feature = "etcd")]
#[test]
fn etcd_urls_are_the_adapters_to_read() {
    use ErrorKind::InvalidInput;
    for url in [
        "etcd://localhost",
        "etcd://a,b:2479,c?ttl=5s&request-timeout=500ms",
        "etcd://u:p%40ss@a,b",
        "etcd://[::1]:2379",
        "etcds://u:pw@a,b?ca-file=/etc/ca.pem&namespace=x&cert-file=/c&key-file=/k",
    ] {
        let _ = dlock::builder(url).expect(url);
    }
    for (url, why) in [
        ("etcd:", "etcd://"),
        ("etcd://", "host"),
        ("etcd://a,,b", "host"),
        ("etcd://u:secret@a:port", "port"),
        ("etcd://u:secret@a:77777", "port"),
        ("etcd://u:secret@a/path", "path"),
        ("etcd://u:%FFsecret@a", "percent-encoded"),
        ("etcd://u:secret@a?ca-file=x", "etcds://"),
        ("etcds://u:secret@a?db=1", "for this backend ca-file, cert-file, key-file, request-timeout"),
    ] {
        refused(url, InvalidInput, why);
    }
    let shown = format!("{:?}", dlock::builder("etcd://u:secret@h").unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}

#[cfg(all(feature = "etcd", not(feature = "tls")))]
#[tokio::test]
async fn tls_that_is_not_built_in_is_named() {
    let error = dlock::connect("etcds://u:secret@127.0.0.1:1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("enable the cargo feature `tls`"), "{error}");
}

/// Nobody listens on the port: the message says where, and keeps the password.
#[cfg(any(feature = "redis", feature = "etcd"))]
#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for scheme in ["redis", "etcd"] {
        if scheme == "redis" && cfg!(not(feature = "redis")) || scheme == "etcd" && cfg!(not(feature = "etcd")) {
            continue;
        }
        let error = dlock::connect(&format!("{scheme}://u:secret@{free}")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(error.to_string().contains(&free.to_string()), "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
