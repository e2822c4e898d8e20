//! What can be done to Redis servers however they are deployed.

use dlock_core::{Connect, Namespace};
use dlock_redis::RedisConfig;
use dlock_testkit::chaos::{Aim, Aimed, Kind};

use super::claims;
use super::operator::Operator;
use crate::stores::entries::{self, DAMAGE, DELETE};
#[cfg(test)]
use crate::stores::patience::until;

const KILL_CONNECTIONS: &str = "kill connections";
const FORGET_SCRIPTS: &str = "forget scripts";
const FLUSH: &str = "flush";
const FILL_MEMORY: &str = "fill memory";
const CHANGE_TYPE: &str = "change type";

/// The faults that all deployments have.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) operator: Operator,
    url: String,
}

impl Common {
    /// For these servers that keep keys, which a client reaches by `url`.
    pub(super) fn of(operator: Operator, url: &str) -> Self {
        Self { operator, url: url.to_owned() }
    }

    pub(super) fn client(&self) -> Box<dyn Connect> {
        Box::new(RedisConfig::from_url(&self.url).expect("the servers' url is good"))
    }

    pub(super) fn kinds() -> [Kind; 7] {
        [
            Kind::new(KILL_CONNECTIONS, Aim::ServersOnce),
            Kind::new(FORGET_SCRIPTS, Aim::ServersOnce),
            Kind::new(FLUSH, Aim::ServersOnce).breaking_exclusion().taking_history(),
            Kind::new(FILL_MEMORY, Aim::Servers),
            Kind::new(DELETE, Aim::Name).breaking_exclusion(),
            Kind::new(DAMAGE, Aim::Name).breaking_exclusion(),
            Kind::new(CHANGE_TYPE, Aim::Name).breaking_exclusion(),
        ]
    }

    pub(super) async fn begin(&self, fault: &Aimed) -> String {
        let operator = &self.operator;
        match fault.kind.name {
            KILL_CONNECTIONS => {
                // Replication goes on: those are connections of other types.
                for kind in ["normal", "pubsub"] {
                    operator.tell_all(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
                }
            }
            FORGET_SCRIPTS => operator.tell_all(&["SCRIPT", "FLUSH"]).await,
            FLUSH => {
                for primary in operator.primaries().await {
                    operator.tell::<()>(primary, &["FLUSHALL"]).await;
                }
            }
            FILL_MEMORY => operator.tell_all(&["CONFIG", "SET", "maxmemory", "1"]).await,
            DELETE => self.delete(fault).await,
            DAMAGE => return self.overwrite(fault, &["SET", "garbage"]).await,
            CHANGE_TYPE => return self.overwrite(fault, &["RPUSH", "garbage"]).await,
            other => unreachable!("{other} is a fault of its deployment"),
        }
        match fault.kind.aim {
            Aim::Name => fault.name.to_string(),
            _ => "all servers".to_owned(),
        }
    }

    pub(super) async fn end(&self, fault: &Aimed) {
        match fault.kind.name {
            FILL_MEMORY => self.operator.tell_all(&["CONFIG", "SET", "maxmemory", "0"]).await,
            DAMAGE | CHANGE_TYPE => entries::clear_damage(|| self.client(), fault).await,
            _ => {}
        }
    }

    pub(super) async fn count(&self, namespace: &Namespace) -> u64 {
        claims::of_names(&self.operator, namespace).await.len() as u64
    }

    async fn delete(&self, fault: &Aimed) {
        for (server, key) in claims::of_name(&self.operator, &fault.namespace, &fault.name).await {
            self.operator.tell::<()>(server, &["DEL", &key]).await;
        }
    }

    /// Puts something else in the place of what is on the name.
    async fn overwrite(&self, fault: &Aimed, [command, value]: &[&str; 2]) -> String {
        let Some((server, key)) = claims::on_name(&self.operator, &fault.namespace, &fault.name).await else {
            return format!("{}, which nobody used", fault.name);
        };
        let mut both = redis::pipe();
        both.atomic().cmd("DEL").arg(&key).ignore().cmd(command).arg(&key).arg(*value).ignore();
        let mut connection = self.operator.connection(server).await.expect("the server is there");
        both.exec_async(&mut connection).await.expect("the server obeys");
        fault.name.to_string()
    }
}

/// Makes a fault of servers that have something stored, and sees that they keep something after it.
#[cfg(test)]
pub(super) async fn inflict(target: &dyn dlock_testkit::chaos::Target, common: &Common, kind: Kind) {
    let key = "test:{0}:name:a";
    let store = async || {
        for primary in common.operator.primaries().await {
            // The others of a cluster send one on.
            if common.operator.ask::<()>(primary, &["SET", key, "value"]).await.is_ok() {
                return Ok(());
            }
        }
        Err("no primary takes a key")
    };
    if kind.aim == Aim::Name {
        return;
    }
    until(store).await;
    let (namespace, name) = ("test".parse().unwrap(), "a".parse().unwrap());
    let fault = Aimed { kind, choice: 0x1234_5678_9abc_def0, namespace, name };
    let whom = target.begin(&fault).await;
    assert!(!whom.is_empty());
    if kind.aim == Aim::Servers {
        target.end(&fault).await;
    }
    until(store).await;
    eprintln!("{}: {whom}", kind.name);
}
