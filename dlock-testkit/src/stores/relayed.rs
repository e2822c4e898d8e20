//! Any service by its URL, behind relays on which connections can be broken.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use async_trait::async_trait;
use dlock_core::Result;

use crate::proxy::{Direction, Flow, Proxy};
use crate::{Deployment, Starting, Subject, Trouble};

/// The service at the URL, which others may use at the same time, on connections of the case's own.
#[derive(Debug)]
struct Relayed {
    subject: Arc<dyn Subject>,
    relays: Vec<Proxy>,
    trouble: Trouble,
}

/// The service at `url`, if the trouble is one with connections. `port` is for hosts without one.
pub(super) fn relayed<S: Subject + 'static>(
    url: &str,
    port: u16,
    trouble: Trouble,
    open: fn(&str) -> Result<S>,
) -> Option<Starting> {
    if !matches!(trouble, Trouble::ConnectionsReset | Trouble::AnswersLost) {
        return None;
    }
    let url = url.to_owned();
    Some(Box::pin(async move {
        let (url, relays) = behind_relays(&url, port).expect("relays to the service can be started");
        let subject = Arc::new(open(&url).expect("the url has other hosts, and is good for the rest"));
        Box::new(Relayed { subject, relays, trouble }) as Box<dyn Deployment>
    }))
}

#[async_trait]
impl Deployment for Relayed {
    fn subject(&self) -> Arc<dyn Subject> {
        self.subject.clone()
    }

    async fn begin(&self) {
        for relay in &self.relays {
            match self.trouble {
                Trouble::AnswersLost => relay.set(Direction::ToClient, Flow::Drop),
                _ => relay.close_connections(),
            }
        }
    }

    async fn end(&self) {
        // What has lost something is reset.
        self.relays.iter().for_each(Proxy::heal);
    }
}

/// The same URL with a relay in place of each host.
fn behind_relays(url: &str, port: u16) -> io::Result<(String, Vec<Proxy>)> {
    let (scheme, rest) = url.split_once("://").ok_or(io::ErrorKind::InvalidInput)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let relays = hosts.split(',').map(|host| Proxy::start(resolve(host, port)?)).collect::<io::Result<Vec<_>>>()?;
    let addrs: Vec<String> = relays.iter().map(|relay| relay.addr().to_string()).collect();
    Ok((format!("{scheme}://{login}{}{path}", addrs.join(",")), relays))
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let found = host.to_socket_addrs().or_else(|_| (host.trim_matches(['[', ']']), port).to_socket_addrs());
    found?.next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_stand_for_the_hosts_and_the_rest_of_the_url_stays() {
        for (url, before, after, count) in [
            ("redis://127.0.0.1:6379", "redis://", "", 1),
            ("redis://me:p%40ss@localhost:1/2", "redis://me:p%40ss@", "/2", 1),
            ("rediss://127.0.0.1:1?ca-file=/a,b", "rediss://", "?ca-file=/a,b", 1),
            ("etcd://127.0.0.1,[::1],127.0.0.1:7", "etcd://", "", 3),
        ] {
            let (relayed, relays) = behind_relays(url, 2379).unwrap();
            assert_eq!(relays.len(), count);
            let hosts: Vec<String> = relays.iter().map(|relay| relay.addr().to_string()).collect();
            assert_eq!(relayed, format!("{before}{}{after}", hosts.join(",")));
        }
    }

    #[test]
    fn a_host_may_have_a_port() {
        assert_eq!(resolve("127.0.0.1:7", 5).unwrap().port(), 7);
        assert_eq!(resolve("127.0.0.1", 5).unwrap().port(), 5);
        assert_eq!(resolve("[::1]", 5).unwrap(), "[::1]:5".parse().unwrap());
    }
}
