use dlock_core::{Error, ErrorKind, Result};
use redis::{Pipeline, RedisResult, Value, from_redis_value};

use crate::config::Address;
use crate::error::classify_connecting;

/// What one node says of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Whether it serves requests. Then it is with the majority.
    pub(super) is_well: bool,
    /// Counts the changes that it has heard of.
    pub(super) epoch: u64,
    /// Ranges of slots, each with its master.
    masters: Vec<(u16, u16, Address)>,
    /// All nodes, replicas too.
    pub(super) nodes: Vec<Address>,
}

/// What to ask a node. Who keeps a slot is in <https://redis.io/docs/latest/commands/cluster-slots/>,
/// and how much that is worth in <https://redis.io/docs/latest/commands/cluster-info/>.
pub(super) fn question() -> Pipeline {
    let mut question = redis::pipe();
    question.cmd("CLUSTER").arg("SLOTS");
    question.cmd("CLUSTER").arg("INFO");
    question.ignore_errors();
    question
}

impl View {
    /// Reads the answer to [`question`] of the node on the host `asked`.
    pub(super) fn read(asked: &str, answer: RedisResult<Vec<RedisResult<Value>>>) -> Result<Self> {
        let mut answers = answer.map_err(classify_connecting)?.into_iter();
        let (Some(slots), Some(info), None) = (answers.next(), answers.next(), answers.next()) else {
            return Err(strange());
        };
        let slots = slots.map_err(|error| {
            if error.to_string().contains("cluster support disabled") {
                let text = "it is not part of a redis cluster: use redis://host:port";
                return Error::new(ErrorKind::InvalidInput, text).with_source(error);
            }
            classify_connecting(error)
        })?;
        let mut view = Self::default();
        for range in list(slots)? {
            let mut range = list(range)?.into_iter();
            let (Some(first), Some(last)) = (range.next(), range.next()) else { return Err(strange()) };
            let mut nodes = range.map(|node| address(asked, node)).collect::<Result<Vec<_>>>()?;
            let master = nodes.first().ok_or_else(strange)?.clone();
            view.masters.push((number(first)?, number(last)?, master));
            view.nodes.append(&mut nodes);
        }
        view.nodes.sort_unstable();
        view.nodes.dedup();
        if let Ok(info) = info {
            let info: String = from_redis_value(info).map_err(|_| strange())?;
            let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            view.is_well = field("cluster_state").is_some_and(|state| state.trim() == "ok");
            view.epoch = field("cluster_current_epoch").and_then(|epoch| epoch.trim().parse().ok()).unwrap_or(0);
        }
        Ok(view)
    }

    /// Who keeps a slot.
    pub(super) fn master_of(&self, slot: u16) -> Option<&Address> {
        let found = self.masters.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        found.map(|(_, _, master)| master)
    }
}

/// The node that a MOVED or ASK names; one without a host is where `asked` is.
pub(super) fn named(asked: &str, text: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    Some(Address::new(host_or(asked, host), port.parse().ok()?))
}

fn address(asked: &str, node: Value) -> Result<Address> {
    let mut node = list(node)?.into_iter();
    let (Some(host), Some(port)) = (node.next(), node.next()) else { return Err(strange()) };
    let host: Option<String> = from_redis_value(host).map_err(|_| strange())?;
    Ok(Address::new(host_or(asked, host.as_deref().unwrap_or_default()), number(port)?))
}

/// A node that does not know how it is reached, or may not tell, is where it was asked.
fn host_or<'a>(asked: &'a str, host: &'a str) -> &'a str {
    if host.is_empty() || host == "?" { asked } else { host }
}

fn list(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(strange()),
    }
}

fn number(value: Value) -> Result<u16> {
    // Not read as an u16 at once: the library would cut a greater number down to one.
    let number: i64 = from_redis_value(value).map_err(|_| strange())?;
    u16::try_from(number).map_err(|_| strange())
}

fn strange() -> Error {
    Error::new(ErrorKind::Protocol, "it does not answer as a node of a redis cluster does; check host and port")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), text("07c3"), Value::Array(vec![])])
    }

    fn range(first: i64, last: i64, nodes: Vec<Value>) -> Value {
        Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat())
    }

    fn read(slots: Vec<Value>, info: RedisResult<Value>) -> Result<View> {
        View::read("asked", Ok(vec![Ok(Value::Array(slots)), info]))
    }

    #[test]
    fn a_node_tells_who_keeps_what() {
        let slots = vec![
            range(0, 99, vec![node(text("10.0.0.1"), 7000), node(text("10.0.0.4"), 7003)]),
            range(100, 16383, vec![node(text("::1"), 7001)]),
        ];
        let info = "cluster_state:ok\r\ncluster_slots_ok:16384\r\ncluster_current_epoch:6\r\n";
        let view = read(slots, Ok(text(info))).unwrap();
        assert_eq!((view.is_well, view.epoch), (true, 6));
        assert_eq!(view.master_of(99), Some(&Address::new("10.0.0.1", 7000)));
        assert_eq!(view.master_of(100), Some(&Address::new("::1", 7001)));
        assert_eq!(view.nodes.len(), 3);
    }

    #[test]
    fn a_node_without_a_host_is_where_it_was_asked() {
        for host in [Value::Nil, text(""), text("?")] {
            let view = read(vec![range(0, 9, vec![node(host, 7000)])], Ok(text("cluster_state:fail"))).unwrap();
            assert_eq!(view.master_of(9), Some(&Address::new("asked", 7000)));
            assert_eq!(view.master_of(10), None);
            assert!(!view.is_well);
        }
        for (text, host, port) in [("h:7", "h", 7), ("::1:7", "::1", 7), (":7", "asked", 7), ("?:7", "asked", 7)] {
            assert_eq!(named("asked", text), Some(Address::new(host, port)));
        }
        assert_eq!(named("asked", "h"), None);
    }

    #[test]
    fn what_is_no_answer_says_why() {
        let refused = redis::RedisError::from((
            redis::ErrorKind::Server(redis::ServerErrorKind::ResponseError),
            "This instance has cluster support disabled",
        ));
        let error = View::read("h", Ok(vec![Err(refused), Ok(Value::Nil)])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("use redis://"), "{error}");
        for slots in [vec![Value::Int(1)], vec![range(0, 9, vec![])], vec![range(0, 99_999, vec![node(text("h"), 1)])]]
        {
            assert_eq!(read(slots, Ok(text(""))).unwrap_err().kind(), ErrorKind::Protocol);
        }
    }
}
