//! What the server must be.

use dlock_core::{Error, ErrorKind, Result};
use redis::aio::MultiplexedConnection;
use redis::{InfoDict, ServerErrorKind};

use crate::error::classify_connecting;

/// Refuses servers that cannot serve locks, and warns of settings that lose them.
pub(crate) async fn check_server(connection: &mut MultiplexedConnection) -> Result<()> {
    let info: InfoDict = match redis::cmd("INFO").query_async(connection).await {
        Ok(info) => info,
        // A least-privilege user need not have INFO; what is wrong then shows in the first request.
        Err(error) if error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoPerm) => {
            tracing::warn!("this user may not run INFO: version and settings of the redis server are not checked");
            return Ok(());
        }
        Err(error) => return Err(classify_connecting(error)),
    };
    judge(&info)?;
    let policy: String = info.get("maxmemory_policy").unwrap_or_default();
    if info.get::<u64>("maxmemory").is_some_and(|bytes| bytes > 0) && policy != "noeviction" {
        tracing::warn!(
            policy,
            "redis evicts keys when memory is full and can drop locks: set maxmemory-policy noeviction"
        );
    }
    Ok(())
}

fn judge(info: &InfoDict) -> Result<()> {
    let version: String = info.get("redis_version").ok_or_else(|| {
        Error::new(ErrorKind::Protocol, "the peer's INFO names no redis version; check host and port")
    })?;
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < 7 {
        return Err(Error::new(ErrorKind::Unsupported, format!("redis {version} is too old: use 7.0 or later")));
    }
    if info.get::<u8>("cluster_enabled") == Some(1) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "this server is part of a redis cluster, which is not supported yet: use a single server",
        ));
    }
    if info.get::<String>("role").is_some_and(|role| role != "master") {
        return Err(Error::new(ErrorKind::Exhausted, "this server is a read-only replica: use its primary"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfit_servers_are_refused() {
        let good = "redis_version:7.0.15\r\nrole:master\r\ncluster_enabled:0\r\n";
        assert!(judge(&InfoDict::new(good)).is_ok());
        for (info, kind, why) in [
            ("something:else\r\n", ErrorKind::Protocol, "no redis version"),
            ("redis_version:6.2.14\r\nrole:master\r\n", ErrorKind::Unsupported, "6.2.14 is too old"),
            ("redis_version:7.2.4\r\nrole:slave\r\n", ErrorKind::Exhausted, "read-only replica"),
            ("redis_version:7.2.4\r\nrole:master\r\ncluster_enabled:1\r\n", ErrorKind::Unsupported, "cluster"),
        ] {
            let error = judge(&InfoDict::new(info)).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
