//! Who may log in, and what they may do.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::ask::ask;
use crate::servers::patience::until;

/// Who may do everything: etcd demands a user of this name.
const ROOT: &str = "root";
const ROOT_PASSWORD: &str = "operator";

/// Makes a login cheap: each costs the server a tenth of a second by default, and a suite has hundreds.
pub(super) const CHEAP: [&str; 2] = ["--bcrypt-cost", "4"];

/// The user whom clients log in as, with a role of the same name.
#[derive(Clone, Debug)]
pub(super) struct Login {
    user: String,
    password: String,
    prefix: String,
}

impl Login {
    /// One who may read and write the keys that begin with `prefix`.
    pub(super) fn new(user: &str, password: &str, prefix: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned(), prefix: prefix.to_owned() }
    }

    /// What a URL has before its hosts.
    pub(super) fn in_url(&self) -> String {
        format!("{}:{}@", self.user, self.password)
    }

    /// The same for root.
    pub(super) fn of_root() -> String {
        format!("{ROOT}:{ROOT_PASSWORD}@")
    }

    /// Makes a cluster ask for logins, by way of its member in `dir`.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub(super) fn require(&self, dir: &Path) {
        let encoded = |key: &[u8]| BASE64_STANDARD.encode(key);
        let (user, (first, end)) = (&self.user, keys_under(self.prefix.as_bytes()));
        let keys = json!({"permType": "READWRITE", "key": encoded(&first), "range_end": encoded(&end)});
        for (path, body) in [
            ("role/add", json!({"name": user})),
            ("role/grant", json!({"name": user, "perm": keys})),
            ("user/add", json!({"name": user, "password": self.password})),
            ("user/grant", json!({"user": user, "role": user})),
            ("user/add", json!({"name": ROOT, "password": ROOT_PASSWORD})),
            ("user/grant", json!({"user": ROOT, "role": ROOT})),
            ("enable", json!({})),
        ] {
            until(|| order(dir, path, &body));
        }
    }
}

/// What was asked before, without an answer, may have been done.
fn order(dir: &Path, path: &str, body: &Value) -> Result<(), String> {
    let answer = ask(dir, "POST", &format!("/v3/auth/{path}"), &body.to_string()).map_err(|error| error.to_string())?;
    let is_done = answer.contains(r#""header""#) || answer.contains("already exists");
    if is_done { Ok(()) } else { Err(format!("auth/{path} is answered by {answer:?}")) }
}

/// The first key that begins with `prefix`, and the first one after them. There is no empty key, and
/// `\0` as an end means that there is none (etcd.io/docs, API, key ranges).
fn keys_under(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let first = if prefix.is_empty() { b"\0" } else { prefix };
    let kept = prefix.iter().rposition(|byte| *byte < u8::MAX);
    let end = kept.map_or(vec![0], |last| [&prefix[..last], &[prefix[last] + 1]].concat());
    (first.to_owned(), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_one() {
        for (prefix, first, end) in [("t-", "t-", "t."), ("a", "a", "b"), ("", "\0", "\0"), ("jobs/", "jobs/", "jobs0")]
        {
            assert_eq!(keys_under(prefix.as_bytes()), (first.into(), end.into()), "{prefix}");
        }
        assert_eq!(keys_under(b"a\xff").1, b"b");
    }
}
