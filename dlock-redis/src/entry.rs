//! The stored form of a claim: a short header that the scripts read, then what only people read.

use std::borrow::Cow;
use std::io::Write;
use std::num::NonZeroU32;
use std::time::Duration;

use dlock_core::{Claim, ClaimId, ClaimInfo, ClaimRef, Grant, LockName, Metadata, Mode, Predecessor, Token};

/// Changes whenever the scripts of one release could misread what those of another wrote.
const FORMAT: &str = "1";

/// One claim as it stands on the server. The layout is told in `scripts/queue.lua`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: ClaimId,
    pub(crate) mode: Mode,
    pub(crate) ttl: Duration,
    /// Where its owner listens.
    pub(crate) inbox: String,
    pub(crate) token: Option<Token>,
    pub(crate) metadata: Metadata,
}

impl Entry {
    /// Reads an entry back; the error says what is wrong with it.
    pub(crate) fn parse(stored: &[u8]) -> Result<Self, String> {
        let strange = || {
            let start = String::from_utf8_lossy(&stored[..stored.len().min(40)]).into_owned();
            format!("not a claim: {start:?} ({} bytes)", stored.len())
        };
        let text = std::str::from_utf8(stored).map_err(|_| strange())?;
        let fields: Vec<&str> = text.splitn(9, ' ').collect();
        let [format, id, mode, ttl, inbox, token, epoch, _fate, record] = fields[..] else {
            return Err(strange());
        };
        if format != FORMAT {
            return Err(format!("{}; this dlock writes format {FORMAT}", strange()));
        }
        Ok(Self {
            id: id.parse().map_err(|_| strange())?,
            mode: mode_from_text(mode).ok_or_else(strange)?,
            ttl: Duration::from_millis(ttl.parse().map_err(|_| strange())?),
            inbox: inbox.to_owned(),
            token: token_from_text(token, epoch),
            // The header decides; what only people read does not make a claim damaged.
            metadata: serde_json::from_str(record).unwrap_or_default(),
        })
    }

    pub(crate) fn into_info(self, name: &LockName, expires_in: Option<Duration>) -> ClaimInfo {
        let claim = ClaimRef { id: self.id, name: name.clone(), mode: self.mode, ttl: self.ttl };
        ClaimInfo { claim, metadata: self.metadata, token: self.token, expires_in }
    }
}

/// What a fresh claim is stored as; `inbox` is where its owner listens.
pub(crate) fn to_text(claim: &Claim, inbox: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(LIKELY_LENGTH);
    let (id, mode, ttl) = (claim.id, mode_to_text(claim.mode), millis(claim.ttl));
    write!(text, "{FORMAT} {id} {mode} {ttl} {inbox} - - - ").expect("memory takes what is written");
    serde_json::to_writer(&mut text, &claim.metadata).expect("metadata has only string keys");
    text
}

/// Of an entry with short labels and host names: one that is longer costs another allocation.
const LIKELY_LENGTH: usize = 256;

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn mode_to_text(mode: Mode) -> Cow<'static, str> {
    match mode {
        Mode::Exclusive => Cow::Borrowed("x"),
        Mode::Shared => Cow::Borrowed("s"),
        Mode::Permit { limit } => Cow::Owned(format!("p{limit}")),
    }
}

pub(crate) fn mode_from_text(text: &str) -> Option<Mode> {
    match text {
        "x" => Some(Mode::Exclusive),
        "s" => Some(Mode::Shared),
        _ => text.strip_prefix('p')?.parse::<NonZeroU32>().ok().map(|limit| Mode::Permit { limit }),
    }
}

pub(crate) fn epoch_to_text(epoch: u64) -> String {
    format!("{epoch:016x}")
}

pub(crate) fn epoch_from_text(text: &str) -> Option<u64> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

pub(crate) fn token_from_text(value: &str, epoch: &str) -> Option<Token> {
    Some(Token { epoch: epoch_from_text(epoch)?, value: value.parse().ok()? })
}

/// The token and epoch of a script's argument, `-` and `-` if there is none.
pub(crate) fn token_to_args(token: Option<Token>) -> (String, String) {
    match token {
        Some(token) => (token.value.to_string(), epoch_to_text(token.epoch)),
        None => ("-".to_owned(), "-".to_owned()),
    }
}

pub(crate) fn grant_from_text(value: &str, epoch: &str, fate: &str) -> Option<Grant> {
    let predecessor = match fate {
        "r" => Some(Predecessor::Released),
        "v" => Some(Predecessor::Vanished),
        _ => None,
    };
    Some(Grant { token: token_from_text(value, epoch)?, predecessor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_round_trips() {
        let claim = Claim {
            id: ClaimId::random(),
            name: "a b/ü".parse().unwrap(),
            mode: Mode::Permit { limit: 7.try_into().unwrap() },
            ttl: Duration::from_millis(1500),
            metadata: Metadata::of_this_process("lábel with spaces"),
        };
        let entry = Entry::parse(&to_text(&claim, "00ff")).unwrap();
        let (id, mode, ttl, metadata) = (claim.id, claim.mode, claim.ttl, claim.metadata.clone());
        let expected = Entry { id, mode, ttl, inbox: "00ff".to_owned(), token: None, metadata };
        assert_eq!(entry, expected);
    }

    #[test]
    fn what_is_no_entry_says_so() {
        for stored in [&b""[..], b"hello", b"\xff\xfe", b"1 x", b"1 zz x 5 0 - - - {}"] {
            let problem = Entry::parse(stored).unwrap_err();
            assert!(problem.starts_with("not a claim"), "{problem}");
        }
        let other = format!("2 {} x 5 0 - - - {{}}", ClaimId::random());
        assert!(Entry::parse(other.as_bytes()).unwrap_err().contains("this dlock writes format 1"));
    }
}
