//! etcd, by its own client.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error};

/// How long it may take to connect to a member, and to log in.
const CONNECTING: Duration = Duration::from_secs(5);

/// A client of the cluster at `etcd://[user:password@]host:port[,host:port…]`. User and password are
/// made of letters and digits.
pub(crate) async fn connect(url: &str) -> Result<Client, Error> {
    let cluster =
        url.strip_prefix("etcd://").ok_or_else(|| Error::InvalidArgs("the url begins with etcd://".to_owned()))?;
    let (login, endpoints) = match cluster.split_once('@') {
        Some((login, endpoints)) => (login.split_once(':'), endpoints),
        None => (None, cluster),
    };
    let options = ConnectOptions::new().with_connect_timeout(CONNECTING).with_auto_token_refresh(true);
    let options = login.into_iter().fold(options, |options, (user, password)| options.with_user(user, password));
    let endpoints: Vec<&str> = endpoints.split(',').collect();
    match tokio::time::timeout(CONNECTING, Client::connect(endpoints, Some(options))).await {
        Ok(connected) => connected,
        Err(elapsed) => Err(std::io::Error::from(elapsed).into()),
    }
}
