//! A connection of an operator's own.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error};
use percent_encoding::percent_decode_str;

const PATIENCE: Duration = Duration::from_secs(10);

/// Connects by a URL of dlock's, with the endpoints and the login that it names.
pub(crate) async fn connect(url: &str, endpoints: &[String]) -> Result<Client, Error> {
    let options = ConnectOptions::new().with_connect_timeout(PATIENCE).with_timeout(PATIENCE);
    let options = match login(url) {
        Some((user, password)) => options.with_user(user, password),
        None => options,
    };
    Client::connect(endpoints, Some(with_tls(options, url)?)).await
}

#[cfg(feature = "tls")]
fn with_tls(options: ConnectOptions, url: &str) -> Result<ConnectOptions, Error> {
    use etcd_client::{Certificate, Identity, TlsOptions};

    if !url.starts_with("etcds://") {
        return Ok(options);
    }
    let read = |name| option(url, name).map(std::fs::read).transpose();
    let mut tls = TlsOptions::new().with_enabled_roots();
    if let Some(authority) = read("ca-file")? {
        tls = tls.ca_certificate(Certificate::from_pem(authority));
    }
    if let (Some(certificate), Some(key)) = (read("cert-file")?, read("key-file")?) {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Ok(options.with_tls(tls))
}

#[cfg(not(feature = "tls"))]
fn with_tls(options: ConnectOptions, _url: &str) -> Result<ConnectOptions, Error> {
    Ok(options)
}

/// User and password.
fn login(url: &str) -> Option<(String, String)> {
    let (_, rest) = url.split_once("://")?;
    let (login, _) = rest.split(['/', '?']).next()?.rsplit_once('@')?;
    let (user, password) = login.split_once(':')?;
    Some((decoded(user)?, decoded(password)?))
}

#[cfg(feature = "tls")]
fn option(url: &str, name: &str) -> Option<String> {
    let (_, options) = url.split_once('?')?;
    options.split('&').find_map(|option| decoded(option.strip_prefix(name)?.strip_prefix('=')?))
}

fn decoded(text: &str) -> Option<String> {
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_is_read_from_the_url() {
        assert_eq!(login("etcd://me:p%40ss:word@h,i"), Some(("me".into(), "p@ss:word".into())));
        assert_eq!(login("etcds://h:2379?ca-file=/a:b@c"), None);
    }

    #[test]
    #[cfg(feature = "tls")]
    fn options_are_read_from_the_url() {
        let url = "etcds://h?ca-file=%2Fa%26b&key-file=/k";
        assert_eq!(option(url, "ca-file"), Some("/a&b".into()));
        assert_eq!(option(url, "key-file"), Some("/k".into()));
        assert_eq!(option(url, "cert-file"), None);
    }
}
