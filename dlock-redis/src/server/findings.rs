//! Judging a server by what it says of itself.

use std::fmt;

use dlock_core::{Error, ErrorKind};

use super::facts::{Facts, Settings};

/// How the server is reached, which tells what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One server, by its address.
    Single,
    /// The primary that sentinels name.
    Sentinel,
    /// A primary of a cluster.
    Cluster,
}

/// What the client asks of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) topology: Topology,
    /// How many replicas must acknowledge a grant.
    pub(super) replicas: u32,
}

/// Something about a server that can lose locks, or that cannot be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Finding {
    /// Keys with an expiry are evicted, which are all that a lock has.
    EvictsExpiring,
    /// Any key may be evicted.
    EvictsAny,
    NothingIsKept,
    KeepsSnapshots,
    KeepsMostWrites,
    KeepsWritesAsTheSystemLikes,
    SnapshotsAreUnseen,
    SyncingIsUnseen,
    TooFewReplicas {
        wanted: u32,
        connected: u32,
    },
    NothingIsSeen,
}

/// Why the server cannot serve locks at all.
pub(super) fn refusal(facts: &Facts, wanted: Wanted) -> Option<Error> {
    let refuse = |kind, text: &str| Some(Error::new(kind, text));
    // Valkey calls the field server_mode where it is told not to pass for Redis.
    let mode = facts.word("redis_mode").or_else(|| facts.word("server_mode")).unwrap_or_default();
    if mode == "sentinel" {
        return refuse(
            ErrorKind::InvalidInput,
            "this is a sentinel, which keeps no locks: use redis-sentinel://host:port/service",
        );
    }
    let Some(version) = facts.word("redis_version").or_else(|| facts.word("valkey_version")) else {
        return refuse(ErrorKind::Protocol, "the peer's INFO names no redis version; check host and port");
    };
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < 7 {
        return refuse(ErrorKind::Unsupported, &format!("redis {version} is too old: use 7.0 or later"));
    }
    let is_clustered = mode == "cluster" || facts.number("cluster_enabled") == Some(1);
    match wanted.topology {
        Topology::Single if is_clustered => {
            return refuse(
                ErrorKind::InvalidInput,
                "this server is part of a redis cluster: use redis-cluster://host:port",
            );
        }
        Topology::Sentinel if is_clustered => {
            return refuse(
                ErrorKind::InvalidInput,
                "the sentinels watch a node of a redis cluster: use redis-cluster://",
            );
        }
        Topology::Cluster if !is_clustered => {
            return refuse(
                ErrorKind::InvalidInput,
                "this server is not part of a redis cluster: use redis://host:port",
            );
        }
        _ => {}
    }
    if facts.word("role").is_some_and(|role| role != "master") {
        return match wanted.topology {
            Topology::Single => refuse(ErrorKind::Exhausted, "this server is a read-only replica: use its primary"),
            // Whoever sent us here will know better when the failover is through.
            Topology::Sentinel | Topology::Cluster => refuse(
                ErrorKind::Unavailable,
                "this server is a read-only replica by now: its successor is not known yet",
            ),
        };
    }
    None
}

/// What about the server can lose locks, and what of that cannot be seen.
pub(super) fn findings(facts: &Facts, wanted: Wanted) -> Vec<Finding> {
    eviction(facts).into_iter().chain(persistence(facts)).chain(replication(facts, wanted)).collect()
}

/// <https://redis.io/docs/latest/develop/reference/eviction/>
fn eviction(facts: &Facts) -> Option<Finding> {
    if facts.number("maxmemory").unwrap_or(0) == 0 {
        return None;
    }
    match facts.word("maxmemory_policy")?.as_str() {
        "noeviction" => None,
        policy if policy.starts_with("volatile-") => Some(Finding::EvictsExpiring),
        _ => Some(Finding::EvictsAny),
    }
}

/// <https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/>
fn persistence(facts: &Facts) -> Option<Finding> {
    let has_log = facts.number("aof_enabled") == Some(1);
    match &facts.settings {
        Settings::Unasked => None,
        Settings::Hidden if has_log => Some(Finding::SyncingIsUnseen),
        Settings::Hidden => Some(Finding::SnapshotsAreUnseen),
        Settings::Told { appendfsync, .. } if has_log => match appendfsync.as_str() {
            "always" => None,
            "no" => Some(Finding::KeepsWritesAsTheSystemLikes),
            _ => Some(Finding::KeepsMostWrites),
        },
        Settings::Told { save, .. } if save.is_empty() => Some(Finding::NothingIsKept),
        Settings::Told { .. } => Some(Finding::KeepsSnapshots),
    }
}

fn replication(facts: &Facts, wanted: Wanted) -> Option<Finding> {
    let connected = u32::try_from(facts.number("connected_slaves")?).unwrap_or(u32::MAX);
    (connected < wanted.replicas).then_some(Finding::TooFewReplicas { wanted: wanted.replicas, connected })
}

impl Finding {
    /// Whether locks are lost in the ordinary course of things, not just when a machine fails.
    pub(super) fn loses_locks(self) -> bool {
        match self {
            Self::EvictsExpiring
            | Self::EvictsAny
            | Self::NothingIsKept
            | Self::TooFewReplicas { .. }
            | Self::NothingIsSeen => true,
            Self::KeepsSnapshots
            | Self::KeepsMostWrites
            | Self::KeepsWritesAsTheSystemLikes
            | Self::SnapshotsAreUnseen
            | Self::SyncingIsUnseen => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EvictsExpiring => {
                "redis drops keys that expire when its memory is full, and every lock is one: set maxmemory-policy \
                 noeviction"
            }
            Self::EvictsAny => {
                "redis drops keys when its memory is full, and locks with them: set maxmemory-policy noeviction"
            }
            Self::NothingIsKept => {
                "redis keeps nothing on disk: when it restarts, all locks are lost and tokens start a new epoch; set \
                 appendonly yes"
            }
            Self::KeepsSnapshots => {
                "redis keeps snapshots only: when it restarts, the locks taken since the last one are lost; set \
                 appendonly yes"
            }
            Self::KeepsMostWrites => {
                "redis syncs its append-only file every second: when its machine fails, the locks taken in the last \
                 seconds are lost; set appendfsync always where that matters"
            }
            Self::KeepsWritesAsTheSystemLikes => {
                "redis leaves it to its system when the append-only file is synced: when its machine fails, the locks \
                 taken in the last half minute can be lost; set appendfsync everysec or always"
            }
            Self::SnapshotsAreUnseen => {
                "redis has no append-only file, and this user may not see whether it keeps snapshots (config|get): when \
                 it restarts, the locks taken since the last one are lost, or all"
            }
            Self::SyncingIsUnseen => {
                "this user may not see how often redis syncs its append-only file (config|get): when its machine \
                 fails, the locks taken since then are lost"
            }
            Self::TooFewReplicas { wanted, connected } => {
                return write!(
                    f,
                    "replicas that must acknowledge a grant: {wanted}, connected: {connected}; nothing is granted \
                     until enough of them are"
                );
            }
            Self::NothingIsSeen => {
                "this user may not run INFO: whether the server is fit, and what can lose locks, is not checked"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use redis::InfoDict;

    use super::*;

    fn facts(info: &str, settings: Settings) -> Facts {
        let lines = info.replace(' ', "\r\n");
        Facts { info: InfoDict::new(&lines), settings }
    }

    fn wanted(topology: Topology) -> Wanted {
        Wanted { topology, replicas: 0 }
    }

    #[test]
    fn unfit_servers_are_refused() {
        use ErrorKind::{Exhausted, InvalidInput, Protocol, Unavailable, Unsupported};
        use Topology::{Cluster, Sentinel, Single};
        for (topology, info, kind, why) in [
            (Single, "something:else", Protocol, "no redis version"),
            (Single, "redis_version:6.2.14 role:master", Unsupported, "6.2.14 is too old: use 7.0"),
            (Single, "redis_version:garbage role:master", Unsupported, "too old"),
            (Single, "redis_version:7.2.4 role:slave", Exhausted, "read-only replica: use its primary"),
            (Sentinel, "redis_version:7.2.4 role:slave", Unavailable, "replica by now"),
            (Cluster, "redis_version:7.2.4 role:slave cluster_enabled:1", Unavailable, "replica by now"),
            (Single, "redis_version:7.2.4 role:master cluster_enabled:1", InvalidInput, "use redis-cluster://"),
            (Single, "redis_version:7.2.4 redis_mode:cluster role:slave", InvalidInput, "use redis-cluster://"),
            (Single, "valkey_version:8.1.0 server_mode:cluster role:master", InvalidInput, "use redis-cluster://"),
            (Sentinel, "redis_version:7.2.4 role:master cluster_enabled:1", InvalidInput, "use redis-cluster://"),
            (Cluster, "redis_version:7.2.4 role:master cluster_enabled:0", InvalidInput, "use redis://"),
            (Single, "redis_version:7.2.4 redis_mode:sentinel", InvalidInput, "use redis-sentinel://"),
            (Cluster, "valkey_version:8.1.0 server_mode:sentinel", InvalidInput, "use redis-sentinel://"),
        ] {
            let error = refusal(&facts(info, Settings::Unasked), wanted(topology)).expect(info);
            assert_eq!(error.kind(), kind, "{info}");
            assert!(error.to_string().contains(why), "{info}: {error}");
        }
        for (topology, info) in [
            (Single, "redis_version:7.0.15 redis_mode:standalone role:master cluster_enabled:0"),
            (Single, "valkey_version:8.1.0 server_mode:standalone role:master"),
            (Single, "redis_version:10.0.0"),
            (Sentinel, "redis_version:7.2.4 role:master cluster_enabled:0"),
            (Cluster, "redis_version:7.2.4 role:master cluster_enabled:1"),
        ] {
            assert!(refusal(&facts(info, Settings::Unasked), wanted(topology)).is_none(), "{info}");
        }
    }

    #[test]
    fn what_loses_locks_is_found() {
        let told = |save: &str, fsync: &str| Settings::Told { save: save.to_owned(), appendfsync: fsync.to_owned() };
        let safe = || told("", "always");
        for (info, settings, finding) in [
            ("aof_enabled:1 maxmemory:0 maxmemory_policy:allkeys-lru", safe(), None),
            ("aof_enabled:1 maxmemory:99 maxmemory_policy:noeviction", safe(), None),
            ("aof_enabled:1 maxmemory:99 maxmemory_policy:allkeys-lru", safe(), Some(Finding::EvictsAny)),
            ("aof_enabled:1 maxmemory:99 maxmemory_policy:volatile-ttl", safe(), Some(Finding::EvictsExpiring)),
            ("aof_enabled:1 maxmemory:99", safe(), None),
            ("aof_enabled:1", told("3600 1", "everysec"), Some(Finding::KeepsMostWrites)),
            ("aof_enabled:1", told("", "no"), Some(Finding::KeepsWritesAsTheSystemLikes)),
            ("aof_enabled:1", Settings::Hidden, Some(Finding::SyncingIsUnseen)),
            ("aof_enabled:1", Settings::Unasked, None),
            ("aof_enabled:0", told("", "always"), Some(Finding::NothingIsKept)),
            ("aof_enabled:0", told("3600 1 300 100", "everysec"), Some(Finding::KeepsSnapshots)),
            ("aof_enabled:0", Settings::Hidden, Some(Finding::SnapshotsAreUnseen)),
            ("aof_enabled:0", Settings::Unasked, None),
        ] {
            let found = findings(&facts(info, settings), wanted(Topology::Single));
            assert_eq!(found, Vec::from_iter(finding), "{info}");
        }
    }

    #[test]
    fn replicas_are_missed_only_where_they_are_asked_for() {
        let found = |info: &str, replicas| {
            findings(&facts(info, Settings::Unasked), Wanted { topology: Topology::Single, replicas })
        };
        assert_eq!(found("connected_slaves:0", 0), []);
        assert_eq!(found("connected_slaves:2", 2), []);
        assert_eq!(found("something:else", 2), [], "it is not known");
        assert_eq!(found("connected_slaves:1", 2), [Finding::TooFewReplicas { wanted: 2, connected: 1 }]);
    }

    #[test]
    fn what_happens_without_a_fault_is_a_warning() {
        let found: Vec<Finding> = [
            ("maxmemory:99 maxmemory_policy:allkeys-random aof_enabled:1", Settings::Unasked),
            ("aof_enabled:0", Settings::Told { save: String::new(), appendfsync: "no".to_owned() }),
        ]
        .into_iter()
        .flat_map(|(info, settings)| findings(&facts(info, settings), wanted(Topology::Single)))
        .collect();
        assert_eq!(found, [Finding::EvictsAny, Finding::NothingIsKept]);
        assert!(found.iter().all(|finding| finding.loses_locks()));
        assert!(!Finding::KeepsSnapshots.loses_locks());
        assert!(Finding::NothingIsKept.to_string().contains("start a new epoch"));
    }
}
