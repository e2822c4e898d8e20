//! The URLs of this adapter.

use dlock_core::address::{Address, ServerUrl, TlsFiles};
use dlock_core::{Error, ErrorKind, Result};

use super::{DEFAULT_PORT, EtcdConfig};

const FORM: &str = "etcd://[user:password@]host[:port][,host[:port]...]";

/// Reads a URL. No message repeats a part of it but the scheme and an option's name.
pub(super) fn read(url: &str) -> Result<EtcdConfig> {
    read_parts(url).map_err(|error| error.context("the etcd url cannot be used"))
}

fn read_parts(url: &str) -> Result<EtcdConfig> {
    let url = ServerUrl::split(url, FORM)?;
    let is_encrypted = match url.scheme() {
        "etcd" => false,
        "etcds" => true,
        _ => return Err(url.malformed("it does not start with etcd:// or etcds://")),
    };
    if !matches!(url.path(), "" | "/") {
        return Err(url.malformed("etcd has no paths: remove what follows the last host"));
    }
    let mut config = EtcdConfig::new(url.addresses(DEFAULT_PORT)?.iter().map(Address::to_string));
    config.login = url.login()?;
    if config.login.password().is_some() && config.login.user().is_none() {
        return Err(url.malformed("the user is empty"));
    }
    let mut options = url.options(EtcdConfig::URL_OPTIONS)?;
    if let Some(timeout) = options.duration("request-timeout")? {
        config.request_timeout = timeout;
    }
    let files = TlsFiles::take_from(&mut options)?;
    if !is_encrypted && !files.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "ca-file, cert-file and key-file are for tls: write etcds:// for etcd://",
        ));
    }
    config.tls = is_encrypted.then_some(files);
    config.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dlock_core::address::Login;

    use super::*;

    #[test]
    fn urls_are_read() {
        for (url, endpoints, login, is_encrypted) in [
            ("etcd://localhost", vec!["localhost:2379"], Login::default(), false),
            ("etcd://a:1,b,[::1],[::1]:4/", vec!["a:1", "b:2379", "[::1]:2379", "[::1]:4"], Login::default(), false),
            ("etcd://me:p%40ss%3Aword@h:7", vec!["h:7"], Login::new("me", "p@ss:word"), false),
            ("etcds://me:@h", vec!["h:2379"], Login::new("me", ""), true),
        ] {
            let config = read(url).unwrap();
            assert_eq!(config.endpoints(), endpoints);
            assert_eq!((&config.login, config.tls.is_some()), (&login, is_encrypted));
        }
    }

    #[test]
    fn code_says_what_urls_say() {
        let shown = |config: EtcdConfig| format!("{config:?}");
        let url = "etcds://u:p@a,[::1]:7?ca-file=/a%20b&cert-file=c&key-file=k&request-timeout=500ms";
        let files = TlsFiles::none().with_ca("/a b").with_certificate("c", "k");
        let config = EtcdConfig::new(["a", "[::1]:7"]).with_login("u", "p").with_tls(files);
        let config = config.with_request_timeout(Duration::from_millis(500));
        assert_eq!(shown(read(url).unwrap()), shown(config));
        assert_eq!(shown(read("etcds://h").unwrap()), shown(EtcdConfig::new(["h"]).with_tls(TlsFiles::none())));
    }

    #[test]
    fn bad_urls_say_why_and_keep_the_secret() {
        for (url, why) in [
            ("redis://h", "does not start with etcd://"),
            ("etcd://", "host is missing"),
            ("etcd://a,,b", "host is missing"),
            ("etcd://h:0", "a port is a number"),
            ("etcd://h:99999", "a port is a number"),
            ("etcd://::1", "in brackets"),
            ("etcd://h o", "no host has"),
            ("etcd://u:secret@h/path", "etcd has no paths"),
            ("etcd://h?tls=1", "there are ca-file, cert-file, key-file, request-timeout"),
            ("etcd://h?ca-file=x", "are for tls: write etcds://"),
            ("etcds://h?cert-file=x", "belong together"),
            ("etcd://h?request-timeout=soon", "\"request-timeout\" is not a duration"),
            ("etcd://h?request-timeout=0", "must not be zero"),
            ("etcd://secret@h", "is user:password; the form is etcd://"),
            ("etcd://:secret@h", "the user is empty"),
            ("etcd://me:secret%4@h", "two hexadecimal digits"),
            ("etcd://me:secret%zz@h", "two hexadecimal digits"),
        ] {
            let error = read(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
