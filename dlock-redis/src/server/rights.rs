//! What a user must be allowed to do, and whether it is.

use dlock_core::{Error, ErrorKind, Namespace, Result};
use redis::Script;
use redis::aio::MultiplexedConnection;

use super::findings::{Topology, Wanted};
use crate::error::classify_connecting;

/// The rules that a user of `namespace` needs at the least, for `ACL SETUSER <user> on ><password>`.
///
/// Beyond what every client needs, grant `+select` where the URL names a database, `+wait` where it
/// asks for `replicas`, and for a cluster `+cluster|slots +cluster|info +asking`. Without `+info` locks work, but a server that can lose them is
/// not noticed; `+config|get` lets it be judged closer.
///
/// ```
/// let rules = dlock_redis::acl_rules(&"payments".parse()?);
/// assert!(rules.starts_with("resetkeys ~payments:* resetchannels &payments:inbox:* -@all +info "));
/// # Ok::<(), dlock_core::Error>(())
/// ```
#[must_use]
pub fn acl_rules(namespace: &Namespace) -> String {
    let keys = keys(namespace);
    let channels = channels(namespace);
    let commands = std::iter::once(INFO).chain(COMMANDS.iter().map(|right| right.rule));
    let commands: Vec<String> = commands.map(|rule| format!("+{rule}")).collect();
    format!("resetkeys {keys} resetchannels {channels} -@all {}", commands.join(" "))
}

const INFO: &str = "info";

/// The commands of this backend and of its scripts.
const COMMANDS: [Right; 27] = [
    Right { rule: "evalsha", on: On::Nothing, args: "0 0" },
    Right { rule: "script|load", on: On::Nothing, args: "x" },
    Right { rule: "subscribe", on: On::Channel, args: "" },
    Right { rule: "publish", on: On::Channel, args: "x" },
    Right { rule: "scan", on: On::Nothing, args: "0" },
    Right { rule: "time", on: On::Nothing, args: "" },
    Right { rule: "type", on: On::Reads, args: "" },
    Right { rule: "dump", on: On::Reads, args: "" },
    Right { rule: "del", on: On::Writes, args: "" },
    Right { rule: "pttl", on: On::Reads, args: "" },
    Right { rule: "pexpire", on: On::Writes, args: "1" },
    Right { rule: "pexpireat", on: On::Writes, args: "1" },
    Right { rule: "get", on: On::Reads, args: "" },
    Right { rule: "set", on: On::Writes, args: "x" },
    Right { rule: "hincrby", on: On::Writes, args: "x 1" },
    Right { rule: "hget", on: On::Reads, args: "x" },
    Right { rule: "hmget", on: On::Reads, args: "x" },
    Right { rule: "hset", on: On::Writes, args: "x x" },
    Right { rule: "hdel", on: On::Writes, args: "x" },
    Right { rule: "hlen", on: On::Reads, args: "" },
    Right { rule: "zadd", on: On::Writes, args: "1 x" },
    Right { rule: "zcard", on: On::Reads, args: "" },
    Right { rule: "zrange", on: On::Reads, args: "0 0" },
    Right { rule: "zrangebyscore", on: On::Reads, args: "0 0" },
    Right { rule: "zrank", on: On::Reads, args: "x" },
    Right { rule: "zrem", on: On::Writes, args: "x" },
    Right { rule: "zscore", on: On::Reads, args: "x" },
];

/// For [`RedisConfig::with_replicas`](crate::RedisConfig).
const WAIT: Right = Right { rule: "wait", on: On::Nothing, args: "0 0" };

/// For the way to the nodes of a cluster.
const IN_CLUSTER: [Right; 3] = [
    Right { rule: "cluster|slots", on: On::Nothing, args: "" },
    Right { rule: "cluster|info", on: On::Nothing, args: "" },
    Right { rule: "asking", on: On::Nothing, args: "" },
];

/// One command that a user may or may not run.
#[derive(Clone, Copy, Debug)]
struct Right {
    /// As ACL rules name it.
    rule: &'static str,
    on: On,
    /// What it needs after its key or channel to be a call that the server can judge.
    args: &'static str,
}

/// What a command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Nothing,
    Reads,
    Writes,
    Channel,
}

/// What a client must be told to be allowed, and how the server is asked whether it is.
#[derive(Debug)]
pub(super) struct Rights {
    probe: Script,
    user: String,
    namespace: Namespace,
    rights: Vec<Right>,
}

impl Rights {
    pub(super) fn new(namespace: &Namespace, user: Option<&str>, wanted: Wanted) -> Self {
        let mut rights = COMMANDS.to_vec();
        if wanted.replicas > 0 {
            rights.push(WAIT);
        }
        if wanted.topology == Topology::Cluster {
            rights.extend(IN_CLUSTER);
        }
        Self {
            probe: Script::new(include_str!("rights.lua")),
            user: user.filter(|user| !user.is_empty()).unwrap_or("default").to_owned(),
            namespace: namespace.clone(),
            rights,
        }
    }

    /// Asks whether this user may do what locks need; nothing is changed.
    ///
    /// # Errors
    /// `Denied`, with the rules that are missing.
    pub(super) async fn check(&self, connection: &mut MultiplexedConnection) -> Result<()> {
        let mut call = self.probe.prepare_invoke();
        for right in &self.rights {
            call.arg(self.call(*right));
        }
        let answers: Vec<bool> = call.invoke_async(connection).await.map_err(classify_connecting)?;
        let denied: Vec<Right> =
            self.rights.iter().zip(answers).filter(|(_, allowed)| !allowed).map(|(right, _)| *right).collect();
        if denied.is_empty() { Ok(()) } else { Err(self.denied(&denied)) }
    }

    /// A call of the command, its words parted by blanks.
    fn call(&self, right: Right) -> String {
        let namespace = &self.namespace;
        let place = match right.on {
            On::Nothing => String::new(),
            On::Reads | On::Writes => format!(" {namespace}:{{0}}:name:probe"),
            On::Channel => format!(" {namespace}:inbox:probe"),
        };
        format!("{}{place} {}", right.rule.replace('|', " "), right.args)
    }

    fn denied(&self, denied: &[Right]) -> Error {
        // The server does not say whether it is the command or what it works on. If it is the latter,
        // no command can work on it.
        let none_on = |on| {
            self.rights.iter().filter(|right| right.on == on).count()
                == denied.iter().filter(|right| right.on == on).count()
        };
        let keys = (none_on(On::Reads) || none_on(On::Writes)).then(|| keys(&self.namespace));
        let channels = none_on(On::Channel).then(|| channels(&self.namespace));
        let commands = denied.iter().map(|right| format!("+{}", right.rule));
        let rules: Vec<String> = keys.into_iter().chain(channels).chain(commands).collect();
        let (user, rules) = (&self.user, rules.join(" "));
        let text = format!("redis does not let this user do all that locks need; grant it: ACL SETUSER {user} {rules}");
        Error::new(ErrorKind::Denied, text)
    }
}

fn keys(namespace: &Namespace) -> String {
    format!("~{namespace}:*")
}

fn channels(namespace: &Namespace) -> String {
    format!("&{namespace}:inbox:*")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The words that stand for commands in a script.
    fn calls(script: &str) -> BTreeSet<String> {
        let code: String = script.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        let calls = code.split("call('").skip(1);
        calls.map(|rest| rest.split('\'').next().unwrap().to_lowercase()).collect()
    }

    #[test]
    fn every_command_of_the_scripts_is_granted_and_no_other() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scripts");
        let mut used = BTreeSet::new();
        for file in std::fs::read_dir(dir).unwrap() {
            used.append(&mut calls(&std::fs::read_to_string(file.unwrap().path()).unwrap()));
        }
        assert!(used.contains("zadd"), "{used:?}");
        let by_itself = ["evalsha", "script|load", "subscribe", "scan"];
        used.extend(by_itself.map(str::to_owned));
        let granted: BTreeSet<String> = COMMANDS.iter().map(|right| right.rule.to_owned()).collect();
        assert_eq!(granted, used, "these commands must stand in COMMANDS and in the documentation");
    }

    #[test]
    fn what_is_missing_is_named_by_its_rule() {
        let wanted = Wanted { topology: Topology::Cluster, replicas: 1 };
        let rights = Rights::new(&"team".parse().unwrap(), Some("locks"), wanted);
        let missing = |denied: &dyn Fn(&Right) -> bool| {
            let denied: Vec<Right> = rights.rights.iter().filter(|right| denied(right)).copied().collect();
            let error = rights.denied(&denied);
            assert_eq!(error.kind(), ErrorKind::Denied);
            error.to_string().rsplit_once("grant it: ACL SETUSER locks ").unwrap().1.to_owned()
        };
        assert_eq!(missing(&|right| ["zadd", "script|load"].contains(&right.rule)), "+script|load +zadd");
        assert_eq!(missing(&|right| right.rule == "wait"), "+wait");
        assert_eq!(missing(&|right| right.rule.starts_with("cluster|")), "+cluster|slots +cluster|info");
        assert_eq!(missing(&|right| right.on == On::Channel), "&team:inbox:* +subscribe +publish");
        assert!(missing(&|right| right.on == On::Writes).starts_with("~team:* +del +"));
    }

    #[test]
    fn calls_are_whole() {
        let wanted = Wanted { topology: Topology::Single, replicas: 0 };
        let rights = Rights::new(&"team".parse().unwrap(), None, wanted);
        let calls: Vec<String> = rights.rights.iter().map(|right| rights.call(*right)).collect();
        for call in ["script load x", "hset team:{0}:name:probe x x", "publish team:inbox:probe x"] {
            assert!(calls.iter().any(|known| known == call), "{calls:?}");
        }
    }

    #[test]
    fn the_documentation_has_the_rules() {
        let rules = acl_rules(&Namespace::default());
        let documentation = include_str!("../lib.rs");
        let text: Vec<&str> = documentation.lines().filter_map(|line| line.strip_prefix("//! ")).collect();
        let text = text.join(" ");
        assert!(text.contains(&rules), "the rules are {rules}");
        for right in IN_CLUSTER.iter().chain([&WAIT]) {
            assert!(text.contains(&format!("+{}", right.rule)), "{}", right.rule);
        }
    }
}
