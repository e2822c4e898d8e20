//! Claims: one attempt each to hold a name.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, LockName, Mode, Result};

/// The identity of one claim: 128 random bits, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(u128);

/// One attempt to hold a name: it is queued, then held, then gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its identity; every request about the claim is idempotent by it.
    pub id: ClaimId,
    /// What it wants to hold.
    pub name: LockName,
    /// How it wants to hold it.
    pub mode: Mode,
    /// How long the server keeps it after the last renewal, within the backend's bounds.
    pub ttl: Duration,
    /// Who made it, for people to read.
    pub metadata: Metadata,
}

/// What identifies a claim to a backend after it was requested.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimRef {
    /// The claim's identity.
    pub id: ClaimId,
    /// The name it stands under.
    pub name: LockName,
    /// The mode it has now.
    pub mode: Mode,
    /// The ttl it asked for.
    pub ttl: Duration,
}

/// Who made a claim. Decoration: nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The owner's label, at most [`Metadata::MAX_LABEL_BYTES`] bytes.
    #[serde(default)]
    pub label: String,
    /// The host's name.
    #[serde(default)]
    pub host: String,
    /// The process id on that host.
    #[serde(default)]
    pub process: u32,
    /// When the claim was made, in milliseconds since 1970 by that host's wall clock.
    #[serde(default)]
    pub since_unix_ms: u64,
}

impl ClaimId {
    /// A fresh random id.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system hands out random bytes");
        Self(u128::from_ne_bytes(bytes))
    }
}

impl Claim {
    /// What a backend needs to find this claim again.
    #[must_use]
    pub fn to_ref(&self) -> ClaimRef {
        ClaimRef { id: self.id, name: self.name.clone(), mode: self.mode, ttl: self.ttl }
    }
}

impl Metadata {
    /// The longest label, in bytes of UTF-8. Longer ones are cut.
    pub const MAX_LABEL_BYTES: usize = 256;

    /// Metadata of this process, as of now.
    #[must_use]
    pub fn of_this_process(label: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            label: cut(label, Self::MAX_LABEL_BYTES).to_owned(),
            host: host().to_owned(),
            process: std::process::id(),
            since_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// When the claim was made, by the wall clock of the host that made it.
    #[must_use]
    pub fn since(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.since_unix_ms)
    }
}

/// The stored form of a claim is JSON with a format version, the same on every backend that stores
/// text, so that people can read it and releases of dlock can refuse each other clearly.
#[derive(Serialize, Deserialize)]
struct Record {
    v: u32,
    id: ClaimId,
    name: String,
    mode: Mode,
    ttl_ms: u64,
    #[serde(flatten)]
    metadata: Metadata,
}

const FORMAT: u32 = 1;

impl Claim {
    /// The stored form: JSON that starts with the format version and the claim's id.
    #[must_use]
    pub fn to_record(&self) -> String {
        let record = Record {
            v: FORMAT,
            id: self.id,
            name: self.name.to_string(),
            mode: self.mode,
            ttl_ms: u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX),
            metadata: self.metadata.clone(),
        };
        serde_json::to_string(&record).expect("a record has only string keys")
    }

    /// Reads a stored claim back.
    ///
    /// # Errors
    /// `Damaged` when it is not a record, or one of a format that this release does not know.
    pub fn from_record(stored: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let damaged = |what: String| Error::new(ErrorKind::Damaged, what);
        let Version { v } = serde_json::from_slice(stored)
            .map_err(|error| damaged(format!("not a dlock claim: {}", preview(stored))).with_source(error))?;
        if v != FORMAT {
            return Err(damaged(format!(
                "a claim of format {v}, this dlock knows format {FORMAT}: let one release of dlock use the name"
            )));
        }
        let record: Record = serde_json::from_slice(stored)
            .map_err(|error| damaged(format!("not a dlock claim: {}", preview(stored))).with_source(error))?;
        Ok(Self {
            id: record.id,
            name: record.name.parse()?,
            mode: record.mode,
            ttl: Duration::from_millis(record.ttl_ms),
            metadata: record.metadata,
        })
    }
}

fn preview(stored: &[u8]) -> String {
    let text = String::from_utf8_lossy(&stored[..stored.len().min(60)]).into_owned();
    format!("{text:?} ({} bytes)", stored.len())
}

/// This machine's name, asked for once: every acquire names it.
fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| cut(&rustix::system::uname().nodename().to_string_lossy(), 255).to_owned())
}

fn cut(text: &str, bytes: usize) -> &str {
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= bytes).last();
    &text[..end.unwrap_or(0)]
}

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ClaimId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let hex = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hex.then(|| u128::from_str_radix(text, 16).ok())
            .flatten()
            .map(Self)
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a claim id is 32 lowercase hexadecimal digits"))
    }
}

impl Serialize for ClaimId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClaimId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(label: &str) -> Claim {
        Claim {
            id: ClaimId::random(),
            name: "billing/ünï".parse().unwrap(),
            mode: Mode::Permit { limit: 3.try_into().unwrap() },
            ttl: Duration::from_millis(12_345),
            metadata: Metadata::of_this_process(label),
        }
    }

    #[test]
    fn a_record_round_trips() {
        let claim = claim("wörker \"7\" 🦀");
        assert_eq!(Claim::from_record(claim.to_record().as_bytes()).unwrap(), claim);
        assert!(claim.to_record().starts_with(&format!("{{\"v\":1,\"id\":\"{}\"", claim.id)));
    }

    #[test]
    fn labels_are_cut_at_a_character() {
        let metadata = Metadata::of_this_process(&"ä".repeat(1000));
        assert_eq!(metadata.label.len(), 256);
        assert_eq!(Metadata::of_this_process(&format!("a{}", "ä".repeat(1000))).label.len(), 255);
    }

    #[test]
    fn garbage_and_other_formats_are_damaged() {
        for (stored, why) in [
            (&b""[..], "not a dlock claim"),
            (b"hello", "not a dlock claim: \"hello\" (5 bytes)"),
            (b"\xff\xfe", "not a dlock claim"),
            (b"{\"v\":1}", "not a dlock claim"),
            (b"{\"v\":2,\"id\":7}", "a claim of format 2"),
        ] {
            let error = Claim::from_record(stored).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
