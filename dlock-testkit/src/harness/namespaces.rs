//! The namespaces of a run, one for each case.

use dlock_core::{ClaimId, Error, Namespace, Result};

/// Namespaces that begin alike, with something that nothing else on the service begins with: so
/// that all traces of a run can be told from what users keep there.
#[derive(Debug)]
pub(super) struct Namespaces {
    root: String,
}

impl Namespaces {
    /// Namespaces that begin with `prefix`.
    pub(super) fn new(prefix: &str) -> Result<Self> {
        let namespaces = Self { root: format!("{prefix}{}-", random::<12>()) };
        // Cases use longer ones than their own, too.
        let longest = format!("{}.a", namespaces.text());
        longest.parse::<Namespace>().map_err(|error| Error::context(error, format!("the prefix {prefix:?}")))?;
        Ok(namespaces)
    }

    /// What all of them begin with.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// One that was not given out before.
    pub(super) fn one_more(&self) -> Namespace {
        self.text().parse().expect("a longer one was tried at first")
    }

    fn text(&self) -> String {
        format!("{}{}", self.root, random::<16>())
    }
}

/// Hexadecimal digits.
fn random<const DIGITS: usize>() -> String {
    ClaimId::random().to_string()[..DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_differ_and_begin_alike() {
        let namespaces = Namespaces::new("team-a.").unwrap();
        let (one, other) = (namespaces.one_more(), namespaces.one_more());
        assert_ne!(one, other);
        for namespace in [one, other] {
            assert!(namespace.as_str().starts_with(namespaces.root()) && namespaces.root().starts_with("team-a."));
        }
        assert_ne!(Namespaces::new("t-").unwrap().root(), Namespaces::new("t-").unwrap().root());
    }

    #[test]
    fn a_prefix_that_cannot_be_used_is_named() {
        for prefix in ["", "a/b", "-a", &"a".repeat(40)] {
            let made = Namespaces::new(prefix);
            if prefix.is_empty() {
                assert!(made.is_ok(), "the rest is enough");
                continue;
            }
            let error = made.unwrap_err().to_string();
            assert!(error.contains(prefix), "{error}");
        }
    }
}
