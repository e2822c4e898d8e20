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
