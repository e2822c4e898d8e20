//! What a URL says of how to reach a service: for the operator's hand.

use std::path::PathBuf;

use ::redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisResult};
use percent_encoding::percent_decode_str;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A URL of Redis, taken apart; the adapter has judged it before.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) service: Service,
    /// Servers to ask first: those themselves, sentinels, or nodes of a cluster.
    pub(super) places: Vec<Place>,
    is_tls: bool,
    login: Login,
    sentinel_login: Login,
    database: i64,
    #[cfg(feature = "tls")]
    files: Files,
}

/// What is at the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// One server.
    Server,
    /// Sentinels, and what they call the servers that they watch.
    Sentinel(String),
    /// Nodes of a cluster.
    Cluster,
}

/// Where one server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Host(String, u16),
    Socket(PathBuf),
}

#[derive(Clone, Default)]
struct Login {
    user: Option<String>,
    password: Option<String>,
}

#[cfg(feature = "tls")]
#[derive(Clone, Default)]
struct Files {
    authority: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Address {
    /// `None` for what is no URL of Redis.
    pub(super) fn read(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (is_tls, is_socket) =
            (["rediss", "valkeys"].iter().any(|tls| scheme.starts_with(tls)), scheme.ends_with("unix"));
        let mut parts = path.trim_start_matches('/').split('/').filter(|part| !part.is_empty() && !is_socket);
        let (service, port) = match scheme.rsplit_once('-') {
            Some((_, "sentinel")) => (Service::Sentinel(decoded(parts.next()?)?), SENTINEL_PORT),
            Some((_, "cluster")) => (Service::Cluster, PORT),
            _ => (Service::Server, PORT),
        };
        let places = if is_socket {
            vec![Place::Socket(decoded(path)?.into())]
        } else {
            hosts.split(',').map(|host| Place::read(host, port)).collect::<Option<_>>()?
        };
        let mut address = Self {
            service,
            places,
            is_tls,
            login: Login::read(login)?,
            sentinel_login: Login::default(),
            database: parts.next().map_or(Some(0), |database| database.parse().ok())?,
            #[cfg(feature = "tls")]
            files: Files::default(),
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=')?;
            address.set(name, decoded(value)?)?;
        }
        Some(address)
    }

    /// To connect to a server that keeps keys.
    pub(super) fn client(&self, place: &Place) -> RedisResult<Client> {
        self.client_for(place, &self.login, self.database)
    }

    /// To connect to a sentinel.
    pub(super) fn sentinel_client(&self, place: &Place) -> RedisResult<Client> {
        self.client_for(place, &self.sentinel_login, 0)
    }

    /// Where the only server of an address is by TCP, in the clear or as one known by its number.
    pub(super) fn can_be_relayed(&self) -> bool {
        let is_local = |place: &Place| matches!(place, Place::Host(host, _) if host == "127.0.0.1" || !self.is_tls);
        self.service == Service::Server && self.places.iter().all(is_local)
    }

    fn set(&mut self, name: &str, value: String) -> Option<()> {
        match name {
            "db" => self.database = value.parse().ok()?,
            "sentinel-user" => self.sentinel_login.user = Some(value),
            "sentinel-password" => self.sentinel_login.password = Some(value),
            #[cfg(feature = "tls")]
            "ca-file" => self.files.authority = Some(value.into()),
            #[cfg(feature = "tls")]
            "cert-file" => self.files.certificate = Some(value.into()),
            #[cfg(feature = "tls")]
            "key-file" => self.files.key = Some(value.into()),
            _ => {}
        }
        Some(())
    }

    fn client_for(&self, place: &Place, login: &Login, database: i64) -> RedisResult<Client> {
        // Redis judges a login by the protocol it is made in: the operator's must do as the client's does.
        let info = self.connection_addr(place).into_connection_info()?;
        let mut settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_db(database);
        if let Some(user) = &login.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &login.password {
            settings = settings.set_password(password);
        }
        self.open(info.set_redis_settings(settings))
    }

    fn connection_addr(&self, place: &Place) -> ConnectionAddr {
        match place {
            Place::Socket(path) => ConnectionAddr::Unix(path.clone()),
            Place::Host(host, port) if self.is_tls => {
                ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
            }
            Place::Host(host, port) => ConnectionAddr::Tcp(host.clone(), *port),
        }
    }

    #[cfg(feature = "tls")]
    fn open(&self, info: ConnectionInfo) -> RedisResult<Client> {
        use ::redis::{ClientTlsConfig, TlsCertificates};

        if !self.is_tls {
            return Client::open(info);
        }
        let read = |path: &Option<PathBuf>| path.as_ref().map(std::fs::read).transpose();
        let (client_cert, client_key) = (read(&self.files.certificate)?, read(&self.files.key)?);
        let client_tls = client_cert.zip(client_key);
        let client_tls = client_tls.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        Client::build_with_tls(info, TlsCertificates { client_tls, root_cert: read(&self.files.authority)? })
    }

    #[cfg(not(feature = "tls"))]
    fn open(&self, info: ConnectionInfo) -> RedisResult<Client> {
        Client::open(info)
    }
}

impl Place {
    fn read(host: &str, port: u16) -> Option<Self> {
        match host.rsplit_once(':') {
            // Colons in brackets are of the host.
            Some((host, port)) if !port.ends_with(']') => Some(Self::Host(bare(host), port.parse().ok()?)),
            _ => Some(Self::Host(bare(host), port)),
        }
    }
}

impl Login {
    fn read(login: &str) -> Option<Self> {
        let given = |text: &str| if text.is_empty() { Some(None) } else { decoded(text).map(Some) };
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        Some(Self { user: given(user)?, password: given(password)? })
    }
}

fn bare(host: &str) -> String {
    host.trim_matches(['[', ']']).to_owned()
}

fn decoded(text: &str) -> Option<String> {
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(host: &str, port: u16) -> Place {
        Place::Host(host.to_owned(), port)
    }

    #[test]
    fn urls_of_all_forms_are_read() {
        let sentinel = Service::Sentinel("my service".to_owned());
        for (url, service, places, is_tls, database) in [
            ("redis://h", Service::Server, vec![host("h", 6379)], false, 0),
            ("valkeys://u:p@[::1]:7/3?ca-file=%2Fx", Service::Server, vec![host("::1", 7)], true, 3),
            (
                "redis+unix://u:p@/run/a%20b.sock?db=2",
                Service::Server,
                vec![Place::Socket("/run/a b.sock".into())],
                false,
                2,
            ),
            ("unix:///s", Service::Server, vec![Place::Socket("/s".into())], false, 0),
            ("rediss-sentinel://:p@a,b:1/my%20service/4", sentinel, vec![host("a", 26379), host("b", 1)], true, 4),
            ("valkeys-sentinel://a/s", Service::Sentinel("s".to_owned()), vec![host("a", 26379)], true, 0),
            ("valkey-cluster://a", Service::Cluster, vec![host("a", 6379)], false, 0),
            ("valkey+unix:///s", Service::Server, vec![Place::Socket("/s".into())], false, 0),
            ("redis-cluster://a:1,[::1]", Service::Cluster, vec![host("a", 1), host("::1", 6379)], false, 0),
        ] {
            let address = Address::read(url).unwrap();
            assert_eq!((&address.service, &address.places), (&service, &places), "{url}");
            assert_eq!((address.is_tls, address.database), (is_tls, database), "{url}");
        }
        for url in ["redis", "redis-sentinel://a", "redis://h:x", "redis://h/x"] {
            assert!(Address::read(url).is_none(), "{url}");
        }
    }

    #[test]
    fn each_login_is_for_its_own_servers() {
        let url = "redis-sentinel://me:p%40ss@a/s?sentinel-user=you&sentinel-password=p%26q";
        let address = Address::read(url).unwrap();
        for (client, user, password) in
            [(address.client(&host("h", 1)), "me", "p@ss"), (address.sentinel_client(&host("h", 1)), "you", "p&q")]
        {
            let client = client.unwrap();
            let settings = client.get_connection_info().redis_settings().clone();
            assert_eq!((settings.username(), settings.password()), (Some(user), Some(password)));
        }
    }
}
