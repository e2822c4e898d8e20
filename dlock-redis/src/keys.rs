//! Where things stand on the server.

use dlock_core::{LockName, NamePrefix, Namespace};

/// The keys of one namespace.
///
/// A script may touch only keys of one hash slot, and the counter that tokens come from must be
/// among them. So the hash tag is a *bucket* of names that share a counter, not the name: here
/// there is one bucket, in Redis Cluster there would be as many as spread the load. Only the first
/// `{…}` of a key is its hash tag, and a namespace has no braces, so names need no encoding.
#[derive(Clone, Debug)]
pub(crate) struct Keyspace {
    prefix: String,
    tokens: String,
    epoch: String,
}

/// The three keys that a name may have; `order` and `due` exist only while somebody waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameKeys {
    pub(crate) main: String,
    pub(crate) order: String,
    pub(crate) due: String,
}

const BUCKET: u32 = 0;

impl Keyspace {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        let prefix = format!("{namespace}:{{{BUCKET}}}");
        Self { tokens: format!("{prefix}:tokens"), epoch: format!("{prefix}:epoch"), prefix }
    }

    /// The counter that tokens come from.
    pub(crate) fn tokens(&self) -> &str {
        &self.tokens
    }

    /// Which history of the server the counter belongs to.
    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The key that every claimed name has.
    pub(crate) fn main(&self, name: &LockName) -> String {
        format!("{}:name:{name}", self.prefix)
    }

    pub(crate) fn of(&self, name: &LockName) -> NameKeys {
        let prefix = &self.prefix;
        NameKeys { main: self.main(name), order: format!("{prefix}:order:{name}"), due: format!("{prefix}:due:{name}") }
    }

    /// A pattern for SCAN that misses no name of `prefix`; it may match more.
    pub(crate) fn pattern(&self, prefix: &NamePrefix) -> String {
        let start = prefix.name().map_or("", LockName::as_str);
        format!("{}*", escape(&format!("{}:name:{start}", self.prefix)))
    }

    /// The name whose main key this is.
    pub(crate) fn name_of(&self, key: &[u8]) -> Option<LockName> {
        let key = std::str::from_utf8(key).ok()?;
        key.strip_prefix(self.prefix.as_str())?.strip_prefix(":name:")?.parse().ok()
    }
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
    fn every_name_has_keys_of_its_own_in_one_slot() {
        let keyspace = Keyspace::new(&"team-a".parse().unwrap());
        let mut seen = std::collections::HashSet::new();
        for name in ["a", "A", "a/b", "{0}", "}{", "a b", "tokens", "name:a", "ünï", "*", "[x]", "\\"] {
            let name: LockName = name.parse().unwrap();
            let keys = keyspace.of(&name);
            assert_eq!(keyspace.name_of(keys.main.as_bytes()), Some(name.clone()));
            for key in [keys.main, keys.order, keys.due] {
                assert!(key.starts_with("team-a:{0}:"), "{key}");
                assert!(seen.insert(key), "{name} shares a key with another name");
            }
        }
        assert!(!seen.contains(keyspace.tokens()) && !seen.contains(keyspace.epoch()));
        assert_eq!(keyspace.name_of(b"team-a:{0}:order:a"), None);
        assert_eq!(keyspace.name_of(b"team-ab:{0}:name:a"), None);
        assert_eq!(keyspace.name_of(b"team-a:{0}:name:\xff"), None);
    }

    #[test]
    fn patterns_take_names_literally() {
        let keyspace = Keyspace::new(&Namespace::default());
        assert_eq!(keyspace.pattern(&NamePrefix::root()), "dlock:{0}:name:*");
        assert_eq!(keyspace.pattern(&NamePrefix::below("a*[b".parse().unwrap())), "dlock:{0}:name:a\\*\\[b*");
    }
}
