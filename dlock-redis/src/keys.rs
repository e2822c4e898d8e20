//! Where things stand on the server.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use dlock_core::{LockName, NamePrefix, Namespace};

use crate::slot::slot_of;

/// The keys of one namespace.
///
/// A script may touch only keys of one hash slot, and the counter that tokens come from must be
/// among them. So the hash tag is a *bucket* of names that share a counter, not the name: one
/// server has one bucket, a cluster as many as spread the load. Only the first `{…}` of a key is
/// its hash tag, and a namespace has no braces, so names need no encoding.
#[derive(Clone, Debug)]
pub(crate) struct Keyspace {
    namespace: String,
    /// The tokens key of each bucket.
    tokens: Vec<String>,
}

/// Names whose keys are in one hash slot, and that share a token counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Bucket(u16);

/// The keys of a name; `order` and `due` exist only while somebody waits, `tokens` is its bucket's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameKeys {
    pub(crate) tokens: String,
    pub(crate) main: String,
    pub(crate) order: String,
    pub(crate) due: String,
}

impl Bucket {
    /// The one that there always is.
    pub(crate) const FIRST: Self = Self(0);
    /// How many a cluster has: enough to load a few dozen masters evenly.
    pub(crate) const IN_CLUSTER: u16 = 256;

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The hash slot of its keys in a cluster.
    pub(crate) fn slot(self) -> u16 {
        slot_of(&self.to_string())
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Bucket {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

impl Keyspace {
    pub(crate) fn new(namespace: &Namespace, buckets: u16) -> Self {
        let tokens = (0..buckets).map(|bucket| format!("{namespace}:{{{bucket}}}:tokens")).collect();
        Self { namespace: namespace.to_string(), tokens }
    }

    pub(crate) fn buckets(&self) -> impl Iterator<Item = Bucket> + use<> {
        (0..self.count()).map(Bucket)
    }

    /// The bucket of a name, which never changes.
    pub(crate) fn bucket(&self, name: &LockName) -> Bucket {
        // The count is a power of two, and the low bits of the hash are its best.
        Bucket((fnv(name.as_str()) & u32::from(self.count() - 1)) as u16)
    }

    /// The hash of a bucket's token counter: `epoch` is the present history of the server, and the field of
    /// that epoch's name the counter.
    pub(crate) fn tokens(&self, bucket: Bucket) -> &str {
        &self.tokens[bucket.index()]
    }

    /// The key that every claimed name has.
    pub(crate) fn main(&self, name: &LockName) -> String {
        self.key(self.bucket(name), "name", name)
    }

    pub(crate) fn of(&self, name: &LockName) -> NameKeys {
        let bucket = self.bucket(name);
        NameKeys {
            tokens: self.tokens(bucket).to_owned(),
            main: self.key(bucket, "name", name),
            order: self.key(bucket, "order", name),
            due: self.key(bucket, "due", name),
        }
    }

    /// A pattern for SCAN that misses no name of `prefix`; it may match more.
    pub(crate) fn pattern(&self, prefix: &NamePrefix) -> String {
        let start = prefix.name().map_or("", LockName::as_str);
        let buckets = if self.count() == 1 { "0" } else { "*" };
        format!("{}:{{{buckets}}}:name:{}*", escape(&self.namespace), escape(start))
    }

    /// The name whose main key this is.
    pub(crate) fn name_of(&self, key: &[u8]) -> Option<LockName> {
        let key = std::str::from_utf8(key).ok()?;
        let rest = key.strip_prefix(self.namespace.as_str())?.strip_prefix(":{")?;
        let (bucket, name) = rest.split_once("}:name:")?;
        let name: LockName = name.parse().ok()?;
        (bucket == self.bucket(&name).0.to_string()).then_some(name)
    }

    fn key(&self, bucket: Bucket, kind: &str, name: &LockName) -> String {
        format!("{}:{{{bucket}}}:{kind}:{name}", self.namespace)
    }

    fn count(&self) -> u16 {
        u16::try_from(self.tokens.len()).expect("there were that many")
    }
}

/// FNV-1a with 32 bits, <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Glob characters of SCAN's MATCH stand for themselves behind a backslash.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_keys_of_its_own_in_the_slot_of_its_bucket() {
        for buckets in [1, Bucket::IN_CLUSTER] {
            let keyspace = Keyspace::new(&"team-a".parse().unwrap(), buckets);
            let mut seen = std::collections::HashSet::new();
            for name in ["a", "A", "a/b", "{0}", "}{", "}:name:b", "a b", "tokens", "name:a", "ünï", "*", "[x]", "\\"]
            {
                let name: LockName = name.parse().unwrap();
                let keys = keyspace.of(&name);
                assert_eq!(keyspace.name_of(keys.main.as_bytes()), Some(name.clone()));
                let start = format!("team-a:{{{}}}:", keyspace.bucket(&name).0);
                assert!(keys.tokens.starts_with(&start), "{}", keys.tokens);
                for key in [keys.main, keys.order, keys.due] {
                    assert!(key.starts_with(&start), "{key}");
                    assert!(seen.insert(key), "{name} shares a key with another name");
                }
            }
            assert!(keyspace.buckets().all(|bucket| !seen.contains(keyspace.tokens(bucket))));
        }
    }

    #[test]
    fn other_keys_are_no_names() {
        let keyspace = Keyspace::new(&"team-a".parse().unwrap(), 1);
        for key in [&b"team-a:{0}:order:a"[..], b"team-ab:{0}:name:a", b"team-a:{0}:name:\xff", b"team-a:{7}:name:a"] {
            assert_eq!(keyspace.name_of(key), None);
        }
    }

    #[test]
    fn names_spread_over_the_buckets_of_a_cluster() {
        let keyspace = Keyspace::new(&Namespace::default(), Bucket::IN_CLUSTER);
        let mut counts = vec![0; keyspace.buckets().count()];
        for number in 0..25_600 {
            counts[keyspace.bucket(&format!("job/{number}").parse().unwrap()).index()] += 1;
        }
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
        assert_eq!(
            keyspace.bucket(&"nightly-backup".parse().unwrap()),
            Bucket(127),
            "it is stored, it must not change"
        );
    }

    #[test]
    fn patterns_take_names_literally() {
        let keyspace = Keyspace::new(&Namespace::default(), 1);
        assert_eq!(keyspace.pattern(&NamePrefix::root()), "dlock:{0}:name:*");
        assert_eq!(keyspace.pattern(&NamePrefix::below("a*[b".parse().unwrap())), "dlock:{0}:name:a\\*\\[b*");
        assert_eq!(Keyspace::new(&Namespace::default(), 256).pattern(&NamePrefix::root()), "dlock:{*}:name:*");
    }
}
