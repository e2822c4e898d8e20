//! The Redis and Valkey backend of dlock.
//!
//! Redis 7.0 or later, or Valkey. Claims are granted in arrival order by the server's own scripts
//! and pushed to the client that waits; nobody polls. An uncontended lock costs two requests, a
//! contended one two requests and a push.
//!
//! # Where it works
//! - On one server, at a port or at a socket of its machine.
//! - Under Sentinel: on the primary that the sentinels name. All of them are listened to, and
//!   answers carry the number of the failover: so a client leaves a primary as soon as one sentinel
//!   knows of its successor, also while the old one still answers, and is not led back to it by a
//!   sentinel that is behind. What a replica had not received when it was promoted is lost.
//! - On a cluster: names are sorted into 256 buckets, each in one hash slot, so that all masters
//!   share the load. Requests follow a slot that moves and a replica that takes over. While the keys of
//!   a slot are on their way from one node to another, names in it may be refused as `Unavailable`,
//!   and nothing changes: its scripts need all keys of a name on one node.
//!
//! Names are never shared by two of these: a cluster keeps them under other keys than one server.
//! With sentinels and clusters, clients connect to the addresses that those announce.
//!
//! # What it relies on
//! - The server's wall clock: a claim's time runs by it. A step forward by a claim's ttl frees the
//!   claim while its holder still believes in it, a step back keeps a dead holder's claim longer.
//!   Let the server's clock be slewed, not stepped.
//! - The server's memory: what it acknowledged can be lost when it crashes, fails over to a
//!   replica, is flushed, or evicts keys (`maxmemory-policy` must be `noeviction`). Fencing
//!   tokens go on growing through all of this or change their epoch; see
//!   [`TokenGuarantee::BestEffort`](dlock_core::TokenGuarantee).
//!
//! # What it stores
//! Under `<namespace>:{0}:`, in a cluster `<namespace>:{0}:` to `<namespace>:{255}:`, there are `name:<name>`, and while somebody waits `order:<name>` and
//! `due:<name>`, all gone after the last release; and for good `tokens`.
//! Messages go to channels `<namespace>:inbox:<random>`.
//!
//! # What it may do
//! A user of its own needs these rules for the namespace `dlock`, and no others; [`acl_rules`]
//! has them for any namespace:
//!
//! ```text
//! ACL SETUSER locks on >password
//! resetkeys ~dlock:* resetchannels &dlock:inbox:* -@all +info +evalsha +script|load +subscribe
//! +publish +scan +time +type +dump +del +pttl +pexpire +pexpireat +get +set +hincrby +hget +hmget +hset
//! +hdel +hlen +zadd +zcard +zrange +zrangebyscore +zrank +zrem +zscore
//! ```
//!
//! Add `+select` where the URL names a database, `+wait` where it asks for `replicas`, for a cluster
//! `+cluster|slots +cluster|info +asking`, and `+config|get` for checks that `INFO` does not suffice for.
//! A user of sentinels needs `resetchannels &+switch-master -@all +sentinel|master
//! +sentinel|get-master-addr-by-name +subscribe` there. `+info` can be left out: locks work
//! without, but a server that can lose them is not noticed. Connecting fails with what is missing.
//! Rights that are taken away later are missed by the requests that need them, which end with
//! `Denied`; a script that is stopped half way can leave a name damaged.
//!
//! # What it looks at
//! Connecting fails where locks cannot work: before Redis 7.0, on a read-only replica, on a server
//! of another kind than the URL says, for a user without the rights above. What can lose locks is
//! logged, once for each server: as a warning where it happens without a fault of the machine
//! (keys are evicted, nothing is on disk, too few replicas are connected), as information where it
//! takes one (snapshots only, an append-only file that is not synced at each write). What this
//! user may not see is named.
//!
//! # TLS
//! The feature `tls` is for `rediss://`. The server's certificate must be for the host in the URL, or
//! for that which sentinels or a cluster announce, and signed by an authority of the system or in the `ca-file`; `cert-file` and `key-file` are
//! shown to a server that asks for them. The files are PEM and are read when connecting first. The
//! cryptography is what the process has chosen as the default of `rustls` by then; where it has
//! chosen nothing, `ring` becomes that default. So an application that installs another provider
//! does it before it connects.
//!
//! # Replicas
//! With [`RedisConfig::with_replicas`] a grant is handed out once so many replicas have it.

mod backend;
mod cluster;
mod config;
mod entry;
mod error;
mod express;
mod inbox;
mod inspection;
mod keys;
mod link;
mod lookout;
mod native;
mod registry;
mod replicas;
mod requests;
mod routes;
mod scripts;
mod sentinel;
mod server;
mod shared;
mod slot;
mod source;
mod survey;
mod tokens;

pub use config::RedisConfig;
pub use dlock_core::address::TlsFiles;
pub use server::acl_rules;
