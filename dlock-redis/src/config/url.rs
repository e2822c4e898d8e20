//! The URLs of this adapter.

use std::path::PathBuf;

use dlock_core::address::{Address, Login, ServerUrl, TlsFiles, UrlOptions};
use dlock_core::{Error, ErrorKind, Result};

use super::RedisConfig;
use super::servers::Servers;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

pub(super) const SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "redis+unix",
    "valkey+unix",
    "unix",
    "redis-sentinel",
    "rediss-sentinel",
    "valkey-sentinel",
    "valkeys-sentinel",
    "redis-cluster",
    "rediss-cluster",
    "valkey-cluster",
    "valkeys-cluster",
];

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

    /// Where servers of this kind listen, unless it is said.
    fn port(self) -> u16 {
        if self == Self::Sentinel { SENTINEL_PORT } else { REDIS_PORT }
    }
}

/// Reads a URL. No message repeats a part of it but the scheme and an option's name.
pub(super) fn read(url: &str) -> Result<RedisConfig> {
    let url = ServerUrl::split(url, Kind::Single.form())?;
    let Some((kind, is_encrypted)) = kind_of(url.scheme()) else {
        return Err(url.malformed(&format!("{:?} is not a scheme of redis", url.scheme())));
    };
    let url = url.with_form(kind.form());
    let (servers, database) = read_servers(kind, &url)?;
    let mut config = RedisConfig::to(servers);
    config.login = url.login()?;
    config.database = database;
    let mut options = url.options(RedisConfig::URL_OPTIONS)?;
    let files = TlsFiles::take_from(&mut options)?;
    if !is_encrypted && !files.is_empty() {
        return Err(invalid("ca-file, cert-file and key-file are for tls: write rediss:// for redis://"));
    }
    config.tls = is_encrypted.then_some(files);
    read_options(kind, options, &mut config)?;
    config.check()?;
    Ok(config)
}

/// The address of a server of this kind.
pub(super) fn read_address(kind: Kind, text: &str) -> Result<Address> {
    Address::parse(text, kind.port())
}

fn kind_of(scheme: &str) -> Option<(Kind, bool)> {
    if !SCHEMES.contains(&scheme) {
        return None;
    }
    let (family, kind) = match scheme.split_once(['-', '+']) {
        None if scheme == "unix" => (scheme, Kind::Unix),
        None => (scheme, Kind::Single),
        Some((family, "unix")) => (family, Kind::Unix),
        Some((family, "sentinel")) => (family, Kind::Sentinel),
        Some((family, _)) => (family, Kind::Cluster),
    };
    Some((kind, matches!(family, "rediss" | "valkeys")))
}

fn read_servers(kind: Kind, url: &ServerUrl<'_>) -> Result<(Servers, u16)> {
    if kind == Kind::Unix {
        if !url.hosts().is_empty() {
            return Err(url.malformed("a unix socket has no host: the path follows a third slash"));
        }
        let path = url.decoded(url.path())?;
        if path.len() < 2 || path.contains('\0') {
            return Err(url.malformed("the url names no socket"));
        }
        return Ok((Servers::Unix(PathBuf::from(path)), 0));
    }
    let path = url.path().strip_prefix('/').unwrap_or_default();
    let mut addresses = url.addresses(kind.port())?;
    let (servers, database) = match kind {
        Kind::Sentinel => {
            let (service, database) = path.split_once('/').unwrap_or((path, ""));
            let service = url.decoded(service)?;
            if service.is_empty() {
                return Err(url.malformed("the url names no service, by which the sentinels know the primary"));
            }
            (Servers::Sentinel { sentinels: addresses, service, login: Login::default() }, database)
        }
        Kind::Cluster => (Servers::Cluster(addresses), path),
        Kind::Single | Kind::Unix if addresses.len() == 1 => (Servers::Single(addresses.remove(0)), path),
        Kind::Single | Kind::Unix => {
            return Err(url.malformed(
                "a redis url names one server: write redis-sentinel:// for sentinels, redis-cluster:// for a cluster",
            ));
        }
    };
    let database = read_database(database).map_err(|error| url.malformed(&error.to_string()))?;
    Ok((servers, database))
}

fn read_database(text: &str) -> Result<u16> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| invalid("the database is a small number"))
}

fn read_options(kind: Kind, mut options: UrlOptions, config: &mut RedisConfig) -> Result<()> {
    if let Some(database) = options.take("db") {
        if kind != Kind::Unix {
            return Err(invalid("option \"db\" is for unix sockets: write the database behind the last slash"));
        }
        config.database = read_database(&database)?;
    }
    if let Some(replicas) = options.take("replicas") {
        let replicas = replicas.parse().map_err(|_| invalid("option \"replicas\" is how many must acknowledge"));
        config.replicas = replicas?;
    }
    match (options.take("sentinel-user"), options.take("sentinel-password")) {
        (None, None) => Ok(()),
        _ if kind != Kind::Sentinel => {
            Err(invalid("options \"sentinel-user\" and \"sentinel-password\" are for redis-sentinel://"))
        }
        (Some(_), None) => Err(invalid("option \"sentinel-user\" needs \"sentinel-password\"")),
        (user, Some(password)) => {
            config.set_sentinel_login(Login::new(&user.unwrap_or_default(), &password));
            Ok(())
        }
    }
}

fn invalid(what: &str) -> Error {
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
    fn every_scheme_is_of_a_kind() {
        let count =
            |wanted| SCHEMES.iter().filter(|scheme| kind_of(scheme).map(|found| found.0) == Some(wanted)).count();
        assert_eq!([Kind::Single, Kind::Unix, Kind::Sentinel, Kind::Cluster].map(count), [4, 3, 4, 4]);
        assert_eq!(SCHEMES.iter().filter(|scheme| kind_of(scheme).is_some_and(|found| found.1)).count(), 6);
    }

    #[test]
    fn what_cannot_be_used_says_why_and_keeps_the_password() {
        for (url, why) in [
            ("localhost", "does not start with a scheme"),
            ("http://u:secret@h", "\"http\" is not a scheme of redis"),
            ("unixs:///r", "is not a scheme of redis"),
            ("rediss+unix:///r", "is not a scheme of redis"),
            ("redis-mirror://h", "is not a scheme of redis"),
            ("redis://", "host is missing; the form is redis://["),
            ("redis://:secret@", "host is missing"),
            ("redis://u:secret@:77", "host is missing"),
            ("redis://u:secret@h:port", "a port is a number"),
            ("redis://secret@h", "is user:password; the form"),
            ("redis://u:%FFsecret@h", "malformed"),
            ("redis://u:secret@h/notadb", "small number"),
            ("redis://u:secret@h/-1", "small number"),
            ("redis://u:secret@h/0/1", "small number"),
            ("redis://u:secret@h#x", "has a fragment"),
            ("redis://u:secret@a:1,b:2", "names one server: write redis-sentinel://"),
            ("redis://u:secret@h?tls=1", "unknown option \"tls\" in the url: there are ca-file, cert-file,"),
            ("redis://u:secret@h?db=1", "\"db\" is for unix sockets"),
            ("redis://u:secret@h?ca-file=x", "are for tls: write rediss://"),
            ("rediss://u:secret@h?ca-file=", "\"ca-file\" names no file"),
            ("rediss://u:secret@h?key-file=x", "cert-file and key-file belong together"),
            ("redis://u:secret@h?replicas=many", "how many must acknowledge"),
            ("redis://u:secret@h?replicas=1&replicas=1", "\"replicas\" is in the url twice"),
            ("redis://h?sentinel-password=secret", "are for redis-sentinel://"),
            ("redis+unix://u:secret@", "names no socket"),
            ("redis+unix://u:secret@h/run/r.sock", "follows a third slash"),
            ("redis+unix:///r?db=x", "small number"),
            ("redis-sentinel://u:secret@h", "names no service"),
            ("redis-sentinel://u:secret@/s", "host is missing"),
            ("redis-sentinel://u:secret@a,,b/s", "host is missing"),
            ("redis-sentinel://u:secret@h/s/x", "small number"),
            ("redis-sentinel://h/s?sentinel-user=secret", "needs \"sentinel-password\""),
            ("redis-cluster://u:secret@h/1", "a redis cluster has only database 0"),
            ("redis-cluster://u:secret@", "host is missing"),
        ] {
            let error = read(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}: {error}");
            assert!(error.to_string().contains(why), "{url}: {error}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
}
