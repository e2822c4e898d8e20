//! Names, prefixes and namespaces, valid once they exist.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Error, ErrorKind, Result};

/// What is locked.
///
/// One to [`LockName::MAX_BYTES`] bytes of UTF-8. `/` builds a hierarchy, for listing only:
/// a lock on `a` and one on `a/b` have nothing to do with each other. Every segment is non-empty
/// and free of control characters; anything else is allowed, `.`, `..`, `%` and spaces included,
/// and case matters. Adapters encode names; they never reject what this type accepts.
///
/// ```
/// # use dlock_core::LockName;
/// let name: LockName = "billing/invoice 17".parse()?;
/// assert_eq!(name.as_str(), "billing/invoice 17");
/// assert!("billing//17".parse::<LockName>().is_err());
/// # Ok::<(), dlock_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockName(Arc<str>);

impl LockName {
    /// The longest name, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 512;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The names at and below one point of the hierarchy.
///
/// `a` covers `a` and `a/b`, not `ab`. The root covers every name of the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePrefix(Option<LockName>);

impl NamePrefix {
    /// Every name of the namespace.
    #[must_use]
    pub fn root() -> Self {
        Self(None)
    }

    /// `name` and all names below it.
    #[must_use]
    pub fn below(name: LockName) -> Self {
        Self(Some(name))
    }

    /// The name the prefix starts at; `None` is the root.
    #[must_use]
    pub fn name(&self) -> Option<&LockName> {
        self.0.as_ref()
    }

    /// Whether the prefix covers `name`.
    #[must_use]
    pub fn covers(&self, name: &LockName) -> bool {
        let Some(prefix) = &self.0 else { return true };
        name.as_str().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// What keeps two applications on one service apart.
///
/// One to [`Namespace::MAX_BYTES`] characters of `a-z`, `A-Z`, `0-9`, `-`, `_` and `.`, starting
/// with a letter or a digit. The default is `dlock`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// The longest namespace, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The namespace as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("dlock".into())
    }
}

impl FromStr for LockName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let problem = if text.is_empty() {
            "it is empty".to_owned()
        } else if text.len() > Self::MAX_BYTES {
            format!("it has {} bytes, at most {} are allowed", text.len(), Self::MAX_BYTES)
        } else if let Some(control) = text.chars().find(|c| c.is_control()) {
            format!("it contains the control character U+{:04X}", u32::from(control))
        } else if text.split('/').any(str::is_empty) {
            "a part between slashes is empty".to_owned()
        } else {
            return Ok(Self(text.into()));
        };
        Err(invalid("lock name", text, &problem))
    }
}

impl FromStr for Namespace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let problem = if text.is_empty() {
            "it is empty".to_owned()
        } else if text.len() > Self::MAX_BYTES {
            format!("it has {} bytes, at most {} are allowed", text.len(), Self::MAX_BYTES)
        } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            "it must start with a letter or a digit".to_owned()
        } else if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
            format!("{bad:?} is not one of a-z, A-Z, 0-9, '-', '_' and '.'")
        } else {
            return Ok(Self(text.into()));
        };
        Err(invalid("namespace", text, &problem))
    }
}

fn invalid(what: &str, text: &str, problem: &str) -> Error {
    let shown: String = text.chars().take(40).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    Error::new(ErrorKind::InvalidInput, format!("{what} {shown:?}{dots} cannot be used: {problem}"))
}

macro_rules! text_impls {
    ($name:ident) => {
        impl TryFrom<&str> for $name {
            type Error = Error;
            fn try_from(text: &str) -> Result<Self> {
                text.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl TryFrom<&String> for $name {
            type Error = Error;
            fn try_from(text: &String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<&$name> for $name {
            fn from(name: &$name) -> Self {
                name.clone()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text_impls!(LockName);
text_impls!(Namespace);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_but_valid_names_are_accepted() {
        let longest = "n".repeat(LockName::MAX_BYTES);
        for name in ["a", "A", ".", "..", "a/../b", "50%", "two words", "ünï/côdé", "🦀", "[", &longest] {
            assert_eq!(name.parse::<LockName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn bad_names_say_why() {
        let long = "n".repeat(LockName::MAX_BYTES + 1);
        for (name, why) in [
            ("", "it is empty"),
            (&*long, "it has 513 bytes, at most 512 are allowed"),
            ("a\0b", "control character U+0000"),
            ("a\nb", "control character U+000A"),
            ("a\u{85}b", "control character U+0085"),
            ("/a", "a part between slashes is empty"),
            ("a/", "a part between slashes is empty"),
            ("a//b", "a part between slashes is empty"),
        ] {
            let error = name.parse::<LockName>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{error}");
            assert!(error.to_string().len() < 200, "a huge name is not repeated in full");
        }
    }

    #[test]
    fn prefixes_cover_whole_segments() {
        let prefix = NamePrefix::below("a".parse().unwrap());
        for (name, covered) in [("a", true), ("a/b", true), ("ab", false), ("b/a", false)] {
            let name = name.parse().unwrap();
            assert_eq!(prefix.covers(&name), covered, "{name}");
            assert!(NamePrefix::root().covers(&name));
        }
    }

    #[test]
    fn namespaces_are_plain_words() {
        assert_eq!(Namespace::default().as_str(), "dlock");
        assert!("team-a.prod_1".parse::<Namespace>().is_ok());
        for bad in ["", "-a", "a b", "a/b", "ä", "{tag}"] {
            assert_eq!(bad.parse::<Namespace>().unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
