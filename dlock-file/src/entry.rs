//! A claim's file name, which is the claim's state.

use std::num::NonZeroU32;

use dlock_core::{ClaimId, Mode};

/// A file under a name, read from its file name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where it stands: lower is earlier.
    pub(crate) place: u64,
    pub(crate) phase: EntryPhase,
    pub(crate) mode: Mode,
    pub(crate) id: ClaimId,
}

/// How far a claim has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryPhase {
    Waiting,
    /// It was granted, with this token.
    Held(u64),
}

impl Entry {
    /// The file name of the claim, under the encoded name.
    pub(crate) fn file_name(&self, encoded: &str) -> String {
        let phase = match self.phase {
            EntryPhase::Waiting => "w".to_owned(),
            EntryPhase::Held(token) => format!("h{token:016x}"),
        };
        let mode = match self.mode {
            Mode::Exclusive => "x".to_owned(),
            Mode::Shared => "s".to_owned(),
            Mode::Permit { limit } => format!("p{limit}"),
        };
        format!("{encoded}~{:016x}~{phase}~{mode}~{}", self.place, self.id)
    }

    /// Reads what follows the encoded name and its `~`; `None` when dlock never wrote it.
    pub(crate) fn parse(rest: &str) -> Option<Self> {
        let mut parts = rest.split('~');
        let (place, phase, mode, id) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let phase = match phase.split_at_checked(1)? {
            ("w", "") => EntryPhase::Waiting,
            ("h", token) => EntryPhase::Held(number(token)?),
            _ => return None,
        };
        let mode = match mode.split_at_checked(1)? {
            ("x", "") => Mode::Exclusive,
            ("s", "") => Mode::Shared,
            ("p", limit) => Mode::Permit { limit: limit.parse::<NonZeroU32>().ok()? },
            _ => return None,
        };
        let entry = Self { place: number(place)?, phase, mode, id: id.parse().ok()? };
        (parts.next().is_none()).then_some(entry)
    }

    /// Whether it was granted.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.phase, EntryPhase::Held(_))
    }
}

fn number(hex: &str) -> Option<u64> {
    (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_round_trip_and_fit() {
        let limit = NonZeroU32::MAX;
        for phase in [EntryPhase::Waiting, EntryPhase::Held(7), EntryPhase::Held(u64::MAX)] {
            for mode in [Mode::Exclusive, Mode::Shared, Mode::Permit { limit }] {
                let entry = Entry { place: 3, phase, mode, id: ClaimId::random() };
                let file_name = entry.file_name(&crate::names::encode(&"Z".repeat(56)));
                assert!(file_name.len() <= 255, "{}", file_name.len());
                let (_, rest) = file_name.split_once('~').unwrap();
                assert_eq!(Entry::parse(rest).unwrap(), entry);
            }
        }
    }

    #[test]
    fn anything_else_is_no_entry() {
        let id = ClaimId::random();
        let place = "0000000000000001";
        for rest in [
            String::new(),
            "garbage".to_owned(),
            format!("{place}~w~x"),
            format!("{place}~w~x~{id}~more"),
            format!("1~w~x~{id}"),
            format!("{place}~h~x~{id}"),
            format!("{place}~w~p0~{id}"),
            format!("{place}~ü~x~{id}"),
            format!("{place}~w~~{id}"),
            format!("{place}~w~x~1234"),
        ] {
            assert_eq!(Entry::parse(&rest), None, "{rest}");
        }
    }
}
