//! The URLs of this adapter.

use std::path::PathBuf;

use dlock_core::{Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;

use super::RedisConfig;
use super::address::Address;
use super::login::Login;
use super::servers::Servers;
use super::tls::TlsFiles;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// What a scheme stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Unix,
    Sentinel,
    Cluster,
}

impl Kind {
    /// How a URL looks, for messages.
    fn form(self) -> &'static str {
        match self {
            Self::Single => "redis://[[user]:password@]host[:port][/database]",
            Self::Unix => "redis+unix://[[user]:password@]/path/to/redis.sock",
            Self::Sentinel => "redis-sentinel://[[user]:password@]host[:port][,host[:port]...]/service[/database]",
            Self::Cluster => "redis-cluster://[[user]:password@]host[:port][,host[:port]...]",
        }
    }
}

/// Reads a URL. No message repeats a part of it but the scheme and an option's name.
pub(super) fn read(url: &str) -> Result<RedisConfig> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| malformed(Kind::Single, "a redis url has a scheme"))?;
    let Some((kind, is_encrypted)) = kind_of(scheme) else {
        return Err(malformed(Kind::Single, &format!("{scheme:?} is not a scheme of redis")));
    };
    let fault = |what: &str| malformed(kind, what);
    if rest.contains('#') {
        return Err(fault("a redis url has no fragment: write a # that belongs to it as %23"));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (read_login(kind, login)?, hosts),
        None => (Login::default(), authority),
    };
    let (servers, database) = read_servers(kind, hosts, path)?;
    let mut config = RedisConfig::to(servers);
    config.login = login;
    config.database = database;
    config.tls = is_encrypted.then(TlsFiles::default);
    read_options(kind, query, &mut config)?;
    config.check()?;
    Ok(config)
}

/// The address of a server of this kind.
pub(super) fn read_address(kind: Kind, text: &str) -> Result<Address> {
    let port = if kind == Kind::Sentinel { SENTINEL_PORT } else { REDIS_PORT };
    Address::parse(text, port).map_err(|what| malformed(kind, what))
}

fn kind_of(scheme: &str) -> Option<(Kind, bool)> {
    let (family, kind) = match scheme.split_once(['-', '+']) {
        None if scheme == "unix" => return Some((Kind::Unix, false)),
        None => (scheme, Kind::Single),
        Some((family, "unix")) => (family, Kind::Unix),
        Some((family, "sentinel")) => (family, Kind::Sentinel),
        Some((family, "cluster")) => (family, Kind::Cluster),
        Some(_) => return None,
    };
    match family {
        "redis" | "valkey" => Some((kind, false)),
        "rediss" | "valkeys" if kind != Kind::Unix => Some((kind, true)),
        _ => None,
    }
}

fn read_login(kind: Kind, text: &str) -> Result<Login> {
    let Some((user, password)) = text.split_once(':') else {
        return Err(malformed(kind, "what stands before the @ is user:password, or :password for the default user"));
    };
    Ok(Login::new(&decoded(kind, user)?, &decoded(kind, password)?))
}

fn read_servers(kind: Kind, hosts: &str, path: &str) -> Result<(Servers, u16)> {
    let fault = |what: &str| malformed(kind, what);
    if kind == Kind::Unix {
        if !hosts.is_empty() {
            return Err(fault("a unix socket has no host: the path follows a third slash"));
        }
        let path = decoded(kind, path)?;
        if path.len() < 2 || path.contains('\0') {
            return Err(fault("the url names no socket"));
        }
        return Ok((Servers::Unix(PathBuf::from(path)), 0));
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    match kind {
        Kind::Single if hosts.contains(',') => Err(fault(
            "a redis url names one server: write redis-sentinel:// for sentinels, redis-cluster:// for a cluster",
        )),
        Kind::Single | Kind::Unix => Ok((Servers::Single(read_address(kind, hosts)?), read_database(kind, path)?)),
        Kind::Sentinel => {
            let (service, database) = path.split_once('/').unwrap_or((path, ""));
            let service = decoded(kind, service)?;
            if service.is_empty() {
                return Err(fault("the url names no service, by which the sentinels know the primary"));
            }
            let sentinels = read_addresses(kind, hosts)?;
            let database = read_database(kind, database)?;
            Ok((Servers::Sentinel { sentinels, service, login: Login::default() }, database))
        }
        Kind::Cluster => Ok((Servers::Cluster(read_addresses(kind, hosts)?), read_database(kind, path)?)),
    }
}

fn read_addresses(kind: Kind, text: &str) -> Result<Vec<Address>> {
    text.split(',').map(|one| read_address(kind, one)).collect()
}

fn read_database(kind: Kind, text: &str) -> Result<u16> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| malformed(kind, "the database is a small number"))
}

fn read_options(kind: Kind, query: &str, config: &mut RedisConfig) -> Result<()> {
    let mut sentinel_login = (None, None);
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(kind, value)?;
        if !RedisConfig::URL_OPTIONS.contains(&name) {
            let known = RedisConfig::URL_OPTIONS.join(", ");
            return Err(invalid(format!("unknown option {name:?} in the redis url: there are {known}")));
        }
        if seen.contains(&name) {
            return Err(invalid(format!("option {name:?} is in the redis url twice: remove one")));
        }
        seen.push(name);
        let of_kind = |wanted: Kind, what: &str| {
            let error = || invalid(format!("option {name:?} is for {what}"));
            (kind == wanted).then_some(()).ok_or_else(error)
        };
        match name {
            "db" => {
                of_kind(Kind::Unix, "unix sockets: write the database behind the last slash")?;
                config.database = read_database(kind, &value)?;
            }
            "replicas" => {
                let replicas = value.parse().map_err(|_| invalid("option \"replicas\" is how many must acknowledge"));
                config.replicas = replicas?;
            }
            "sentinel-user" | "sentinel-password" => {
                of_kind(Kind::Sentinel, "redis-sentinel://")?;
                let part = if name == "sentinel-user" { &mut sentinel_login.0 } else { &mut sentinel_login.1 };
                *part = Some(value);
            }
            _ => {
                let Some(tls) = &mut config.tls else {
                    return Err(invalid(format!("option {name:?} is for tls: write rediss:// for redis://")));
                };
                let file = match name {
                    "ca-file" => &mut tls.ca,
                    "cert-file" => &mut tls.cert,
                    _ => &mut tls.key,
                };
                if value.is_empty() {
                    return Err(invalid(format!("option {name:?} names no file")));
                }
                *file = Some(PathBuf::from(value));
            }
        }
    }
    match sentinel_login {
        (None, None) => Ok(()),
        (Some(_), None) => Err(invalid("option \"sentinel-user\" needs \"sentinel-password\"")),
        (user, Some(password)) => {
            config.set_sentinel_login(Login::new(&user.unwrap_or_default(), &password));
            Ok(())
        }
    }
}

fn decoded(kind: Kind, text: &str) -> Result<String> {
    let malformed = || malformed(kind, "the redis url is malformed: what is percent-encoded in it is not utf-8");
    percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| malformed())
}

fn malformed(kind: Kind, what: &str) -> Error {
    invalid(format!("{what}; the form is {}", kind.form()))
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text, 1).unwrap()
    }

    #[test]
    fn urls_of_one_server_are_read() {
        for (url, place, database, login, is_encrypted) in [
            ("redis://localhost", "localhost:6379", 0, Login::default(), false),
            ("redis://127.0.0.1:7000/3", "127.0.0.1:7000", 3, Login::default(), false),
            ("redis://[::1]:7000/", "[::1]:7000", 0, Login::default(), false),
            ("valkey://h", "h:6379", 0, Login::default(), false),
            ("redis://:p%40ss@h:1", "h:1", 0, Login::new("", "p@ss"), false),
            ("redis://me:p@ss@h", "h:6379", 0, Login::new("me", "p@ss"), false),
            ("rediss://me:pw@h/2", "h:6379", 2, Login::new("me", "pw"), true),
            ("valkeys://h", "h:6379", 0, Login::default(), true),
            ("unix:///run/a%20b.sock", "/run/a b.sock", 0, Login::default(), false),
            ("redis+unix://me:pw@/run/r.sock?db=2", "/run/r.sock", 2, Login::new("me", "pw"), false),
        ] {
            let config = read(url).unwrap();
            assert_eq!(config.servers.to_string(), place, "{url}");
            assert_eq!((config.database, &config.login), (database, &login), "{url}");
            assert_eq!(config.tls.is_some(), is_encrypted, "{url}");
        }
    }

    #[test]
    fn urls_of_several_servers_are_read() {
        let sentinel = |sentinels: &[&str], service: &str, login| Servers::Sentinel {
            sentinels: sentinels.iter().map(|text| address(text)).collect(),
            service: service.to_owned(),
            login,
        };
        let cluster = |nodes: &[&str]| Servers::Cluster(nodes.iter().map(|text| address(text)).collect());
        for (url, servers, database, login) in [
            ("redis-sentinel://a/s", sentinel(&["a:26379"], "s", Login::default()), 0, Login::default()),
            (
                "valkey-sentinel://me:pw@a:1,[::1],b/my%2Fs/4?sentinel-password=x%26y",
                sentinel(&["a:1", "[::1]:26379", "b:26379"], "my/s", Login::new("", "x&y")),
                4,
                Login::new("me", "pw"),
            ),
            (
                "redis-sentinel://a/s?sentinel-user=w&sentinel-password=p",
                sentinel(&["a:26379"], "s", Login::new("w", "p")),
                0,
                Login::default(),
            ),
            ("redis-cluster://a,b:7,[::2]:8", cluster(&["a:6379", "b:7", "[::2]:8"]), 0, Login::default()),
            ("rediss-cluster://:pw@a/0", cluster(&["a:6379"]), 0, Login::new("", "pw")),
        ] {
            let config = read(url).unwrap();
            assert_eq!((&config.servers, config.database, &config.login), (&servers, database, &login), "{url}");
            assert_eq!(config.tls.is_some(), url.starts_with("rediss"), "{url}");
        }
    }

    #[test]
    fn options_are_read() {
        let config = read("rediss://h?ca-file=/a%20b&cert-file=c&key-file=k&replicas=2").unwrap();
        let file = |name: &str| Some(PathBuf::from(name));
        assert_eq!(config.tls, Some(TlsFiles { ca: file("/a b"), cert: file("c"), key: file("k") }));
        assert_eq!(config.replicas, 2);
    }

    #[test]
    fn what_cannot_be_used_says_why_and_keeps_the_password() {
        for (url, why) in [
            ("localhost", "has a scheme"),
            ("http://u:secret@h", "\"http\" is not a scheme of redis"),
            ("unixs:///r", "is not a scheme of redis"),
            ("rediss+unix:///r", "is not a scheme of redis"),
            ("redis-mirror://h", "is not a scheme of redis"),
            ("redis://", "names a host; the form is redis://["),
            ("redis://:secret@", "names a host"),
            ("redis://u:secret@:77", "names a host"),
            ("redis://u:secret@h:port", "a port is a number"),
            ("redis://secret@h", "user:password, or :password"),
            ("redis://u:%FFsecret@h", "malformed"),
            ("redis://u:secret@h/notadb", "small number"),
            ("redis://u:secret@h/-1", "small number"),
            ("redis://u:secret@h/0/1", "small number"),
            ("redis://u:secret@h#x", "no fragment"),
            ("redis://u:secret@a:1,b:2", "names one server: write redis-sentinel://"),
            ("redis://u:secret@h?tls=1", "unknown option \"tls\" in the redis url: there are ca-file, cert-file,"),
            ("redis://u:secret@h?db=1", "\"db\" is for unix sockets"),
            ("redis://u:secret@h?ca-file=x", "\"ca-file\" is for tls"),
            ("rediss://u:secret@h?ca-file=", "\"ca-file\" names no file"),
            ("rediss://u:secret@h?key-file=x", "cert-file and key-file belong together"),
            ("redis://u:secret@h?replicas=many", "how many must acknowledge"),
            ("redis://u:secret@h?replicas=1&replicas=1", "\"replicas\" is in the redis url twice"),
            ("redis://h?sentinel-password=secret", "is for redis-sentinel://"),
            ("redis+unix://u:secret@", "names no socket"),
            ("redis+unix://u:secret@h/run/r.sock", "follows a third slash"),
            ("redis+unix:///r?db=x", "small number"),
            ("redis-sentinel://u:secret@h", "names no service"),
            ("redis-sentinel://u:secret@/s", "names a host"),
            ("redis-sentinel://u:secret@a,,b/s", "names a host"),
            ("redis-sentinel://u:secret@h/s/x", "small number"),
            ("redis-sentinel://h/s?sentinel-user=secret", "needs \"sentinel-password\""),
            ("redis-cluster://u:secret@h/1", "a redis cluster has only database 0"),
            ("redis-cluster://u:secret@", "names a host"),
        ] {
            let error = read(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}: {error}");
            assert!(error.to_string().contains(why), "{url}: {error}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
}
