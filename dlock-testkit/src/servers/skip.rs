//! Saying that a test did not run.

use std::env;
use std::fmt;
use std::io::{self, Write};

/// The variable that lists the servers whose absence is a failure, such as `redis,etcd`.
const REQUIRE: &str = "DLOCK_REQUIRE";

/// A server is not there, so the test that needs it does not run.
///
/// Making one prints it to the standard error, past the test harness, which hides what passing tests print.
#[must_use = "a test that gets a skip returns at once"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    what: &'static str,
    why: String,
}

impl Skip {
    /// Skips what needs `what`, unless `DLOCK_REQUIRE` names it.
    ///
    /// # Panics
    /// When `DLOCK_REQUIRE` names it.
    pub fn unless_required(what: &'static str, why: impl Into<String>) -> Self {
        let why = why.into();
        assert!(!is_required(what, &env::var(REQUIRE).unwrap_or_default()), "{REQUIRE} asks for {what}, but {why}");
        Self::announced(what, why)
    }

    /// Skips what needs `what` even where `DLOCK_REQUIRE` names it.
    pub(crate) fn announced(what: &'static str, why: impl Into<String>) -> Self {
        let skip = Self { what, why: why.into() };
        let _ = writeln!(io::stderr(), "{skip}");
        skip
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SKIPPED {}: {}", self.what, self.why)
    }
}

fn is_required(what: &str, list: &str) -> bool {
    list.split(',').any(|required| required.trim() == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_whole_words() {
        for (list, required) in
            [("", false), ("redis", true), ("etcd, redis", true), ("redis2", false), ("etcd", false)]
        {
            assert_eq!(is_required("redis", list), required, "{list:?}");
        }
    }
}
