//! A connection that lives on the runtime of whoever asks for it.

use dlock_core::{Error, ErrorKind, Landed, Result};
use etcd_client::{Client, ConnectOptions, ResponseHeader};

use crate::error::{Effect, classify};

/// Connects to the member at `address`, logs in, and proves by one linearizable read of `key` that
/// it belongs to `cluster` and has a majority behind it.
///
/// Uses no timer, which the runtime may not have: whoever awaits this gives it up when it takes too
/// long. So `options` has no timeouts and no keep-alive.
///
/// # Cancel safety
/// Dropping it ends the connection.
pub(crate) async fn dial(address: &str, options: ConnectOptions, key: &[u8], cluster: u64) -> Result<Client> {
    one_family(address).await?;
    let judged = |error| classify(error, Effect::Read);
    let mut client = Client::connect([address], Some(options)).await.map_err(judged)?;
    let answer = client.get(key, None).await.map_err(judged)?;
    if answer.header().map(ResponseHeader::cluster_id) != Some(cluster) {
        return Err(unavailable(format!("{address} belongs to another etcd cluster than before")));
    }
    Ok(client)
}

/// Where a name stands for addresses of both families, the connector waits for the first of them by
/// a timer, and panics without one.
async fn one_family(address: &str) -> Result<()> {
    let host = address.rsplit_once("://").map_or(address, |(_, host)| host);
    let found = tokio::net::lookup_host(host).await;
    let found = found.map_err(|error| unavailable(format!("{host} is not found")).with_source(error))?;
    let (old, new): (Vec<_>, Vec<_>) = found.partition(std::net::SocketAddr::is_ipv4);
    if old.is_empty() || new.is_empty() {
        return Ok(());
    }
    Err(unavailable(format!("{host} has addresses of two families: a connection without timers takes one")))
}

fn unavailable(message: String) -> Error {
    Error::new(ErrorKind::Unavailable, message).with_landed(Landed::No)
}

#[cfg(test)]
mod tests {
    use dlock_testkit::servers::Etcd;

    use super::*;

    fn runtime_without_timers() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap()
    }

    #[test]
    fn no_timer_is_needed_with_and_without_a_login() {
        if Etcd::installed().is_err() {
            return;
        }
        let server = Etcd::builder().start_blocking();
        let address = server.addr().to_string();
        let runtime = runtime_without_timers();
        let options = ConnectOptions::new().with_require_leader(true).with_auto_token_refresh(true);
        let cluster = runtime.block_on(async {
            let mut client = Client::connect([address.as_str()], None).await.unwrap();
            let answer = client.get("a/", None).await.unwrap();
            let cluster = answer.header().unwrap().cluster_id();
            let mut dialled = dial(&address, options.clone(), b"a/", cluster).await.unwrap();
            dialled.put("a/b", "c", None).await.unwrap();
            dialled.user_add("root", "pw", None).await.unwrap();
            dialled.role_add("root").await.unwrap();
            dialled.user_grant_role("root", "root").await.unwrap();
            dialled.auth_enable().await.unwrap();
            cluster
        });
        let other = runtime_without_timers();
        other.block_on(async {
            let login = options.clone().with_user("root", "pw");
            let mut dialled = dial(&address, login.clone(), b"a/", cluster).await.unwrap();
            assert_eq!(dialled.get("a/b", None).await.unwrap().count(), 1);
            let error = dial(&address, options, b"a/", cluster).await.err().expect("no login was given");
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            let error = dial(&address, login, b"a/", cluster + 1).await.err().expect("it is another cluster");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        });
    }
}
